"""Old days of the ledger may share the partition of their month, also where new partitions are of days"""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

# Makes the partition of a day's UTC month, unless the month has a partition already, or a part of it was dropped. Runs
# with its owner's rights, so it takes nothing on trust. As in `ensure_ledger_partition`: one at a time, and a floor
# after this month's start is an error of a clock, and stops nobody.
MAKE_WHOLE_LEDGER_MONTH = r"""
CREATE FUNCTION make_whole_ledger_month(day date) RETURNS void LANGUAGE plpgsql {definer} AS $$
DECLARE
    month date := date_trunc('month', day);
    month_end date := date_trunc('month', day) + interval '1 month';
    part text := 'spend_events_' || to_char(day, 'YYYY_MM');
    kept_from date;
BEGIN
    IF day IS NULL OR day NOT BETWEEN '1970-01-01' AND '2199-12-31' THEN
        RAISE EXCEPTION 'not a day from 1970 to 2199: %', day USING ERRCODE = '22023';
    END IF;
    LOCK TABLE spend_events IN SHARE UPDATE EXCLUSIVE MODE;
    SELECT least(reached_at AT TIME ZONE 'UTC', date_trunc('month', now() AT TIME ZONE 'UTC'))::date INTO kept_from
    FROM watermarks WHERE name = 'ledger_floor';
    IF month < kept_from OR EXISTS (
        SELECT FROM pg_class
        WHERE relname ~ ('^' || part || '(_\d\d)?$') AND relnamespace = current_schema()::regnamespace
    ) THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I (LIKE spend_events INCLUDING DEFAULTS, CONSTRAINT %I PRIMARY KEY (brand_id, event_id))',
        part, 'pk_' || part
    );
    EXECUTE format(
        'ALTER TABLE spend_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        part, month::timestamp AT TIME ZONE 'UTC', month_end::timestamp AT TIME ZONE 'UTC'
    );
END $$
"""


def upgrade() -> None:
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    definer = f"SECURITY DEFINER SET search_path = {schema}, pg_temp"
    op.execute(MAKE_WHOLE_LEDGER_MONTH.format(definer=definer))
    op.execute("REVOKE EXECUTE ON FUNCTION make_whole_ledger_month(date) FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION make_whole_ledger_month(date)")
