"""`spendgate campaign`: create and list campaigns, set their statuses, and set and release holds."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer
from rich.markup import escape

from app.edits import editing
from app.enforcement import edited
from cli.catalog import consent
from cli.catalog.consent import DryRun, Yes
from cli.catalog.options import BrandOption, CampaignArgument, brand_of_campaign, edit
from cli.catalog.status_commands import StatusEdit, add_status_commands
from cli.output import AsJson, list_rows, money, print_result
from db.engine import snapshot
from db.repository.catalog import set_holds
from db.repository.reading import overview
from domain.campaigns import ConfiguredStatus, EffectiveStatus
from domain.holds import SET_HOLDS, in_order
from runtime import clock

campaigns = typer.Typer(no_args_is_help=True, help="Manage campaigns, which serve ads while they are active.")


NO_CAMPAIGNS = "There are no campaigns here. Create one: spendgate campaign create NAME --brand ID"

Day = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A day in the brand's time zone; the flight includes it.")
]


def _campaign_status(campaign_id: int, status: ConfiguredStatus) -> StatusEdit:
    change = {"configured_status": status.value}
    work = partial(editing.edit_campaign, campaign_id=campaign_id, changes=change, edit=edit())
    return work, brand_of_campaign(campaign_id)


add_status_commands(campaigns, "campaign", _campaign_status)


HoldArgument = Annotated[
    str, typer.Argument(metavar="HOLD", help=f"The hold, one of: {', '.join(in_order(SET_HOLDS))}.")
]


@campaigns.command("hold")
def hold_campaign(campaign: CampaignArgument, hold: HoldArgument, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Set a hold on a campaign, which keeps it paused until someone releases the hold."""
    work = partial(set_holds.set_hold, campaign_id=campaign, hold=hold, edit=edit())
    consent.confirm_and_edit(
        work, brand_of_campaign(campaign), f"campaign {campaign} has the hold {hold}", yes=yes, dry_run=dry_run
    )


@campaigns.command("release")
def release_campaign(campaign: CampaignArgument, hold: HoldArgument, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Release a hold that a person set on a campaign. The campaign serves again if it has no other hold."""
    work = partial(set_holds.lift_hold, campaign_id=campaign, hold=hold, edit=edit())
    done = f"campaign {campaign} no longer has the hold {hold}"
    consent.confirm_and_edit(work, brand_of_campaign(campaign), done, yes=yes, dry_run=dry_run)


@campaigns.command("create")
def create_campaign(
    name: Annotated[str, typer.Argument(help="The campaign's name.")],
    brand: Annotated[int, typer.Option(help="The brand's id.")],
    platform: Annotated[str | None, typer.Option(help="The ad platform of the campaign, such as google_ads.")] = None,
    external_id: Annotated[str | None, typer.Option(help="The campaign's id on the platform.")] = None,
    account: Annotated[
        str | None,
        typer.Option(help="The platform's id of the campaign's account. Default: the brand's default account."),
    ] = None,
    starts_on: Day = None,
    ends_on: Day = None,
    as_json: AsJson = False,
) -> None:
    """Create an enabled campaign and print its id."""
    create = partial(
        editing.create_campaign,
        brand_id=brand,
        name=name,
        edit=edit(),
        platform=platform,
        external_id=external_id,
        account=account,
        starts_on=starts_on and starts_on.date(),
        ends_on=ends_on and ends_on.date(),
    )
    campaign_id = edited(create, brand)
    line = f"campaign [bold]{campaign_id}[/bold] {escape(name)}"
    print_result({"campaign_id": campaign_id}, line, as_json=as_json)


@campaigns.command("list")
def list_campaigns(
    brand: BrandOption = None,
    status: Annotated[EffectiveStatus | None, typer.Option(help="Only campaigns with this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The largest number of campaigns to list.")] = 200,
    as_json: AsJson = False,
) -> None:
    """List campaigns with their holds; `spendgate explain ID` shows the reasons of one."""
    with snapshot() as connection:
        rows = overview.campaigns(connection, clock.now(), brand_id=brand, status=status, limit=limit)
    list_rows(
        "Campaigns",
        rows,
        _campaign_row,
        empty=NO_CAMPAIGNS if status is None else "There are no campaigns with this status.",
        as_json=as_json,
    )


def _campaign_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "brand": row["brand_id"],
        "campaign": row["name"],
        "status": row["effective_status"],
        "holds": row["holds"],
        "today": money(row["today_micros"], row["currency"]),
        "next change": row["next_change_at"],
    }
