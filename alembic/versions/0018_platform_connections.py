"""Connections to ad platforms, statuses sent and confirmed there, operations used"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)

# Workers may not edit what people configure. This hold of campaigns that workers reconcile is the exception; the
# change and its audit entry are one.
SET_PLATFORM_HOLD = """
CREATE FUNCTION set_platform_hold(of_campaign bigint, is_held boolean, said_by text, said_at timestamptz)
RETURNS boolean LANGUAGE plpgsql {definer} AS $$
DECLARE
    old campaigns;
    new_holds text[];
BEGIN
    SELECT * INTO STRICT old FROM campaigns WHERE id = of_campaign FOR NO KEY UPDATE;
    IF COALESCE(said_by, '') = '' OR NOT EXISTS (
        SELECT FROM platform_statuses WHERE brand_id = old.brand_id AND campaign_id = of_campaign
    ) THEN
        RAISE EXCEPTION 'campaign % is not reconciled with a platform', of_campaign USING ERRCODE = '22023';
    END IF;
    IF ('platform_paused' = ANY(old.set_holds)) = is_held THEN
        RETURN false;
    END IF;
    new_holds := array_remove(old.set_holds, 'platform_paused');
    IF is_held THEN
        new_holds := array_append(new_holds, 'platform_paused');
    END IF;
    UPDATE campaigns SET set_holds = new_holds WHERE id = of_campaign;
    INSERT INTO audit_entries (changed_at, changed_by, action, subject, subject_id, brand_id, old, new) VALUES (
        said_at, said_by, 'edit', 'campaign', of_campaign, old.brand_id,
        jsonb_build_object('set_holds', old.set_holds), jsonb_build_object('set_holds', new_holds)
    );
    RETURN true;
END $$
"""

FUNCTION = "set_platform_hold(bigint, boolean, text, timestamptz)"


def as_owner() -> str:
    """Runs as the function's owner, with the schema that we migrate as the only place of names."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    return f"SECURITY DEFINER SET search_path = {schema}, pg_temp"


def upgrade() -> None:
    _create_connections()
    _create_statuses()
    op.create_table(
        "platform_operations",
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("minute", MOMENT, nullable=False),
        sa.Column("operations", sa.Integer(), nullable=False),
        sa.CheckConstraint("operations >= 0", name=op.f("ck_platform_operations_operations_not_negative")),
        sa.PrimaryKeyConstraint("pool", "minute", name=op.f("pk_platform_operations")),
    )
    op.execute(SET_PLATFORM_HOLD.format(definer=as_owner()))
    op.execute(f"REVOKE EXECUTE ON FUNCTION {FUNCTION} FROM PUBLIC")


def _create_connections() -> None:
    op.create_table(
        "platform_connections",
        sa.Column("platform_account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mode", sa.Text(), server_default="shadow", nullable=False),
        sa.Column("credentials", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        *(
            sa.Column(name, MOMENT, nullable=True)
            for name in (
                *("described_at", "next_read_at", "last_read_at", "history_read_at", "statuses_read_at"),
                *("claimed_until", "wait_until", "pauses_wait_until"),
            )
        ),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("failed_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "mode IN ('off', 'shadow', 'pause_only', 'full')", name=op.f("ck_platform_connections_mode_known")
        ),
        sa.CheckConstraint(
            "credentials ~ '^(env|file):.+'", name=op.f("ck_platform_connections_credentials_by_reference")
        ),
        sa.ForeignKeyConstraint(
            ["platform_account_id"], ["platform_accounts.id"], name=op.f("fk_platform_connections_platform_accounts")
        ),
        sa.PrimaryKeyConstraint("platform_account_id", name=op.f("pk_platform_connections")),
    )


def _create_statuses() -> None:
    op.create_table(
        "platform_statuses",
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("platform_account_id", sa.BigInteger(), nullable=False),
        sa.Column("desired", sa.Text(), nullable=False),
        sa.Column("desired_change_id", sa.BigInteger(), nullable=True),
        sa.Column("desired_at", MOMENT, nullable=True),
        sa.Column("confirmed", sa.Text(), server_default="unknown", nullable=False),
        sa.Column("confirmed_at", MOMENT, nullable=True),
        sa.Column("paused_by_us", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("paused_change_id", sa.BigInteger(), nullable=True),
        sa.Column("sent", sa.Text(), nullable=True),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.Column("may_be_applied", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("unconfirmed_since", MOMENT, nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("repaused_at", postgresql.ARRAY(MOMENT), server_default="{}", nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        *(
            sa.CheckConstraint(rule, name=op.f(f"ck_platform_statuses_{name}"))
            for name, rule in (
                ("desired_known", "desired IN ('active', 'inactive')"),
                ("confirmed_known", "confirmed IN ('enabled', 'paused', 'removed', 'unknown')"),
                ("sent_known", "sent IN ('enabled', 'paused')"),
                ("sent_at_a_moment", "(sent IS NULL) = (sent_at IS NULL)"),
                ("only_sent_may_be_applied", "NOT may_be_applied OR sent IS NOT NULL"),
                ("attempts_not_negative", "attempts >= 0"),
            )
        ),
        sa.ForeignKeyConstraint(
            ["brand_id", "campaign_id"],
            ["campaigns.brand_id", "campaigns.id"],
            name="fk_platform_statuses_campaigns",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["platform_account_id"],
            ["platform_connections.platform_account_id"],
            name=op.f("fk_platform_statuses_platform_connections"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("brand_id", "campaign_id", name=op.f("pk_platform_statuses")),
    )
    op.create_index("ix_platform_statuses_platform_account_id", "platform_statuses", ["platform_account_id"])


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {FUNCTION}")
    for table in ("platform_operations", "platform_statuses", "platform_connections"):
        op.drop_table(table)
