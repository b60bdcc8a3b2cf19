"""Alerts with their channels, routes, mutes and messages, and the hours in which campaigns and sources spent"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
KINDS = (
    "'unconfirmed_pause', 'held_but_spending', 'campaign_overridden', 'overspend', 'endpoint_failing', "
    "'account_failing', 'stale_feed', 'spend_stopped', 'budget_threshold', 'failed_import', 'rejected_events'"
)
ENDINGS = "'below', 'cleared', 'superseded', 'window_ended', 'gone'"


def identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False)


def reference(table: str, name: str, column: str, *, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=op.f(f"fk_{table}_{name}"), ondelete="CASCADE")


def upgrade() -> None:
    op.execute("INSERT INTO locks (name) VALUES ('alerts')")
    op.create_index("ix_budgets_changed_at", "budgets", ["changed_at"])
    _create_alerts()
    _create_channels()
    _create_messages()
    op.create_table(
        "spend_hours",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("hours", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("last_hour", sa.Integer(), nullable=False),
        sa.CheckConstraint("campaign_id >= 0 AND (campaign_id = 0 OR source = '')", name=op.f("ck_spend_hours_of_one")),
        sa.CheckConstraint("hours <> '{}'", name=op.f("ck_spend_hours_hours_not_empty")),
        reference("spend_hours", "brands", "brand_id", to="brands"),
        sa.PrimaryKeyConstraint("brand_id", "campaign_id", "source", name=op.f("pk_spend_hours")),
    )
    op.create_index("ix_spend_hours_last_hour", "spend_hours", ["last_hour"])


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        identity(),
        sa.Column("brand_id", sa.BigInteger(), nullable=True),
        sa.Column("campaign_id", sa.BigInteger(), nullable=True),
        sa.Column("budget_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Integer(), server_default="0", nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("episode", sa.Text(), nullable=False),
        sa.Column("window_first_day", sa.Date(), nullable=True),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("raised_at", MOMENT, nullable=False),
        sa.Column("resolved_at", MOMENT, nullable=True),
        sa.Column("resolved_because", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", MOMENT, nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("figures", postgresql.JSONB(), server_default="{}", nullable=False),
        *(
            sa.CheckConstraint(rule, name=op.f(f"ck_alerts_{name}"))
            for name, rule in (
                ("kind_known", f"kind IN ({KINDS})"),
                ("state_known", "state IN ('open', 'resolved')"),
                ("resolved_because_known", f"resolved_because IN ({ENDINGS})"),
                ("resolved_at_with_state", "(state = 'resolved') = (resolved_at IS NOT NULL)"),
                ("resolved_with_reason", "(resolved_at IS NULL) = (resolved_because IS NULL)"),
                ("acknowledged_by_someone", "(acknowledged_at IS NULL) = (acknowledged_by IS NULL)"),
                ("threshold_not_negative", "threshold >= 0"),
                ("campaign_of_brand", "campaign_id IS NULL OR brand_id IS NOT NULL"),
            )
        ),
        reference("alerts", "brands", "brand_id", to="brands"),
        sa.ForeignKeyConstraint(
            ["brand_id", "campaign_id"],
            ["campaigns.brand_id", "campaigns.id"],
            name="fk_alerts_campaigns",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("kind", "subject", "episode", "threshold", name=op.f("uq_alerts_kind_subject")),
    )
    op.create_index(
        "uq_alerts_open", "alerts", ["kind", "subject"], unique=True, postgresql_where=sa.text("state = 'open'")
    )
    op.create_index("ix_alerts_brand_id_id", "alerts", ["brand_id", "id"])
    op.create_table(
        "alert_settings",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("thresholds", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "cardinality(thresholds) <= 10 AND 1 <= ALL (thresholds) AND 1000 >= ALL (thresholds)",
            name=op.f("ck_alert_settings_thresholds_in_percent"),
        ),
        reference("alert_settings", "brands", "brand_id", to="brands"),
        sa.PrimaryKeyConstraint("brand_id", name=op.f("pk_alert_settings")),
    )


def _create_channels() -> None:
    op.create_table(
        "alert_channels",
        identity(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("encrypted_url", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("claimed_until", MOMENT, nullable=True),
        sa.Column("failing_since", MOMENT, nullable=True),
        sa.CheckConstraint("name <> ''", name=op.f("ck_alert_channels_name_not_empty")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_channels")),
        sa.UniqueConstraint("name", name=op.f("uq_alert_channels_name")),
    )
    op.create_table(
        "alert_routes",
        identity(),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("timing", sa.Text(), server_default="default", nullable=False),
        sa.CheckConstraint(f"kind IN ({KINDS})", name=op.f("ck_alert_routes_kind_known")),
        sa.CheckConstraint(
            "timing IN ('default', 'now', 'digest', 'never')", name=op.f("ck_alert_routes_timing_known")
        ),
        reference("alert_routes", "alert_channels", "channel_id", to="alert_channels"),
        reference("alert_routes", "brands", "brand_id", to="brands"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_routes")),
        sa.UniqueConstraint(
            "channel_id",
            "brand_id",
            "kind",
            name=op.f("uq_alert_routes_channel_id_brand_id_kind"),
            postgresql_nulls_not_distinct=True,
        ),
    )
    op.create_table(
        "alert_mutes",
        identity(),
        sa.Column("brand_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("alert_id", sa.BigInteger(), nullable=True),
        sa.Column("channel_id", sa.BigInteger(), nullable=True),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("muted_at", MOMENT, nullable=False),
        sa.Column("muted_by", sa.Text(), nullable=False),
        sa.CheckConstraint(f"kind IN ({KINDS})", name=op.f("ck_alert_mutes_kind_known")),
        sa.CheckConstraint("until > muted_at", name=op.f("ck_alert_mutes_until_later")),
        reference("alert_mutes", "brands", "brand_id", to="brands"),
        reference("alert_mutes", "alerts", "alert_id", to="alerts"),
        reference("alert_mutes", "alert_channels", "channel_id", to="alert_channels"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_mutes")),
    )


def _create_messages() -> None:
    op.create_table(
        "alert_messages",
        identity(),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("is_digest", sa.Boolean(), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.Column("dropped_at", MOMENT, nullable=True),
        sa.CheckConstraint("event IN ('raised', 'resolved')", name=op.f("ck_alert_messages_event_known")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_alert_messages_attempts_not_negative")),
        sa.CheckConstraint("sent_at IS NULL OR dropped_at IS NULL", name=op.f("ck_alert_messages_sent_or_dropped")),
        reference("alert_messages", "alert_channels", "channel_id", to="alert_channels"),
        reference("alert_messages", "alerts", "alert_id", to="alerts"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_messages")),
        sa.UniqueConstraint(
            "channel_id", "alert_id", "event", name=op.f("uq_alert_messages_channel_id_alert_id_event")
        ),
    )
    op.create_index(
        "ix_alert_messages_waiting",
        "alert_messages",
        ["channel_id", "due_at"],
        postgresql_where=sa.text("sent_at IS NULL AND dropped_at IS NULL"),
    )
    op.create_table(
        "alert_attempts",
        identity(),
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("attempted_at", MOMENT, nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("alerts", sa.Integer(), nullable=False),
        sa.Column("is_delivered", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("purpose IN ('alerts', 'digest', 'test')", name=op.f("ck_alert_attempts_purpose_known")),
        reference("alert_attempts", "alert_channels", "channel_id", to="alert_channels"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_attempts")),
    )
    op.create_index("ix_alert_attempts_channel_id_id", "alert_attempts", ["channel_id", "id"])


def downgrade() -> None:
    for table in (
        *("spend_hours", "alert_attempts", "alert_messages", "alert_mutes", "alert_routes", "alert_channels"),
        *("alert_settings", "alerts"),
    ):
        op.drop_table(table)
    op.drop_index("ix_budgets_changed_at", "budgets")
    op.execute("ALTER TABLE locks DISABLE TRIGGER keep_locks")
    op.execute("DELETE FROM locks WHERE name = 'alerts'")
    op.execute("ALTER TABLE locks ENABLE TRIGGER keep_locks")
