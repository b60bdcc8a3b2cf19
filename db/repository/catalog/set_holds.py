"""Sets and lifts holds by hand on one campaign, with an audit entry for each edit."""

from typing import Final

from sqlalchemy import Connection, text

from db.repository.access.audit import Edit, Subject, note
from domain.errors import InvalidValue, NotFound
from domain.holds import Hold, in_order, settable
from domain.reconcile import ACTING

BRAND_OF = text("SELECT brand_id FROM campaigns WHERE id = :id")

# Locks the campaign, so that two concurrent edits do not overwrite each other.
SET_HOLDS_OF = text("""
    SELECT set_holds, platform_account_id FROM campaigns WHERE brand_id = :brand_id AND id = :id FOR NO KEY UPDATE
""")

MODE_OF_ACCOUNT = text("SELECT mode FROM platform_connections WHERE platform_account_id = :account")

UPDATE_SET_HOLDS = text("""
    UPDATE campaigns SET set_holds = CAST(:set_holds AS text[]) WHERE brand_id = :brand_id AND id = :id
""")

FOLLOWS_PLATFORM: Final = (
    "platform_paused follows the status on the ad platform while Spendgate pauses campaigns there: "
    "pause the campaign in Spendgate, or pause it on the platform"
)


def set_hold(connection: Connection, campaign_id: int, hold: str, edit: Edit) -> None:
    """Sets a hold on the campaign; one that is set already stays. The caller enforces the brand in the same commit.

    Raises InvalidValue for a campaign that does not exist, a hold that cannot be set by hand, or `platform_paused`, if
    not set yet, where the account is connected in mode `pause_only` or `full`: the next read of its status would lift
    it.
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
        raise NotFound("campaign", f"there is no campaign {campaign_id}")
    key = {"brand_id": brand_id, "id": campaign_id}
    row = connection.execute(SET_HOLDS_OF, key).one()
    old = list(row.set_holds)
    new = list(in_order({*old, *added} - removed))
    if new == old:
        return
    if Hold.PLATFORM_PAUSED in added and _follows_platform(connection, row.platform_account_id):
        raise InvalidValue("hold", FOLLOWS_PLATFORM)
    connection.execute(UPDATE_SET_HOLDS, key | {"set_holds": new})
    subject = Subject("campaign", campaign_id, brand_id)
    note(connection, edit, "edit", subject, {"set_holds": old}, {"set_holds": new})


def _follows_platform(connection: Connection, account: int | None) -> bool:
    """Whether Spendgate changes campaigns of the platform account, so that the platform's statuses set the hold."""
    mode = None if account is None else connection.scalar(MODE_OF_ACCOUNT, {"account": account})
    return mode is not None and mode in ACTING
