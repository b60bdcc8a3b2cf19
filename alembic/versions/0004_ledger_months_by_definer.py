"""The ledger's months are made and dropped by functions of its owner, for roles that own nothing"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Run with their owner's rights, so they take nothing on trust: not the path to a name, not the month.
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

# As `spendgate migrate` last read it from SPENDGATE_LEDGER_RETENTION_MONTHS; only the owner can replace it.
LEDGER_RETENTION_MONTHS = """
CREATE FUNCTION ledger_retention_months() RETURNS integer LANGUAGE sql STABLE AS 'SELECT NULL::integer'
"""

# Whoever may drop the table anyway is not held to the retention, nor to this server's clock.
DROP_LEDGER_MONTHS = """
CREATE FUNCTION drop_ledger_months(earliest date) RETURNS SETOF date LANGUAGE plpgsql {definer} AS $$
DECLARE
    part regclass;
    month date;
BEGIN
    IF NOT pg_has_role(session_user, current_user, 'MEMBER') THEN
        earliest := CASE WHEN ledger_retention_months() IS NOT NULL THEN least(
            earliest,
            (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => ledger_retention_months()))::date
        ) END;
    END IF;
    FOR part, month IN
        SELECT child.oid, to_date(right(child.relname, 7), 'YYYY_MM')
        FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'spend_events'::regclass
        ORDER BY 2
    LOOP
        IF month + interval '1 month' <= earliest THEN
            EXECUTE format('DROP TABLE %s', part);
            RETURN NEXT month;
        END IF;
    END LOOP;
END $$
"""

AS_CALLER = "SECURITY INVOKER"


def as_owner() -> str:
    """Runs as the function's owner, with the schema that we migrate as the only place of names."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    return f"SECURITY DEFINER SET search_path = {schema}, pg_temp"


def upgrade() -> None:
    op.execute(ENSURE_LEDGER_MONTH.format(definer=as_owner()))
    op.execute(LEDGER_RETENTION_MONTHS)
    op.execute(DROP_LEDGER_MONTHS.format(definer=as_owner()))
    for function in ("ensure_ledger_month(date)", "drop_ledger_months(date)"):
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP FUNCTION drop_ledger_months(date)")
    op.execute("DROP FUNCTION ledger_retention_months()")
    op.execute(ENSURE_LEDGER_MONTH.format(definer=AS_CALLER))
    op.execute("ALTER FUNCTION ensure_ledger_month(date) RESET search_path")
    op.execute("GRANT EXECUTE ON FUNCTION ensure_ledger_month(date) TO PUBLIC")
