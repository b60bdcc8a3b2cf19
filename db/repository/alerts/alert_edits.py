"""Acknowledgements of alerts by people and programs."""

from sqlalchemy import Connection, text

from db.repository.access.audit import Edit, Subject, note
from db.repository.alerts.alerts import required

ACKNOWLEDGE = text("""
    UPDATE alerts SET acknowledged_at = COALESCE(acknowledged_at, :at),
        acknowledged_by = COALESCE(acknowledged_by, :by)
    WHERE id = :id
""")

TAKE_BACK = text("UPDATE alerts SET acknowledged_at = NULL, acknowledged_by = NULL WHERE id = :id")


def acknowledge(connection: Connection, alert_id: int, edit: Edit, *, take_back: bool = False) -> None:
    """Stores the author of `edit` as the person who acknowledged the alert, unless another did before.

    `take_back`: removes the acknowledgement instead. Raises InvalidValue if there is no such alert.
    """
    old = required(connection, alert_id)
    connection.execute(TAKE_BACK if take_back else ACKNOWLEDGE, {"id": alert_id, "at": edit.at, "by": edit.by})
    new = None if take_back else old["acknowledged_by"] or edit.by
    if new != old["acknowledged_by"]:
        before, after = {"acknowledged_by": old["acknowledged_by"]}, {"acknowledged_by": new}
        note(connection, edit, "edit", Subject("alert", alert_id, old["brand_id"]), before, after)
