"""Arguments of the commands that edit brands, campaigns, budgets and schedules, and the author of their edits."""

import getpass
from typing import Annotated

import typer

from db.engine import snapshot
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from runtime import clock

BrandOption = Annotated[int | None, typer.Option("--brand", help="The brand's id.")]
CampaignOption = Annotated[int | None, typer.Option("--campaign", help="The campaign's id.")]
CampaignArgument = Annotated[int, typer.Argument(help="The campaign's id.")]


def edit() -> Edit:
    """Returns the author (the shell's user, as `cli:USER`) and the current time of an edit, for the audit log."""
    return Edit(f"cli:{getpass.getuser()}", clock.now())


def brand_of_campaign(campaign_id: int) -> int:
    """The id of a campaign's brand. Raises InvalidValue if there is no such campaign."""
    with snapshot() as connection:
        return catalog.brand_of(connection, campaign_id)
