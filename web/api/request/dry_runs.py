"""`?dry_run=true`: computes the effect of an edit without making it."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from app.decisions import changes_of_campaigns
from app.edits import preview as edits
from domain.campaigns import EffectiveStatus

MAX_TOGGLES_LISTED: Final = 1_000

DryRun = Annotated[bool, Query(description="Change nothing; answer 200 with the edit's effect as an `EditPreview`")]
NoDryRun = Annotated[bool, Query(alias="dry_run", description="Not supported: this edit cannot stop a campaign")]


class PreviewedToggle(BaseModel):
    """A campaign that the edit would stop or release."""

    campaign_id: int
    to_status: EffectiveStatus
    holds: list[str] = Field(description="Its holds after the edit")


class EditPreview(BaseModel):
    """The effect that an edit would have now."""

    dry_run: bool = Field(True, description="Always true: nothing was changed")
    sentence: str = Field(examples=["Daily limit $7,900.00 → $1.50: stops 132 campaigns now"])
    stops: int = Field(description="Campaigns that would stop in the same commit")
    releases: int = Field(description="Campaigns that would serve again in the same commit")
    at_least: bool = Field(description="True: the brand is large, and the counts are of its oldest campaigns only")
    needs_confirmation: bool = Field(description="Whether the pages and the command line ask a person before this edit")
    toggles: list[PreviewedToggle] = Field(description=f"The first {MAX_TOGGLES_LISTED} of these campaigns, by id")


PREVIEW: Final[dict[int | str, dict[str, Any]]] = {200: {"model": EditPreview, "description": "A dry run"}}
"""OpenAPI entry of a dry run, for routes that otherwise answer with a status other than 200."""


def previewed(work: Callable[[Connection], object], brand_id: int) -> Response:
    """Makes the edit `work` of one brand, rolls it back, and returns the answer to a dry run: 200 with the effect."""
    effect = edits.previewed(work, brand_id)
    preview = EditPreview(
        dry_run=True,
        sentence=effect.sentence(),
        stops=effect.stopped,
        releases=effect.released,
        at_least=effect.is_partial,
        needs_confirmation=effect.needs_consent,
        toggles=[
            PreviewedToggle(
                campaign_id=campaign_id,
                to_status=EffectiveStatus(change.to_status),
                holds=list(change.holds_after),
            )
            for campaign_id, change in changes_of_campaigns(effect.toggles)[:MAX_TOGGLES_LISTED]
        ],
    )
    return JSONResponse(preview.model_dump(mode="json"))
