"""Sets and lifts holds by hand on one campaign, with an audit entry for each edit."""

from sqlalchemy import Connection, text

from db.repository.access.audit import Edit, Subject, note
from domain.errors import InvalidValue
from domain.holds import in_order, settable

BRAND_OF = text("SELECT brand_id FROM campaigns WHERE id = :id")

# Locks the campaign, so that two concurrent edits do not overwrite each other.
SET_HOLDS_OF = text("SELECT set_holds FROM campaigns WHERE brand_id = :brand_id AND id = :id FOR NO KEY UPDATE")

UPDATE_SET_HOLDS = text("""
    UPDATE campaigns SET set_holds = CAST(:set_holds AS text[]) WHERE brand_id = :brand_id AND id = :id
""")


def set_hold(connection: Connection, campaign_id: int, hold: str, edit: Edit) -> None:
    """Sets a hold on the campaign; one that is set already stays. The caller enforces the brand in the same commit.

    Raises InvalidValue for a campaign that does not exist, or a hold that cannot be set by hand.
    """
    _change(connection, campaign_id, edit, added={settable(hold).value}, removed=set())


def lift_hold(connection: Connection, campaign_id: int, hold: str, edit: Edit) -> None:
    """Lifts a hold that was set by hand on the campaign; does nothing if it is not set.

    The caller enforces the brand in the same commit. Raises InvalidValue for a campaign that does not exist, or a hold
    that cannot be set by hand.
    """
    _change(connection, campaign_id, edit, added=set(), removed={settable(hold).value})


def _change(connection: Connection, campaign_id: int, edit: Edit, *, added: set[str], removed: set[str]) -> None:
    brand_id = connection.scalar(BRAND_OF, {"id": campaign_id})
    if brand_id is None:
        raise InvalidValue("campaign", f"there is no campaign {campaign_id}")
    key = {"brand_id": brand_id, "id": campaign_id}
    old = list(connection.execute(SET_HOLDS_OF, key).scalar_one())
    new = list(in_order({*old, *added} - removed))
    if new == old:
        return
    connection.execute(UPDATE_SET_HOLDS, key | {"set_holds": new})
    subject = Subject("campaign", campaign_id, brand_id)
    note(connection, edit, "edit", subject, {"set_holds": old}, {"set_holds": new})
