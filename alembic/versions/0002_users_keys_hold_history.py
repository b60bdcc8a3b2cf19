"""People who sign in, API keys, the history of holds, spend by hour, status changes in commit order"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What is known of the holds so far: every toggle, and what holds now where that is something else.
KNOWN_HOLDS = """
INSERT INTO hold_changes (brand_id, campaign_id, changed_at, holds, cause)
SELECT brand_id, campaign_id, changed_at, holds_after, cause FROM status_changes ORDER BY id
"""

HOLDS_NOW = """
INSERT INTO hold_changes (brand_id, campaign_id, changed_at, holds, cause)
SELECT brand_id, campaigns.id, enforced_at, campaigns.holds, 'migration'
FROM campaigns
WHERE enforced_at IS NOT NULL AND campaigns.holds IS DISTINCT FROM (
    SELECT last.holds FROM hold_changes AS last WHERE last.campaign_id = campaigns.id ORDER BY last.id DESC LIMIT 1
)
ORDER BY campaigns.id
"""

APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON hold_changes
FOR EACH ROW EXECUTE FUNCTION refuse_edit_of_history()
"""


def upgrade() -> None:
    # The ledger is locked first, as ingest does it: neither then waits for the other in a ring.
    op.create_index(
        "ix_spend_events_received_at", "spend_events", ["received_at"], unique=False, postgresql_using="brin"
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), server_default="viewer", nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("signed_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("email = lower(email) AND email LIKE '%_@_%'", name=op.f("ck_users_email_is_lower_case")),
        sa.CheckConstraint("role IN ('viewer', 'operator', 'owner')", name=op.f("ck_users_role_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "user_sessions",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_user_sessions_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_user_sessions")),
    )
    op.create_index("ix_user_sessions_user_id", "user_sessions", ["user_id"], unique=False)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("name <> ''", name=op.f("ck_api_keys_name_not_empty")),
        sa.CheckConstraint(
            "scopes <> '{}' AND scopes <@ ARRAY['spend-write', 'read', 'manage']", name=op.f("ck_api_keys_scopes_known")
        ),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.id"], name=op.f("fk_api_keys_brands")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("api_key_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_keys.id"], name=op.f("fk_idempotency_keys_api_keys"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("api_key_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "hold_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holds", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["brand_id", "campaign_id"], ["campaigns.brand_id", "campaigns.id"], name="fk_hold_changes_campaigns"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold_changes")),
    )
    op.create_index("ix_hold_changes_campaign_id_id", "hold_changes", ["campaign_id", "id"], unique=False)
    op.create_index("ix_hold_changes_brand_id_changed_at", "hold_changes", ["brand_id", "changed_at"], unique=False)
    op.execute(KNOWN_HOLDS)
    op.execute(HOLDS_NOW)
    op.execute(APPEND_ONLY)
    op.create_table(
        "brand_hours",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("hour", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("spent_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("hour BETWEEN 0 AND 23", name=op.f("ck_brand_hours_hour_of_day")),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.id"], name=op.f("fk_brand_hours_brands")),
        sa.PrimaryKeyConstraint("brand_id", "day", "hour", name=op.f("pk_brand_hours")),
        postgresql_with={"fillfactor": "70"},
    )
    op.alter_column("audit_entries", "brand_id", nullable=True)
    op.add_column("rejected_events", sa.Column("only_brand_id", sa.BigInteger(), nullable=True))
    _key_of_waiting("kind", "reason", "fingerprint", "only_brand_id", nulls_not_distinct=True)
    op.create_index("ix_status_changes_brand_id_id", "status_changes", ["brand_id", "id"], unique=False)


def _key_of_waiting(*columns: str, nulls_not_distinct: bool | None = None) -> None:
    op.drop_index("uq_rejected_events_waiting", table_name="rejected_events")
    op.create_index(
        "uq_rejected_events_waiting",
        "rejected_events",
        list(columns),
        unique=True,
        postgresql_where=sa.text("replayed_at IS NULL"),
        postgresql_nulls_not_distinct=nulls_not_distinct,
    )


def downgrade() -> None:
    op.drop_index("ix_status_changes_brand_id_id", table_name="status_changes")
    op.execute("DELETE FROM rejected_events WHERE only_brand_id IS NOT NULL")
    _key_of_waiting("kind", "reason", "fingerprint")
    op.drop_column("rejected_events", "only_brand_id")
    op.drop_index("ix_spend_events_received_at", table_name="spend_events")
    op.execute("ALTER TABLE audit_entries DISABLE TRIGGER append_only")
    op.execute("DELETE FROM audit_entries WHERE brand_id IS NULL")
    op.execute("ALTER TABLE audit_entries ENABLE TRIGGER append_only")
    op.alter_column("audit_entries", "brand_id", nullable=False)
    for table in ("brand_hours", "hold_changes", "idempotency_keys", "api_keys", "user_sessions", "users"):
        op.drop_table(table)
