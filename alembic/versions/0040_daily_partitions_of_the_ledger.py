"""The ledger may be partitioned by days, and its retention given in days"""

import sqlalchemy as sa
from alembic import op

from domain.errors import InvalidValue

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

# As `spendgate migrate` last read it from SPENDGATE_LEDGER_PARTITIONS; only the owner can replace it.
LEDGER_PARTITION_KIND = """
CREATE FUNCTION ledger_partition_kind() RETURNS text LANGUAGE sql STABLE AS 'SELECT ''month''::text'
"""

# As `spendgate migrate` last read it from SPENDGATE_LEDGER_RETENTION_DAYS; only the owner can replace it.
LEDGER_RETENTION_DAYS = """
CREATE FUNCTION ledger_retention_days() RETURNS integer LANGUAGE sql STABLE AS 'SELECT NULL::integer'
"""

# The ledger's partitions with their UTC days, oldest first: spend_events_YYYY_MM, or spend_events_YYYY_MM_DD.
LEDGER_PARTITIONS = """
CREATE FUNCTION ledger_partitions(OUT part regclass, OUT first_day date, OUT end_day date) RETURNS SETOF record
LANGUAGE sql STABLE AS $$
    SELECT oid::regclass, first_day,
        CASE kind WHEN 'day' THEN first_day + 1 ELSE (first_day + interval '1 month')::date END
    FROM (
        SELECT child.oid, CASE length(relname) WHEN 23 THEN 'day' ELSE 'month' END AS kind,
            to_date(substr(relname, 14), CASE length(relname) WHEN 23 THEN 'YYYY_MM_DD' ELSE 'YYYY_MM' END) AS first_day
        FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'spend_events'::regclass
    ) AS named
    ORDER BY first_day
$$
"""

# Makes the partition of a UTC day, if it is missing, and says which days it holds: those of a month, or one. Null: it
# was dropped, or lies before what was, and is not made again. A month has partitions of one kind: of days if it has one
# already, if its first days were dropped, or if new partitions are of days. The floor is read after the lock, which
# whoever drops a partition holds until its commit; a floor after this month's start is an error of a clock, and stops
# nobody. Runs with its owner's rights, so it takes nothing on trust.
ENSURE_LEDGER_PARTITION = r"""
CREATE FUNCTION ensure_ledger_partition(
    day date, OUT is_created boolean, OUT first_day date, OUT end_day date
) LANGUAGE plpgsql {definer} AS $$
DECLARE
    month date := date_trunc('month', day);
    month_end date := date_trunc('month', day) + interval '1 month';
    of_month text := 'spend_events_' || to_char(day, 'YYYY_MM');
    of_day text := 'spend_events_' || to_char(day, 'YYYY_MM_DD');
    part text := of_month;
    kept_from date;
BEGIN
    IF day IS NULL OR day NOT BETWEEN '1970-01-01' AND '2199-12-31' THEN
        RAISE EXCEPTION 'not a day from 1970 to 2199: %', day USING ERRCODE = '22023';
    END IF;
    is_created := false;
    IF to_regclass(of_month) IS NOT NULL THEN
        first_day := month;
        end_day := month_end;
        RETURN;
    ELSIF to_regclass(of_day) IS NOT NULL THEN
        first_day := day;
        end_day := day + 1;
        RETURN;
    END IF;
    -- One at a time, with attaching and dropping: inserts go on beside it, and a reader may not take it.
    LOCK TABLE spend_events IN SHARE UPDATE EXCLUSIVE MODE;
    first_day := month;
    end_day := month_end;
    -- Asked of the catalog itself: the name's absence may still be cached from before the wait.
    IF EXISTS (SELECT FROM pg_class WHERE relname = of_month AND relnamespace = current_schema()::regnamespace) THEN
        RETURN;
    END IF;
    SELECT least(reached_at AT TIME ZONE 'UTC', date_trunc('month', now() AT TIME ZONE 'UTC'))::date INTO kept_from
    FROM watermarks WHERE name = 'ledger_floor';
    IF ledger_partition_kind() = 'day' OR (month < kept_from AND kept_from < month_end) OR EXISTS (
        SELECT FROM pg_class
        WHERE relname ~ ('^' || of_month || '_\d\d$') AND relnamespace = current_schema()::regnamespace
    ) THEN
        part := of_day;
        first_day := day;
        end_day := day + 1;
        IF EXISTS (SELECT FROM pg_class WHERE relname = of_day AND relnamespace = current_schema()::regnamespace) THEN
            RETURN;
        END IF;
    END IF;
    IF end_day <= kept_from THEN
        is_created := NULL;
        first_day := NULL;
        end_day := NULL;
        RETURN;
    END IF;
    -- Made aside and then attached: that takes a lock which lets inserts into other partitions go on.
    EXECUTE format(
        'CREATE TABLE %I (LIKE spend_events INCLUDING DEFAULTS, CONSTRAINT %I PRIMARY KEY (brand_id, event_id))',
        part, 'pk_' || part
    );
    EXECUTE format(
        'ALTER TABLE spend_events ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        part, first_day::timestamp AT TIME ZONE 'UTC', end_day::timestamp AT TIME ZONE 'UTC'
    );
    is_created := true;
END $$
"""

# For processes of earlier versions: makes what is missing of a month. True: made just now. False: it stands. Null: all
# of it was dropped.
ENSURE_LEDGER_MONTH = """
CREATE OR REPLACE FUNCTION ensure_ledger_month(month date) RETURNS boolean LANGUAGE plpgsql {definer} AS $$
DECLARE
    day date := month;
    made record;
    is_created boolean;
BEGIN
    IF month IS NULL OR month <> date_trunc('month', month) OR month NOT BETWEEN '1970-01-01' AND '2199-12-01' THEN
        RAISE EXCEPTION 'not the first day of a month from 1970 to 2199: %', month USING ERRCODE = '22023';
    END IF;
    WHILE day < month + interval '1 month' LOOP
        SELECT * INTO made FROM ensure_ledger_partition(day);
        IF made.end_day IS NOT NULL THEN
            is_created := COALESCE(is_created, false) OR made.is_created;
        END IF;
        day := COALESCE(made.end_day, day + 1);
    END LOOP;
    RETURN is_created;
END $$
"""

# Drops the partitions, of months or days, that end by a day, returns their first days, and raises the floor to the end
# of the last. A role that may drop the table anyway may drop within the retention, by any clock.
DROP_LEDGER_MONTHS = """
CREATE OR REPLACE FUNCTION drop_ledger_months(earliest date) RETURNS SETOF date LANGUAGE plpgsql {definer} AS $$
DECLARE
    today date := now() AT TIME ZONE 'UTC';
    kept_months integer := ledger_retention_months();
    one record;
    dropped_to date;
BEGIN
    IF NOT pg_has_role(session_user, current_user, 'MEMBER') THEN
        earliest := CASE
            WHEN kept_months IS NOT NULL
                THEN least(earliest, (date_trunc('month', today) - make_interval(months => kept_months))::date)
            WHEN ledger_retention_days() IS NOT NULL THEN least(earliest, today - ledger_retention_days())
        END;
    END IF;
    FOR one IN SELECT * FROM ledger_partitions() WHERE end_day <= earliest LOOP
        EXECUTE format('DROP TABLE %s', one.part);
        dropped_to := one.end_day;
        RETURN NEXT one.first_day;
    END LOOP;
    IF dropped_to IS NOT NULL THEN
        INSERT INTO watermarks AS known (name, reached_at)
        VALUES ('ledger_floor', dropped_to::timestamp AT TIME ZONE 'UTC')
        ON CONFLICT (name) DO UPDATE SET reached_at = greatest(known.reached_at, excluded.reached_at);
    END IF;
END $$
"""

# Drops the partitions of the months that have no event and no partition of the kind of new ones, so that new ones are
# made in their place; returns the first days of these months. The tables' owner alone can run it.
REPLACE_EMPTY_LEDGER_MONTHS = """
CREATE FUNCTION replace_empty_ledger_months() RETURNS SETOF date LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    one record;
    part regclass;
    is_used boolean;
    is_locked boolean := false;
BEGIN
    FOR one IN
        SELECT date_trunc('month', first_day)::date AS month, array_agg(ledger_partitions.part) AS parts
        FROM ledger_partitions()
        GROUP BY 1
        HAVING NOT bool_or((end_day = first_day + 1) = (ledger_partition_kind() = 'day'))
        ORDER BY 1
    LOOP
        -- Looked at twice: most months have events, and are not worth a lock that stops counting.
        FOR turn IN 1..2 LOOP
            FOREACH part IN ARRAY one.parts LOOP
                EXECUTE format('SELECT EXISTS (SELECT 1 FROM %s)', part) INTO is_used;
                EXIT WHEN is_used;
            END LOOP;
            EXIT WHEN is_used OR is_locked;
            LOCK TABLE spend_events IN ACCESS EXCLUSIVE MODE;
            is_locked := true;
        END LOOP;
        CONTINUE WHEN is_used;
        FOREACH part IN ARRAY one.parts LOOP
            EXECUTE format('DROP TABLE %s', part);
        END LOOP;
        RETURN NEXT one.month;
    END LOOP;
END $$
"""

HAS_DAYS = "SELECT count(*) FROM ledger_partitions() WHERE end_day = first_day + 1"
MONTHS_AGAIN = (
    "CREATE OR REPLACE FUNCTION ledger_partition_kind() RETURNS text LANGUAGE sql STABLE AS 'SELECT ''month'''"
)

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

DROP_LEDGER_MONTHS_BEFORE = """
CREATE OR REPLACE FUNCTION drop_ledger_months(earliest date) RETURNS SETOF date LANGUAGE plpgsql {definer} AS $$
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


def as_owner() -> str:
    """Runs as the function's owner, with the schema that we migrate as the only place of names."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    return f"SECURITY DEFINER SET search_path = {schema}, pg_temp"


def upgrade() -> None:
    op.execute(LEDGER_PARTITION_KIND)
    op.execute(LEDGER_RETENTION_DAYS)
    op.execute(LEDGER_PARTITIONS)
    op.execute(ENSURE_LEDGER_PARTITION.format(definer=as_owner()))
    op.execute(ENSURE_LEDGER_MONTH.format(definer=as_owner()))
    op.execute(DROP_LEDGER_MONTHS.format(definer=as_owner()))
    op.execute(REPLACE_EMPTY_LEDGER_MONTHS)
    op.execute("REVOKE EXECUTE ON FUNCTION ensure_ledger_partition(date) FROM PUBLIC")
    op.execute("REVOKE EXECUTE ON FUNCTION replace_empty_ledger_months() FROM PUBLIC")


def downgrade() -> None:
    op.execute(MONTHS_AGAIN)
    op.execute("SELECT replace_empty_ledger_months()")
    if op.get_bind().scalar(sa.text(HAS_DAYS)):
        raise InvalidValue("--down", "the ledger has days with events, which earlier versions cannot count in")
    op.execute("DROP FUNCTION replace_empty_ledger_months()")
    op.execute(DROP_LEDGER_MONTHS_BEFORE.format(definer=as_owner()))
    op.execute(ENSURE_LEDGER_MONTH_BEFORE.format(definer=as_owner()))
    for function in (
        *("ensure_ledger_partition(date)", "ledger_partitions()", "ledger_retention_days()", "ledger_partition_kind()"),
    ):
        op.execute(f"DROP FUNCTION {function}")
