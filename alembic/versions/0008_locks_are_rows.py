"""Locks are rows, status changes are ordered by a trigger and have an epoch, edits of budgets lock before they read"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAMES = ("status_changes", "brand_hours", "catalog", "sequence_runs")

# Whoever may lock a row may also update it, so updates are refused here. Row locks fire no trigger.
KEEP_LOCKS = """
CREATE FUNCTION keep_locks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are there to be locked, not edited: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = '42501';
END $$
"""

# Fires before the first id of the statement is given, whoever inserts: a worker of any version, a repair, a person.
ORDER_STATUS_CHANGES = """
CREATE FUNCTION order_status_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM locks WHERE name = 'status_changes' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the row status_changes of the table locks is missing' USING ERRCODE = 'P0002';
    END IF;
    RETURN NULL;
END $$
"""

# Runs once a statement, after its rows, and locks brands in id order, as ingest does. The budgets are read in a later
# statement than the lock, whose snapshot has all that was committed during the wait. Updates the brands even where
# nothing differs: so an edit on an older snapshot (REPEATABLE READ) fails instead of overlooking this one.
FORGET_HEADROOM = """
CREATE FUNCTION forget_headroom() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    brand_ids bigint[];
BEGIN
    brand_ids := ARRAY(SELECT DISTINCT brand_id FROM changed);
    IF TG_OP = 'UPDATE' THEN
        brand_ids := brand_ids || ARRAY(SELECT DISTINCT brand_id FROM replaced);
    END IF;
    PERFORM FROM brands WHERE id = ANY(brand_ids) ORDER BY id FOR NO KEY UPDATE;
    UPDATE brands
    SET headroom_micros = NULL, has_campaign_budgets = EXISTS (
        SELECT FROM budgets WHERE budgets.brand_id = brands.id AND campaign_id IS NOT NULL
    )
    WHERE id = ANY(brand_ids);
    RETURN NULL;
END $$
"""

CHANGED_ROWS = {
    "INSERT": "NEW TABLE AS changed",
    "UPDATE": "OLD TABLE AS replaced NEW TABLE AS changed",
    "DELETE": "OLD TABLE AS changed",
}

# As in 0007.
FORGET_HEADROOM_BY_ROW = """
CREATE FUNCTION forget_headroom() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE brands
    SET headroom_micros = NULL, has_campaign_budgets = EXISTS (
        SELECT FROM budgets WHERE budgets.brand_id = brands.id AND campaign_id IS NOT NULL
    )
    WHERE (TG_OP <> 'DELETE' AND id = NEW.brand_id) OR (TG_OP <> 'INSERT' AND id = OLD.brand_id);
    RETURN NULL;
END $$
"""

CORRECT_FLAGS = """
UPDATE brands SET has_campaign_budgets = NOT has_campaign_budgets
WHERE has_campaign_budgets <> EXISTS (
    SELECT FROM budgets WHERE budgets.brand_id = brands.id AND campaign_id IS NOT NULL
)
"""

# The moment of an edit by SQL is when it got its turn, not when its transaction began: it may have waited between.
STAMP_BUDGET_CHANGE = """
CREATE OR REPLACE FUNCTION stamp_budget_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.changed_at = OLD.changed_at THEN
        NEW.changed_at := {now};
    END IF;
    RETURN NEW;
END $$
"""

KEEP_BUDGET_LIMITS = """
CREATE OR REPLACE FUNCTION keep_budget_limits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO budget_limits (brand_id, campaign_id, period, limit_micros, changed_at)
        VALUES (
            OLD.brand_id, OLD.campaign_id, OLD.period, NULL,
            COALESCE(NULLIF(current_setting('spendgate.edited_at', true), '')::timestamptz, {now})
        );
    ELSIF TG_OP = 'INSERT' OR NEW.limit_micros <> OLD.limit_micros
        OR (NEW.brand_id, NEW.campaign_id, NEW.period) IS DISTINCT FROM (OLD.brand_id, OLD.campaign_id, OLD.period)
    THEN
        IF TG_OP = 'UPDATE'
            AND (NEW.brand_id, NEW.campaign_id, NEW.period) IS DISTINCT FROM (OLD.brand_id, OLD.campaign_id, OLD.period)
        THEN
            INSERT INTO budget_limits (brand_id, campaign_id, period, limit_micros, changed_at)
            VALUES (OLD.brand_id, OLD.campaign_id, OLD.period, NULL, NEW.changed_at);
        END IF;
        INSERT INTO budget_limits (brand_id, campaign_id, period, limit_micros, changed_at)
        VALUES (NEW.brand_id, NEW.campaign_id, NEW.period, NEW.limit_micros, NEW.changed_at);
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    # Whoever enforces locks brands first: while we hold the table, nobody is about to append a status change.
    op.execute("LOCK TABLE brands IN EXCLUSIVE MODE")
    _make_locks()
    op.execute(ORDER_STATUS_CHANGES)
    op.execute(
        "CREATE TRIGGER order_by_commit BEFORE INSERT ON status_changes "
        "FOR EACH STATEMENT EXECUTE FUNCTION order_status_changes()"
    )
    _make_epoch()
    _make_spend_files()
    _lock_brands_once_a_statement()
    for function in (STAMP_BUDGET_CHANGE, KEEP_BUDGET_LIMITS):
        op.execute(function.format(now="clock_timestamp()"))
    op.execute(CORRECT_FLAGS)


def _make_epoch() -> None:
    op.create_table(
        "feed_epoch",
        sa.Column("is_only", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("epoch", sa.UUID(), nullable=False),
        sa.CheckConstraint("is_only", name=op.f("ck_feed_epoch_one_row")),
        sa.PrimaryKeyConstraint("is_only", name=op.f("pk_feed_epoch")),
    )
    op.execute("INSERT INTO feed_epoch (epoch) VALUES (gen_random_uuid())")


def _make_spend_files() -> None:
    op.create_table(
        "spend_files",
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("unchanged_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("imported_version", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("platform", "name", name=op.f("pk_spend_files")),
    )
    # Files are read once more for it; totals that are known change nothing.
    op.execute("DELETE FROM watermarks WHERE name LIKE 'export:%'")


def _lock_brands_once_a_statement() -> None:
    op.execute("DROP TRIGGER forget_headroom ON budgets")
    op.execute("DROP FUNCTION forget_headroom()")
    op.execute(FORGET_HEADROOM)
    for operation, rows in CHANGED_ROWS.items():
        op.execute(
            f"CREATE TRIGGER forget_headroom_{operation.lower()} AFTER {operation} ON budgets REFERENCING {rows} "
            "FOR EACH STATEMENT EXECUTE FUNCTION forget_headroom()"
        )


def _make_locks() -> None:
    op.create_table(
        "locks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_locks")),
    )
    op.bulk_insert(sa.table("locks", sa.column("name")), [{"name": name} for name in NAMES])
    op.execute(KEEP_LOCKS)
    op.execute(
        "CREATE TRIGGER keep_locks BEFORE UPDATE OR DELETE OR TRUNCATE ON locks "
        "FOR EACH STATEMENT EXECUTE FUNCTION keep_locks()"
    )


def downgrade() -> None:
    op.execute("LOCK TABLE brands IN EXCLUSIVE MODE")
    for operation in CHANGED_ROWS:
        op.execute(f"DROP TRIGGER forget_headroom_{operation.lower()} ON budgets")
    op.execute("DROP FUNCTION forget_headroom()")
    op.execute(FORGET_HEADROOM_BY_ROW)
    op.execute(
        "CREATE TRIGGER forget_headroom AFTER INSERT OR UPDATE OR DELETE ON budgets "
        "FOR EACH ROW EXECUTE FUNCTION forget_headroom()"
    )
    for function in (STAMP_BUDGET_CHANGE, KEEP_BUDGET_LIMITS):
        op.execute(function.format(now="now()"))
    op.execute("DROP TRIGGER order_by_commit ON status_changes")
    op.execute("DROP FUNCTION order_status_changes()")
    op.drop_table("spend_files")
    op.drop_table("feed_epoch")
    op.drop_table("locks")
    op.execute("DROP FUNCTION keep_locks()")
