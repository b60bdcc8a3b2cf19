"""Rejected inputs and audit entries are deleted past a retention, whole seals at a time, by a function of the owner"""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0032"
branch_labels = None
depends_on = None

# As `spendgate migrate` last read it from the settings; only the owner can replace it.
HISTORY_RETENTION_DAYS = """
CREATE FUNCTION history_retention_days(of_history text) RETURNS integer LANGUAGE sql STABLE AS 'SELECT NULL::integer'
"""

# Runs with its owner's rights, so it takes from its caller the name of the history and the size of a batch alone.
# Deletes the rows of whole seals, so that every other seal still proves its rows.
FORGET_HISTORY = """
CREATE FUNCTION forget_history(of_history text, at_most integer) RETURNS bigint LANGUAGE plpgsql {definer} AS $$
DECLARE
    kept interval := make_interval(days => history_retention_days(of_history));
    first_kept bigint;
    floor bigint;
    removed bigint;
BEGIN
    IF of_history NOT IN ('audit_entries', 'rejected_events') THEN
        RAISE EXCEPTION 'no history with a retention: %', of_history USING ERRCODE = '22023';
    END IF;
    IF kept IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO history_floors (history, forgotten_to_id) VALUES (of_history, 0) ON CONFLICT DO NOTHING;
    SELECT forgotten_to_id INTO floor FROM history_floors WHERE history = of_history FOR UPDATE;
    IF of_history = 'audit_entries' THEN
        SELECT min(id) INTO first_kept FROM audit_entries WHERE changed_at > now() - kept;
    ELSE
        SELECT min(id) INTO first_kept FROM rejected_events WHERE received_at > now() - kept;
    END IF;
    SELECT max(up_to_id) INTO floor FROM (
        SELECT up_to_id, sum(row_count) OVER (ORDER BY up_to_id) - row_count AS rows_before FROM history_seals
        WHERE history = of_history AND after_id >= floor AND (first_kept IS NULL OR up_to_id < first_kept)
    ) AS seals WHERE rows_before < at_most;
    IF floor IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE history_floors SET forgotten_to_id = floor WHERE history = of_history;
    EXECUTE format('DELETE FROM %I WHERE id <= $1', of_history) USING floor;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END $$
"""

REFUSE_EDIT_OF_HISTORY = """
CREATE OR REPLACE FUNCTION refuse_edit_of_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {exception}RAISE EXCEPTION 'history is append-only: % of % refused', TG_OP, TG_TABLE_NAME USING ERRCODE = '42501';
END $$
"""

UNLESS_FORGOTTEN = """IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit_entries' THEN
        IF EXISTS (SELECT FROM history_floors WHERE history = 'audit_entries' AND forgotten_to_id >= OLD.id) THEN
            RETURN OLD;
        END IF;
    END IF;
    """


def as_owner() -> str:
    """Runs as the function's owner, with the schema that we migrate as the only place of names."""
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    return f"SECURITY DEFINER SET search_path = {schema}, pg_temp"


def upgrade() -> None:
    op.create_table(
        "history_floors",
        sa.Column("history", sa.Text(), nullable=False),
        sa.Column("forgotten_to_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("history IN ('audit_entries', 'rejected_events')", name=op.f("ck_history_floors_known")),
        sa.CheckConstraint("forgotten_to_id >= 0", name=op.f("ck_history_floors_not_negative")),
        sa.PrimaryKeyConstraint("history", name=op.f("pk_history_floors")),
    )
    op.execute(HISTORY_RETENTION_DAYS)
    op.execute(FORGET_HISTORY.format(definer=as_owner()))
    op.execute("REVOKE EXECUTE ON FUNCTION forget_history(text, integer) FROM PUBLIC")
    op.execute(REFUSE_EDIT_OF_HISTORY.format(exception=UNLESS_FORGOTTEN))


def downgrade() -> None:
    op.execute(REFUSE_EDIT_OF_HISTORY.format(exception=""))
    op.execute("DROP FUNCTION forget_history(text, integer)")
    op.execute("DROP FUNCTION history_retention_days(text)")
    op.drop_table("history_floors")
