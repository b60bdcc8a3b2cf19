"""Sets and lifts the hold `platform_paused` on several servers, where workers may set no other hold.

On a single server a function with its owner's rights sets the hold. Citus does not let such a function write to a
server to which the caller's transaction wrote before. So on Citus workers may update the column `set_holds` themselves,
a trigger refuses them any hold but this one, and a function with its owner's rights adds the audit entry, whose table
is on the coordinator.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

NOTE: Final = "note_platform_hold"
"""The SQL function that adds the audit entry when the hold is set or lifted."""

# The author is a platform and the moment is the database's, so that workers write no entry in a person's name.
NOTE_PLATFORM_HOLD: Final = """
    CREATE OR REPLACE FUNCTION note_platform_hold(
        of_brand bigint, of_campaign bigint, is_held boolean, new_holds text[], said_by text, said_at timestamptz
    ) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    DECLARE
        old_holds text[] := array_remove(new_holds, 'platform_paused');
    BEGIN
        IF COALESCE(said_by, '') !~ '^platform:.' THEN
            RAISE EXCEPTION 'the hold of a platform has no author' USING ERRCODE = '22023';
        END IF;
        IF NOT is_held THEN
            old_holds := array_append(old_holds, 'platform_paused');
        END IF;
        INSERT INTO audit_entries (changed_at, changed_by, action, subject, subject_id, brand_id, old, new) VALUES (
            clock_timestamp(), said_by, 'edit', 'campaign', of_campaign, of_brand,
            jsonb_build_object('set_holds', old_holds), jsonb_build_object('set_holds', new_holds)
        );
    END $$
"""

KEEP_SET_HOLDS: Final = """
    CREATE OR REPLACE FUNCTION keep_set_holds() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT has_column_privilege(TG_RELID, 'configured_status', 'UPDATE')
            AND array_remove(NEW.set_holds, 'platform_paused') <> array_remove(OLD.set_holds, 'platform_paused')
        THEN
            RAISE insufficient_privilege USING MESSAGE = 'role ' || current_user || ' may set no other hold';
        END IF;
        RETURN NEW;
    END $$
"""

TRIGGER: Final = ("campaigns", "keep_set_holds")

KEEP_SET_HOLDS_TRIGGER: Final = """
    CREATE TRIGGER keep_set_holds BEFORE UPDATE OF set_holds ON campaigns
    FOR EACH ROW WHEN (NEW.set_holds IS DISTINCT FROM OLD.set_holds) EXECUTE FUNCTION keep_set_holds()
"""

SET = text("""
    UPDATE campaigns SET set_holds = CASE WHEN CAST(:is_held AS boolean)
        THEN array_append(set_holds, 'platform_paused') ELSE array_remove(set_holds, 'platform_paused') END
    WHERE brand_id = :brand_id AND id = :campaign_id
        AND ('platform_paused' = ANY(set_holds)) <> CAST(:is_held AS boolean)
        AND EXISTS (SELECT FROM platform_statuses WHERE brand_id = :brand_id AND campaign_id = :campaign_id)
    RETURNING set_holds
""")

NOTE_EDIT = text("""
    SELECT note_platform_hold(:brand_id, :campaign_id, :is_held, CAST(:set_holds AS text[]), :by, :at)
""")


def create(connection: Connection, triggers: set[tuple[str, str]]) -> None:
    """Creates or replaces the functions that limit and audit the hold, and creates the trigger that limits it.

    `triggers`: (table, name) of the triggers that exist; if the trigger is one of them, it is left.
    """
    schema = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    connection.exec_driver_sql(NOTE_PLATFORM_HOLD.format(schema=schema))
    connection.exec_driver_sql(f"REVOKE EXECUTE ON FUNCTION {NOTE} FROM PUBLIC")
    connection.exec_driver_sql(KEEP_SET_HOLDS)
    if TRIGGER not in triggers:
        connection.exec_driver_sql(KEEP_SET_HOLDS_TRIGGER)


def set_hold(connection: Connection, brand_id: int, campaign_id: int, by: str, at: datetime, *, is_held: bool) -> bool:
    """Sets (`is_held`) or lifts the hold `platform_paused` with an audit entry; returns whether the campaign changed.

    Leaves a campaign unchanged that has no row in `platform_statuses`. `by`: such as `platform:meta`; DBAPIError is
    raised if it does not begin with `platform:`. The entry has the database's time, not `at`.
    """
    key: dict[str, Any] = {"brand_id": brand_id, "campaign_id": campaign_id, "is_held": is_held}
    changed = connection.execute(SET, key).first()
    if changed is None:
        return False
    connection.execute(NOTE_EDIT, key | {"set_holds": changed.set_holds, "by": by, "at": at})
    return True
