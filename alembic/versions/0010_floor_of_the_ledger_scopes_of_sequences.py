"""No month below the ledger's floor is made again, sources belong to senders, a limit of 0 leaves no headroom"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Headroom that was reckoned when a refund still lifted a limit of 0.
FORGET_HEADROOM_OF_ZERO_LIMITS = """
UPDATE brands SET headroom_micros = NULL
WHERE headroom_micros IS NOT NULL
    AND id IN (SELECT brand_id FROM budgets WHERE campaign_id IS NULL AND limit_micros = 0)
"""

# True: made just now. False: it stands. Null: it was dropped, or lies before what was, and is not made again. The floor
# is read after the lock, which whoever drops a month holds until its commit; a floor beyond this month is an error of
# a clock, and stops nobody. Run with its owner's rights, so it takes nothing on trust.
ENSURE_LEDGER_MONTH = """
CREATE OR REPLACE FUNCTION ensure_ledger_month(month date) RETURNS boolean LANGUAGE plpgsql {definer} AS $$
DECLARE
    part text := 'spend_events_' || to_char(month, 'YYYY_MM');
BEGIN
    IF month IS NULL OR month <> date_trunc('month', month) OR month NOT BETWEEN '1970-01-01' AND '2199-12-01' THEN
        RAISE EXCEPTION 'not the first day of a month from 1970 to 2199: %', month USING ERRCODE = '22023';
    END IF;
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- One at a time, with attaching and dropping: inserts go on beside it, and a reader may not take it.
    LOCK TABLE spend_events IN SHARE UPDATE EXCLUSIVE MODE;
    -- Asked of the catalog itself: the name's absence may still be cached from before the wait.
    IF EXISTS (SELECT FROM pg_class WHERE relname = part AND relnamespace = current_schema()::regnamespace) THEN
        RETURN false;
    END IF;
    IF EXISTS (
        SELECT FROM watermarks
        WHERE name = 'ledger_floor' AND (month + interval '1 month') AT TIME ZONE 'UTC' <= least(
            reached_at, date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
        )
    ) THEN
        RETURN NULL;
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

ENSURE_LEDGER_MONTH_BEFORE = """
CREATE OR REPLACE FUNCTION ensure_ledger_month(month date) RETURNS boolean LANGUAGE plpgsql {definer} AS $$
DECLARE
    part text := 'spend_events_' || to_char(month, 'YYYY_MM');
BEGIN
    IF month IS NULL OR month <> date_trunc('month', month) OR month NOT BETWEEN '1970-01-01' AND '2199-12-01' THEN
        RAISE EXCEPTION 'not the first day of a month from 1970 to 2199: %', month USING ERRCODE = '22023';
    END IF;
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


def as_owner() -> str:
    """Runs as the function's owner, with the schema that we migrate as the only place of names."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    return f"SECURITY DEFINER SET search_path = {schema}, pg_temp"


def upgrade() -> None:
    op.execute(FORGET_HEADROOM_OF_ZERO_LIMITS)
    op.execute(ENSURE_LEDGER_MONTH.format(definer=as_owner()))
    # What arrived before is taken for that of senders who know all brands.
    brand = sa.Column("sender_brand_id", sa.BigInteger(), server_default="0", nullable=False)
    op.add_column("sequence_runs", brand)
    op.drop_index("ix_sequence_runs_source", "sequence_runs")
    op.create_index("ix_sequence_runs_sender_brand_id_source", "sequence_runs", ["sender_brand_id", "source", "first"])


def downgrade() -> None:
    op.drop_index("ix_sequence_runs_sender_brand_id_source", "sequence_runs")
    op.drop_column("sequence_runs", "sender_brand_id")
    op.create_index("ix_sequence_runs_source", "sequence_runs", ["source", "first"])
    op.execute(ENSURE_LEDGER_MONTH_BEFORE.format(definer=as_owner()))
