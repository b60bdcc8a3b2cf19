"""`spendgate brand|campaign|budget|schedule`: edits by people, each enforced and audited at once."""

import getpass
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer
from babel.numbers import is_currency
from rich.markup import escape

from app.edits import editing
from app.enforcement import edited
from cli.catalog import consent
from cli.catalog.consent import DryRun, Yes
from cli.output import AsJson, list_rows, money, print_result
from db.engine import committed, snapshot
from db.repository.access.audit import Edit
from db.repository.catalog import catalog, set_holds
from db.repository.reading import overview
from domain.budgets import parse_limit
from domain.campaigns import ConfiguredStatus, EffectiveStatus
from domain.edits.fields import DEFAULT_CURRENCY, DEFAULT_ZONE, default_notice
from domain.errors import InvalidValue
from domain.holds import SET_HOLDS, in_order
from domain.periods import Period
from domain.schedules import copy_weekday, format_schedule, parse_schedule, weekday
from runtime import clock

brands = typer.Typer(no_args_is_help=True, help="Manage brands, the clients that own campaigns and budgets.")
campaigns = typer.Typer(no_args_is_help=True, help="Manage campaigns, which serve ads while they are active.")
budgets = typer.Typer(no_args_is_help=True, help="Manage budgets: limits for a day, week, month, year or lifetime.")
schedules = typer.Typer(no_args_is_help=True, help="Manage ad schedules: the dayparts in which a campaign may serve.")

NO_BRANDS = "There are no brands yet. Create one: spendgate brand create NAME"
NO_CAMPAIGNS = "There are no campaigns here. Create one: spendgate campaign create NAME --brand ID"
NO_BUDGETS = "There are no budgets, so spend is not limited. Set one: spendgate budget set daily 100 --brand ID"

BrandOption = Annotated[int | None, typer.Option("--brand", help="The brand's id.")]
CampaignOption = Annotated[int | None, typer.Option("--campaign", help="The campaign's id.")]
PeriodArgument = Annotated[Period, typer.Argument(help="The period that the limit applies to.")]
CampaignArgument = Annotated[int, typer.Argument(help="The campaign's id.")]
Day = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A day in the brand's time zone; the flight includes it.")
]


def edit() -> Edit:
    """Returns who edits (the shell's user, as `cli:USER`) and the current time, for the audit log."""
    return Edit(f"cli:{getpass.getuser()}", clock.now())


@brands.command("create")
def create_brand(
    name: Annotated[str, typer.Argument(help="The brand's name.")],
    time_zone: Annotated[
        str | None,
        typer.Option(help="IANA time zone, such as America/New_York. Default: UTC. Fixed after the first spend."),
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="ISO 4217 code, such as EUR. Default: USD. Fixed after the first spend.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a brand and print its id."""
    zone, code = time_zone or DEFAULT_ZONE, (currency or DEFAULT_CURRENCY).upper()
    if not is_currency(code):
        raise InvalidValue("currency", f"{currency!r} is not an ISO 4217 code such as USD")
    brand_id = committed(lambda connection: editing.create_brand(connection, name, zone, code, edit()))
    notice = default_notice(zone=time_zone is None, currency=currency is None)
    data = {"brand_id": brand_id} | ({"notice": notice} if notice else {})
    line = f"brand [bold]{brand_id}[/bold] {escape(name)}"
    print_result(data, f"{line}\n[dim]{notice}[/dim]" if notice else line, as_json=as_json)


@brands.command("list")
def list_brands(as_json: AsJson = False) -> None:
    """List the brands with their spend of today and of this month."""
    with snapshot() as connection:
        rows = overview.brands(connection, clock.now())
    list_rows("Brands", rows, _brand_row, empty=NO_BRANDS, as_json=as_json)


def _brand_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "brand": row["name"],
        "time zone": row["time_zone"],
        "status": row["configured_status"],
        "today": money(row["today_micros"], row["currency"]),
        "this month": money(row["month_micros"], row["currency"]),
        "campaigns": f"{row['active_campaigns']} of {row['campaigns']} active",
    }


StatusEdit = tuple[consent.Work, int]
"""A function that sets the status of a brand or campaign, and the id of the brand whose campaigns it may toggle."""


def _brand_status(brand_id: int, status: ConfiguredStatus) -> StatusEdit:
    change = {"configured_status": status.value}
    return lambda connection: editing.edit_brand(connection, brand_id, change, edit()), brand_id


def _campaign_status(campaign_id: int, status: ConfiguredStatus) -> StatusEdit:
    change = {"configured_status": status.value}
    work = partial(editing.edit_campaign, campaign_id=campaign_id, changes=change, edit=edit())
    return work, _brand_of(campaign_id)


def _status_commands(group: typer.Typer, noun: str, status_edit: Callable[[int, ConfiguredStatus], StatusEdit]) -> None:
    """Adds the commands `pause`, `enable` and `archive` to the group."""

    def add(word: str, status: ConfiguredStatus) -> None:
        @group.command(
            word, help=f"Set a {noun}'s status to {status}. Takes effect at once; setting it back undoes it."
        )
        def command(
            number: Annotated[int, typer.Argument(metavar="ID", help=f"The {noun}'s id.")],
            yes: Yes = False,
            dry_run: DryRun = False,
        ) -> None:
            done = f"{noun} {number} is {status}"
            consent.confirm_and_edit(*status_edit(number, status), done, yes=yes, dry_run=dry_run)

    add("pause", ConfiguredStatus.PAUSED)
    add("enable", ConfiguredStatus.ENABLED)
    add("archive", ConfiguredStatus.ARCHIVED)


_status_commands(brands, "brand", _brand_status)
_status_commands(campaigns, "campaign", _campaign_status)


HoldArgument = Annotated[
    str, typer.Argument(metavar="HOLD", help=f"The hold, one of: {', '.join(in_order(SET_HOLDS))}.")
]


@campaigns.command("hold")
def hold_campaign(campaign: CampaignArgument, hold: HoldArgument, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Set a hold on a campaign, which keeps it paused until someone releases the hold."""
    work = partial(set_holds.set_hold, campaign_id=campaign, hold=hold, edit=edit())
    consent.confirm_and_edit(
        work, _brand_of(campaign), f"campaign {campaign} has the hold {hold}", yes=yes, dry_run=dry_run
    )


@campaigns.command("release")
def release_campaign(campaign: CampaignArgument, hold: HoldArgument, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Release a hold that a person set on a campaign. The campaign serves again if it has no other hold."""
    work = partial(set_holds.lift_hold, campaign_id=campaign, hold=hold, edit=edit())
    done = f"campaign {campaign} no longer has the hold {hold}"
    consent.confirm_and_edit(work, _brand_of(campaign), done, yes=yes, dry_run=dry_run)


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
        empty=NO_CAMPAIGNS,
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


@budgets.command("set")
def set_budget(
    period: PeriodArgument,
    limit: Annotated[
        str, typer.Argument(help="In units of the brand's currency, such as 250 or 99.50. 0 pauses campaigns at once.")
    ],
    brand: BrandOption = None,
    campaign: CampaignOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Set the limit of a brand or campaign for one period; it applies to the whole current period."""
    brand_id, campaign_id = _scope(brand, campaign)
    currency = _currency_of(brand_id)
    micros = parse_limit(limit, currency)
    work = partial(
        editing.set_budget,
        brand_id=brand_id,
        campaign_id=campaign_id,
        period=period,
        limit_micros=micros,
        edit=edit(),
    )
    done = f"{period} budget of {_scope_words(brand_id, campaign_id)} is {money(micros, currency)}"
    consent.confirm_and_edit(work, brand_id, done, yes=yes, dry_run=dry_run)


@budgets.command("remove")
def remove_budget(
    period: PeriodArgument,
    brand: BrandOption = None,
    campaign: CampaignOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Remove the budget of a brand or campaign for one period, and so its limit."""
    brand_id, campaign_id = _scope(brand, campaign)
    work = partial(editing.remove_budget, brand_id=brand_id, campaign_id=campaign_id, period=period, edit=edit())
    done = f"{_scope_words(brand_id, campaign_id)} has no {period} budget now"
    consent.confirm_and_edit(work, brand_id, done, yes=yes, dry_run=dry_run)


@budgets.command("list")
def list_budgets(brand: BrandOption = None, as_json: AsJson = False) -> None:
    """List budgets with their limit and the spend of the current period."""
    with snapshot() as connection:
        rows = overview.budgets(connection, clock.now(), brand_id=brand)
    list_rows(
        "Budgets",
        rows,
        _budget_row,
        empty=NO_BUDGETS,
        as_json=as_json,
    )


def _budget_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "brand": row["brand_id"],
        "campaign": row["campaign_id"],
        "period": row["period"],
        "limit": money(row["limit_micros"], row["currency"]),
        "spent": money(row["spent_micros"], row["currency"]),
        "since": row["first_day"],
    }


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
    consent.confirm_and_edit(work, _brand_of(campaign_id), done, yes=yes, dry_run=dry_run)


@schedules.command("show")
def show_schedule(campaign_id: CampaignArgument, as_json: AsJson = False) -> None:
    """Show the hours in which a campaign may serve, in the form that `schedule set` accepts."""
    with snapshot() as connection:
        schedule = catalog.schedule_of(connection, campaign_id)
    print_result([asdict(part) for part in schedule], format_schedule(schedule), as_json=as_json)


def _brand_of(campaign_id: int) -> int:
    with snapshot() as connection:
        return catalog.brand_of(connection, campaign_id)


def _currency_of(brand_id: int) -> str:
    with snapshot() as connection:
        return str(catalog.brand(connection, brand_id)["currency"])


def _scope(brand: int | None, campaign: int | None) -> tuple[int, int | None]:
    if campaign is not None:
        return _brand_of(campaign), campaign
    if brand is None:
        raise InvalidValue("--brand", "name the owner of the budget: --brand ID or --campaign ID")
    return brand, None


def _scope_words(brand_id: int, campaign_id: int | None) -> str:
    return f"brand {brand_id}" if campaign_id is None else f"campaign {campaign_id}"
