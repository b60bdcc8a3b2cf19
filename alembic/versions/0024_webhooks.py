"""Webhooks: endpoints, their deliveries, and each attempt of a delivery"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
TYPES = (
    "'campaign.paused', 'campaign.activated', 'budget.exhausted', 'alert.raised', 'alert.resolved', "
    "'platform.unconfirmed', 'report.ready', 'import.failed', 'endpoint.failing'"
)
STATUSES = "type IN ('campaign.paused', 'campaign.activated')"


def upgrade() -> None:
    _create_endpoints()
    _create_deliveries()
    op.create_table(
        "webhook_attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("delivery_id", sa.BigInteger(), nullable=False),
        sa.Column("attempted_at", MOMENT, nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), server_default="", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("status BETWEEN 100 AND 999", name=op.f("ck_webhook_attempts_status_of_http")),
        sa.CheckConstraint("status IS NOT NULL OR error IS NOT NULL", name=op.f("ck_webhook_attempts_has_outcome")),
        sa.CheckConstraint("duration_ms >= 0", name=op.f("ck_webhook_attempts_duration_not_negative")),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["webhook_deliveries.id"],
            name=op.f("fk_webhook_attempts_webhook_deliveries"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_attempts")),
    )
    op.create_index("ix_webhook_attempts_delivery_id", "webhook_attempts", ["delivery_id"])


def _create_endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("types", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("previous_secret", sa.Text(), nullable=True),
        sa.Column("previous_secret_until", MOMENT, nullable=True),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_because", sa.Text(), nullable=True),
        sa.Column("after_change_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("feed_epoch", sa.Text(), nullable=True),
        sa.Column("after_notice_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("claimed_by", postgresql.UUID(), nullable=True),
        sa.Column("claimed_until", MOMENT, nullable=True),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failing_since", MOMENT, nullable=True),
        sa.Column("told_failing_at", MOMENT, nullable=True),
        sa.Column("wait_until", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, server_default=sa.text("now()"), nullable=False),
        *(
            sa.CheckConstraint(rule, name=op.f(f"ck_webhook_endpoints_{name}"))
            for name, rule in (
                ("types_known", f"types <@ ARRAY[{TYPES}]::text[] AND types <> '{{}}'"),
                ("old_secret_ends", "(previous_secret IS NULL) = (previous_secret_until IS NULL)"),
                ("claim_ends", "(claimed_by IS NULL) = (claimed_until IS NULL)"),
                ("failures_not_negative", "failures >= 0"),
                ("fails_since_a_moment", "(failures = 0) = (failing_since IS NULL)"),
                ("disabled_has_reason", "enabled = (disabled_because IS NULL)"),
            )
        ),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.id"], name=op.f("fk_webhook_endpoints_brands")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
    )


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", postgresql.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=True),
        sa.Column("campaign_id", sa.BigInteger(), nullable=True),
        sa.Column("status_change_id", sa.BigInteger(), nullable=True),
        sa.Column("notice_id", sa.BigInteger(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("body", postgresql.JSONB(), nullable=True),
        sa.Column("urgency", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("settled_at", MOMENT, nullable=True),
        *(
            sa.CheckConstraint(rule, name=op.f(f"ck_webhook_deliveries_{name}"))
            for name, rule in (
                ("type_known", f"type IN ({TYPES}, 'endpoint.test')"),
                ("state_known", "state IN ('pending', 'delivered', 'superseded', 'failed')"),
                ("pending_is_not_settled", "(state = 'pending') = (settled_at IS NULL)"),
                ("attempts_not_negative", "attempts >= 0"),
                (
                    "status_names_its_change",
                    f"({STATUSES}) = (campaign_id IS NOT NULL AND status_change_id IS NOT NULL AND key IS NULL)",
                ),
                ("has_content", f"{STATUSES} OR notice_id IS NOT NULL OR body IS NOT NULL"),
                ("of_a_brand", "brand_id IS NOT NULL OR status_change_id IS NULL"),
            )
        ),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoints.id"],
            name=op.f("fk_webhook_deliveries_webhook_endpoints"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["notice_id"], ["notices.id"], name=op.f("fk_webhook_deliveries_notices"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("endpoint_id", "key", name=op.f("uq_webhook_deliveries_endpoint_id_key")),
    )
    op.create_index(
        "uq_webhook_deliveries_pending",
        "webhook_deliveries",
        ["endpoint_id", "campaign_id"],
        unique=True,
        postgresql_where=sa.text(f"state = 'pending' AND {STATUSES}"),
    )
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["endpoint_id", "urgency", "id"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("ix_webhook_deliveries_endpoint_id_id", "webhook_deliveries", ["endpoint_id", "id"])
    op.create_index("ix_webhook_deliveries_notice_id", "webhook_deliveries", ["notice_id"])
    op.create_index("ix_webhook_deliveries_settled_at", "webhook_deliveries", ["settled_at"])


def downgrade() -> None:
    for table in ("webhook_attempts", "webhook_deliveries", "webhook_endpoints"):
        op.drop_table(table)
