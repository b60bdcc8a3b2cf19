"""`/api/campaigns/{id}/holds/{hold}/`: sets and lifts a hold of one campaign."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Path, Response
from sqlalchemy import Connection

from app.enforcement import edited_then
from db.repository.access.audit import Edit
from db.repository.catalog import set_holds
from domain.edits.fields import CAMPAIGN_FIELDS
from domain.holds import SET_HOLDS, in_order
from web.api.brands import EDITS
from web.api.campaigns import Campaign, brand_of_visible, campaign_body, visible_campaign
from web.api.request import etags
from web.api.request.dry_runs import DryRun, EditPreview, previewed
from web.api.request.fields import PathId
from web.api.request.keys import Manager, edit_by
from web.api.request.reading import JsonRoute

router = APIRouter(prefix="/api/campaigns", tags=["campaigns"], route_class=JsonRoute)

HoldName = Annotated[str, Path(json_schema_extra={"enum": [str(hold) for hold in in_order(SET_HOLDS)]})]
Change = Callable[[Connection, int, str, Edit], None]


@router.put(
    "/{campaign_id}/holds/{hold}/", response_model=Campaign | EditPreview, summary="Set a hold", responses=EDITS
)
def set_hold(caller: Manager, campaign_id: PathId, hold: HoldName, dry_run: DryRun = False) -> Response:
    """Sets the hold, so that the campaign must not serve until it is lifted; enforced in the same commit."""
    return _changed(set_holds.set_hold, caller, campaign_id, hold, dry_run=dry_run)


@router.delete(
    "/{campaign_id}/holds/{hold}/", response_model=Campaign | EditPreview, summary="Lift a hold", responses=EDITS
)
def lift_hold(caller: Manager, campaign_id: PathId, hold: HoldName, dry_run: DryRun = False) -> Response:
    """Lifts the hold; the campaign serves again if no other hold remains. Enforced in the same commit."""
    return _changed(set_holds.lift_hold, caller, campaign_id, hold, dry_run=dry_run)


def _changed(change: Change, caller: Manager, campaign_id: int, hold: str, *, dry_run: bool) -> Response:
    edit = edit_by(caller)

    def work(connection: Connection) -> int:
        visible_campaign(connection, caller, campaign_id)
        change(connection, campaign_id, hold, edit)
        return campaign_id

    brand_id = brand_of_visible(caller, campaign_id)
    if dry_run:
        return previewed(work, brand_id)
    return etags.tagged(edited_then(work, brand_id, campaign_body), CAMPAIGN_FIELDS)
