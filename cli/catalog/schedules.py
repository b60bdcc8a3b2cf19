"""`spendgate schedule`: set and show the hours in which a campaign may serve."""

from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from app.edits import editing
from cli.catalog import consent
from cli.catalog.consent import DryRun, Yes
from cli.catalog.options import CampaignArgument, brand_of_campaign, edit
from cli.output import AsJson, print_result
from db.engine import snapshot
from db.repository.catalog import catalog
from domain.errors import InvalidValue
from domain.schedules import copy_weekday, format_schedule, parse_schedule, weekday

schedules = typer.Typer(no_args_is_help=True, help="Manage ad schedules: the dayparts in which a campaign may serve.")


@schedules.command("set")
def set_schedule(
    campaign_id: CampaignArgument,
    schedule: Annotated[str, typer.Argument(help="Such as 'Mon-Fri 09:00-17:30, Sat 22:00-06:00'; '' means always.")],
    copy: Annotated[str | None, typer.Option(help="Copy the dayparts of one day to others, as Mon:Tue,Wed.")] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Set the hours in which a campaign may serve, in its brand's time zone."""
    new_schedule = parse_schedule(schedule)
    if copy is not None:
        model, separator, onto = copy.partition(":")
        if not separator:
            raise InvalidValue("--copy", f"cannot read {copy!r}; write it like Mon:Tue,Wed")
        new_schedule = copy_weekday(
            new_schedule, weekday(model.strip()), [weekday(day.strip()) for day in onto.split(",")]
        )
    work = partial(editing.set_schedule, campaign_id=campaign_id, schedule=new_schedule, edit=edit())
    done = f"campaign {campaign_id} serves {format_schedule(new_schedule)}"
    consent.confirm_and_edit(work, brand_of_campaign(campaign_id), done, yes=yes, dry_run=dry_run)


@schedules.command("show")
def show_schedule(campaign_id: CampaignArgument, as_json: AsJson = False) -> None:
    """Show the hours in which a campaign may serve, in the form that `schedule set` accepts."""
    with snapshot() as connection:
        schedule = catalog.schedule_of(connection, campaign_id)
    print_result([asdict(part) for part in schedule], format_schedule(schedule), as_json=as_json)
