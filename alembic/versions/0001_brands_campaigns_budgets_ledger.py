"""Brands, campaigns, budgets, ledger"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ENSURE_LEDGER_MONTH = """
CREATE FUNCTION ensure_ledger_month(month date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    part text := 'spend_events_' || to_char(month, 'YYYY_MM');
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('ensure_ledger_month'));
    -- Asked of the catalog itself: the name's absence may still be cached from before the wait.
    IF EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = current_schema()::regnamespace) THEN
        RETURN false;
    END IF;
    -- Made aside and then attached: that takes a lock which lets inserts into other months go on.
    EXECUTE format(
        'CREATE TABLE %I (LIKE spend_events INCLUDING DEFAULTS, CONSTRAINT %I PRIMARY KEY (brand_id, event_id))',
        part, 'pk_' || part
    );
    EXECUTE format(
        'ALTER TABLE spend_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        part, month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC'
    );
    RETURN true;
END $$
"""

REFUSE_EDIT_OF_HISTORY = """
CREATE FUNCTION refuse_edit_of_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'history is append-only: % of % refused', TG_OP, TG_TABLE_NAME USING ERRCODE = '42501';
END $$
"""

APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION refuse_edit_of_history()
"""

KEEP_BUDGET_LIMITS = """
CREATE FUNCTION keep_budget_limits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO budget_limits (brand_id, campaign_id, period, limit_micros, changed_at)
        VALUES (
            OLD.brand_id, OLD.campaign_id, OLD.period, NULL,
            COALESCE(NULLIF(current_setting('spendgate.edited_at', true), '')::timestamptz, now())
        );
    ELSIF TG_OP = 'INSERT' OR NEW.limit_micros <> OLD.limit_micros THEN
        INSERT INTO budget_limits (brand_id, campaign_id, period, limit_micros, changed_at)
        VALUES (NEW.brand_id, NEW.campaign_id, NEW.period, NEW.limit_micros, NEW.changed_at);
    END IF;
    RETURN NULL;
END $$
"""

STAMP_BUDGET_CHANGE = """
CREATE FUNCTION stamp_budget_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.changed_at = OLD.changed_at THEN
        NEW.changed_at := now();
    END IF;
    RETURN NEW;
END $$
"""

FIX_ZONE_AND_CURRENCY = """
CREATE FUNCTION fix_zone_and_currency() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM brand_days WHERE brand_id = OLD.id) THEN
        RAISE EXCEPTION 'the time zone and currency of brand % are fixed: it has spend', OLD.id
            USING ERRCODE = '23514', CONSTRAINT = 'ck_brands_fixed_once_spent';
    END IF;
    RETURN NEW;
END $$
"""

TRIGGERS = (
    (
        "CREATE TRIGGER keep_limits AFTER INSERT OR UPDATE OR DELETE ON budgets "
        "FOR EACH ROW EXECUTE FUNCTION keep_budget_limits()"
    ),
    (
        "CREATE TRIGGER stamp_change BEFORE UPDATE OF limit_micros ON budgets "
        "FOR EACH ROW EXECUTE FUNCTION stamp_budget_change()"
    ),
    (
        "CREATE TRIGGER fix_zone_and_currency BEFORE UPDATE OF time_zone, currency ON brands FOR EACH ROW "
        "WHEN (NEW.time_zone <> OLD.time_zone OR NEW.currency <> OLD.currency) "
        "EXECUTE FUNCTION fix_zone_and_currency()"
    ),
)

FUNCTIONS = (
    "ensure_ledger_month(date)",
    "refuse_edit_of_history()",
    "keep_budget_limits()",
    "stamp_budget_change()",
    "fix_zone_and_currency()",
)


def make_functions_and_triggers() -> None:
    op.execute(ENSURE_LEDGER_MONTH)
    for statement in (REFUSE_EDIT_OF_HISTORY, KEEP_BUDGET_LIMITS, STAMP_BUDGET_CHANGE, FIX_ZONE_AND_CURRENCY):
        op.execute(statement)
    for table in ("spend_events", "status_changes", "audit_entries", "budget_limits"):
        op.execute(APPEND_ONLY.format(table=table))
    for statement in TRIGGERS:
        op.execute(statement)
    op.execute(
        "SELECT ensure_ledger_month((date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => ahead))"
        "::date) FROM generate_series(-13, 3) AS ahead"
    )


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("old", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("new", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_subject_subject_id", "audit_entries", ["subject", "subject_id"], unique=False)
    op.create_table(
        "brands",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("currency", sa.Text(), server_default="USD", nullable=False),
        sa.Column("configured_status", sa.Text(), server_default="enabled", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "configured_status IN ('enabled', 'paused', 'archived')", name=op.f("ck_brands_configured_status_known")
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_brands_currency_is_iso_4217")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_brands_name_not_empty")),
        sa.CheckConstraint(
            "timezone(time_zone, '2000-01-01 00:00+00'::timestamptz) IS NOT NULL",
            name=op.f("ck_brands_time_zone_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_brands")),
    )
    op.create_index("ix_brands_time_zone", "brands", ["time_zone"], unique=False)
    op.create_table(
        "budget_limits",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=True),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("limit_micros", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_limits")),
    )
    op.create_index(
        "ix_budget_limits_brand_id_campaign_id", "budget_limits", ["brand_id", "campaign_id", "period"], unique=False
    )
    op.create_table(
        "rejected_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("kind", sa.Text(), server_default="spend_event", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("times", sa.Integer(), server_default="1", nullable=False),
        sa.Column("replayed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fingerprint", sa.Text(), sa.Computed("md5((payload)::text)", persisted=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected_events")),
    )
    op.create_index("ix_rejected_events_received_at", "rejected_events", ["received_at"], unique=False)
    op.create_index(
        "uq_rejected_events_waiting",
        "rejected_events",
        ["kind", "reason", "fingerprint"],
        unique=True,
        postgresql_where=sa.text("replayed_at IS NULL"),
    )
    op.create_table(
        "spend_events",
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        postgresql_partition_by="RANGE (occurred_at)",
    )
    op.create_table(
        "watermarks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reached_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_watermarks")),
    )
    op.create_table(
        "brand_days",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("spent_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.id"], name=op.f("fk_brand_days_brands")),
        sa.PrimaryKeyConstraint("brand_id", "day", name=op.f("pk_brand_days")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "monthly_reports",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.id"], name=op.f("fk_monthly_reports_brands")),
        sa.PrimaryKeyConstraint("brand_id", "month", "version", name=op.f("pk_monthly_reports")),
    )
    op.create_table(
        "campaigns",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("starts_on", sa.Date(), nullable=True),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("configured_status", sa.Text(), server_default="enabled", nullable=False),
        sa.Column("effective_status", sa.Text(), server_default="active", nullable=False),
        sa.Column("holds", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("next_change_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enforced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(effective_status = 'active') = (holds = '{}')", name=op.f("ck_campaigns_active_has_no_holds")
        ),
        sa.CheckConstraint(
            "configured_status IN ('enabled', 'paused', 'archived')", name=op.f("ck_campaigns_configured_status_known")
        ),
        sa.CheckConstraint(
            "effective_status IN ('active', 'inactive')", name=op.f("ck_campaigns_effective_status_known")
        ),
        sa.CheckConstraint("name <> ''", name=op.f("ck_campaigns_name_not_empty")),
        sa.CheckConstraint(
            "starts_on BETWEEN '1990-01-01' AND '2199-12-31'", name=op.f("ck_campaigns_starts_within_calendar")
        ),
        sa.CheckConstraint(
            "ends_on BETWEEN '1990-01-01' AND '2199-12-31'", name=op.f("ck_campaigns_ends_within_calendar")
        ),
        sa.CheckConstraint("starts_on <= ends_on", name=op.f("ck_campaigns_flight_in_order")),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.id"], name=op.f("fk_campaigns_brands")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        sa.UniqueConstraint("brand_id", "id", name=op.f("uq_campaigns_brand_id_id")),
        sa.UniqueConstraint("platform", "external_id", name=op.f("uq_campaigns_platform_external_id")),
    )
    op.create_index(
        "ix_campaigns_never_enforced",
        "campaigns",
        ["brand_id"],
        unique=False,
        postgresql_where=sa.text("enforced_at IS NULL"),
    )
    op.create_index("ix_campaigns_next_change_at", "campaigns", ["next_change_at"], unique=False)
    op.create_table(
        "budgets",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=True),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("limit_micros", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "period IN ('daily', 'weekly', 'monthly', 'yearly', 'lifetime')", name=op.f("ck_budgets_period_known")
        ),
        sa.CheckConstraint("limit_micros >= 0", name=op.f("ck_budgets_limit_not_negative")),
        sa.ForeignKeyConstraint(
            ["brand_id", "campaign_id"], ["campaigns.brand_id", "campaigns.id"], name="fk_budgets_campaigns"
        ),
        sa.ForeignKeyConstraint(["brand_id"], ["brands.id"], name=op.f("fk_budgets_brands")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budgets")),
        sa.UniqueConstraint(
            "brand_id", "campaign_id", "period", name="uq_budgets_one_a_period", postgresql_nulls_not_distinct=True
        ),
    )
    op.create_table(
        "campaign_days",
        sa.Column("brand_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("spent_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["brand_id", "campaign_id"], ["campaigns.brand_id", "campaigns.id"], name="fk_campaign_days_campaigns"
        ),
        sa.PrimaryKeyConstraint("brand_id", "campaign_id", "day", name=op.f("pk_campaign_days")),
        postgresql_with={"fillfactor": "70"},
    )
    op.create_table(
        "dayparts",
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("weekday", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("starts_minute", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("ends_minute", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint(
            "starts_minute >= 0 AND starts_minute < ends_minute AND ends_minute <= 1440",
            name=op.f("ck_dayparts_minutes_in_order"),
        ),
        sa.CheckConstraint("weekday BETWEEN 1 AND 7", name=op.f("ck_dayparts_weekday_known")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_dayparts_campaigns")),
        sa.PrimaryKeyConstraint("campaign_id", "weekday", "starts_minute", name=op.f("pk_dayparts")),
    )
    op.create_table(
        "reported_totals",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("total_micros", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("previous_micros", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_reported_totals_campaigns")),
        sa.PrimaryKeyConstraint("source", "campaign_id", "day", name=op.f("pk_reported_totals")),
    )
    op.create_table(
        "status_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("brand_id", sa.BigInteger(), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("from_status", sa.Text(), nullable=False),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("holds_before", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("holds_after", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.CheckConstraint(
            "(to_status = 'active') = (holds_after = '{}')", name=op.f("ck_status_changes_active_has_no_holds")
        ),
        sa.CheckConstraint("from_status <> to_status", name=op.f("ck_status_changes_is_a_toggle")),
        sa.ForeignKeyConstraint(
            ["brand_id", "campaign_id"], ["campaigns.brand_id", "campaigns.id"], name="fk_status_changes_campaigns"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_status_changes")),
    )
    op.create_index("ix_status_changes_brand_id_changed_at", "status_changes", ["brand_id", "changed_at"], unique=False)
    op.create_index("ix_status_changes_campaign_id_id", "status_changes", ["campaign_id", "id"], unique=False)
    make_functions_and_triggers()


def downgrade() -> None:
    op.drop_index("ix_status_changes_campaign_id_id", table_name="status_changes")
    op.drop_index("ix_status_changes_brand_id_changed_at", table_name="status_changes")
    op.drop_table("status_changes")
    op.drop_table("reported_totals")
    op.drop_table("dayparts")
    op.drop_table("campaign_days")
    op.drop_table("budgets")
    op.drop_index("ix_campaigns_next_change_at", table_name="campaigns")
    op.drop_index(
        "ix_campaigns_never_enforced", table_name="campaigns", postgresql_where=sa.text("enforced_at IS NULL")
    )
    op.drop_table("campaigns")
    op.drop_table("monthly_reports")
    op.drop_table("brand_days")
    op.drop_table("watermarks")
    op.drop_table("spend_events")
    op.drop_index(
        "uq_rejected_events_waiting", table_name="rejected_events", postgresql_where=sa.text("replayed_at IS NULL")
    )
    op.drop_index("ix_rejected_events_received_at", table_name="rejected_events")
    op.drop_table("rejected_events")
    op.drop_index("ix_budget_limits_brand_id_campaign_id", table_name="budget_limits")
    op.drop_table("budget_limits")
    op.drop_index("ix_brands_time_zone", table_name="brands")
    op.drop_table("brands")
    op.drop_index("ix_audit_entries_subject_subject_id", table_name="audit_entries")
    op.drop_table("audit_entries")
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
