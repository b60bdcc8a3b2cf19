"""`spendgate brand|campaign|budget|schedule`: what people manage, each edit enforced and audited at once."""

import getpass
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer
from babel.numbers import is_currency
from rich.markup import escape

from app.enforcement import edited
from cli import consent
from cli.consent import DryRun, Yes
from cli.output import AsJson, list_rows, money, tell
from db.engine import committed, snapshot
from db.repository.access.audit import Edit
from db.repository.catalog import catalog, set_holds
from db.repository.catalog.catalog import DEFAULT_CURRENCY, DEFAULT_ZONE, taken_by_default
from db.repository.reading import overview
from domain.budgets import parse_limit
from domain.campaigns import ConfiguredStatus, EffectiveStatus
from domain.errors import InvalidValue
from domain.holds import SET_HOLDS, in_order
from domain.periods import Period
from domain.schedules import copied, format_schedule, parse_schedule, weekday
from runtime import clock

brands = typer.Typer(no_args_is_help=True, help="Brands: the clients that own campaigns and budgets.")
campaigns = typer.Typer(no_args_is_help=True, help="Campaigns: what serves or does not.")
budgets = typer.Typer(no_args_is_help=True, help="Budgets: limits by day, week, month, year or for life.")
schedules = typer.Typer(no_args_is_help=True, help="Ad schedules: the dayparts in which a campaign may serve.")

NO_CAMPAIGNS = "No campaigns here. Make one: spendgate campaign create NAME --brand ID"
NO_BUDGETS = "No budgets, so no limits. Set one: spendgate budget set daily 100 --brand ID"

BrandOption = Annotated[int | None, typer.Option("--brand", help="The brand's id.")]
CampaignOption = Annotated[int | None, typer.Option("--campaign", help="The campaign's id.")]
PeriodArgument = Annotated[Period, typer.Argument(help="How long one window of the budget lasts.")]
CampaignArgument = Annotated[int, typer.Argument(help="The campaign's id.")]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A brand-local day, included.")]


def edit() -> Edit:
    """Who edits from this shell, and when."""
    return Edit(f"cli:{getpass.getuser()}", clock.now())


@brands.command("create")
def create_brand(
    name: Annotated[str, typer.Argument(help="The name people know the brand by.")],
    time_zone: Annotated[
        str | None, typer.Option(help="IANA zone, such as America/New_York. Default: UTC. Fixed by the first spend.")
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="ISO 4217 code, such as EUR. Default: USD. Fixed by the first spend.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a brand and print its id."""
    zone, code = time_zone or DEFAULT_ZONE, (currency or DEFAULT_CURRENCY).upper()
    if not is_currency(code):
        raise InvalidValue("currency", f"{currency!r} is not an ISO 4217 code such as USD")
    brand_id = committed(lambda connection: catalog.create_brand(connection, name, zone, code, edit()))
    notice = taken_by_default(zone=time_zone is None, currency=currency is None)
    told = {"brand_id": brand_id} | ({"notice": notice} if notice else {})
    line = f"brand [bold]{brand_id}[/bold] {escape(name)}"
    tell(told, f"{line}\n[dim]{notice}[/dim]" if notice else line, as_json=as_json)


@brands.command("list")
def list_brands(as_json: AsJson = False) -> None:
    """Every brand with its spend of today and this month."""
    with snapshot() as connection:
        rows = overview.brands(connection, clock.now())
    list_rows("Brands", rows, _brand_row, empty="No brands yet. Make one: spendgate brand create NAME", as_json=as_json)


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
"""Sets the status of one thing; the brand whose campaigns it may stop or release."""


def _brand_status(brand_id: int, status: ConfiguredStatus) -> StatusEdit:
    change = {"configured_status": status.value}
    return lambda connection: catalog.edit_brand(connection, brand_id, change, edit()), brand_id


def _campaign_status(campaign_id: int, status: ConfiguredStatus) -> StatusEdit:
    change = {"configured_status": status.value}
    work = partial(catalog.edit_campaign, campaign_id=campaign_id, changes=change, edit=edit())
    return work, _brand_of(campaign_id)


def _status_commands(group: typer.Typer, noun: str, status_edit: Callable[[int, ConfiguredStatus], StatusEdit]) -> None:
    """Adds `pause`, `enable` and `archive` to the group."""

    def add(word: str, status: ConfiguredStatus) -> None:
        @group.command(word, help=f"Set a {noun} to {status}. Enforced at once, and undone by setting it back.")
        def command(
            number: Annotated[int, typer.Argument(metavar="ID", help=f"The {noun}'s id.")],
            yes: Yes = False,
            dry_run: DryRun = False,
        ) -> None:
            consent.make(*status_edit(number, status), f"{noun} {number} is {status}", yes=yes, dry_run=dry_run)

    add("pause", ConfiguredStatus.PAUSED)
    add("enable", ConfiguredStatus.ENABLED)
    add("archive", ConfiguredStatus.ARCHIVED)


_status_commands(brands, "brand", _brand_status)
_status_commands(campaigns, "campaign", _campaign_status)


HoldArgument = Annotated[str, typer.Argument(metavar="HOLD", help=f"One of: {', '.join(in_order(SET_HOLDS))}.")]


@campaigns.command("hold")
def hold_campaign(campaign: CampaignArgument, hold: HoldArgument, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Set a hold on a campaign: it must not serve until the hold is lifted, whatever else is edited."""
    work = partial(set_holds.set_hold, campaign_id=campaign, hold=hold, edit=edit())
    consent.make(work, _brand_of(campaign), f"campaign {campaign} has the hold {hold}", yes=yes, dry_run=dry_run)


@campaigns.command("release")
def release_campaign(campaign: CampaignArgument, hold: HoldArgument, yes: Yes = False, dry_run: DryRun = False) -> None:
    """Lift a hold that was set on a campaign. It serves again if nothing else holds it."""
    work = partial(set_holds.lift_hold, campaign_id=campaign, hold=hold, edit=edit())
    done = f"campaign {campaign} no longer has the hold {hold}"
    consent.make(work, _brand_of(campaign), done, yes=yes, dry_run=dry_run)


@campaigns.command("create")
def create_campaign(
    name: Annotated[str, typer.Argument(help="The name people know the campaign by.")],
    brand: Annotated[int, typer.Option(help="The brand's id.")],
    platform: Annotated[str | None, typer.Option(help="The ad platform that knows it, such as google_ads.")] = None,
    external_id: Annotated[str | None, typer.Option(help="Its id there.")] = None,
    account: Annotated[
        str | None,
        typer.Option(help="The platform's id of the account it is in. Default: the brand's default account."),
    ] = None,
    starts_on: Day = None,
    ends_on: Day = None,
    as_json: AsJson = False,
) -> None:
    """Make a campaign, enabled, and print its id."""
    create = partial(
        catalog.create_campaign,
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
    tell({"campaign_id": campaign_id}, f"campaign [bold]{campaign_id}[/bold] {escape(name)}", as_json=as_json)


@campaigns.command("list")
def list_campaigns(
    brand: BrandOption = None,
    status: Annotated[EffectiveStatus | None, typer.Option(help="Only active or only inactive ones.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Campaigns with what holds them; `spendgate explain ID` tells more."""
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
        str, typer.Argument(help="In units of the brand's currency, such as 250 or 99.50. 0 holds at once.")
    ],
    brand: BrandOption = None,
    campaign: CampaignOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Set the limit of a brand or of a campaign for one period; it holds for the whole current window."""
    brand_id, campaign_id = _scope(brand, campaign)
    currency = _currency_of(brand_id)
    micros = parse_limit(limit, currency)
    work = partial(
        catalog.set_budget,
        brand_id=brand_id,
        campaign_id=campaign_id,
        period=period,
        limit_micros=micros,
        edit=edit(),
    )
    told = f"{period} budget of {_scope_words(brand_id, campaign_id)} is {money(micros, currency)}"
    consent.make(work, brand_id, told, yes=yes, dry_run=dry_run)


@budgets.command("remove")
def remove_budget(
    period: PeriodArgument,
    brand: BrandOption = None,
    campaign: CampaignOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Take a limit away: no budget, no limit."""
    brand_id, campaign_id = _scope(brand, campaign)
    work = partial(catalog.remove_budget, brand_id=brand_id, campaign_id=campaign_id, period=period, edit=edit())
    told = f"{_scope_words(brand_id, campaign_id)} has no {period} budget now"
    consent.make(work, brand_id, told, yes=yes, dry_run=dry_run)


@budgets.command("list")
def list_budgets(brand: BrandOption = None, as_json: AsJson = False) -> None:
    """Budgets with what was spent of each in its current window."""
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
    schedule: Annotated[str, typer.Argument(help="Such as 'Mon-Fri 09:00-17:30, Sat 22:00-06:00'; '' is always.")],
    copy: Annotated[str | None, typer.Option(help="Copy one day onto others, as Mon:Tue,Wed.")] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Set a campaign's dayparts, by the wall clock of its brand's time zone."""
    wanted = parse_schedule(schedule)
    if copy is not None:
        model, separator, onto = copy.partition(":")
        if not separator:
            raise InvalidValue("--copy", f"cannot read {copy!r}; write it like Mon:Tue,Wed")
        wanted = copied(wanted, weekday(model.strip()), [weekday(day.strip()) for day in onto.split(",")])
    work = partial(catalog.set_schedule, campaign_id=campaign_id, schedule=wanted, edit=edit())
    told = f"campaign {campaign_id} serves {format_schedule(wanted)}"
    consent.make(work, _brand_of(campaign_id), told, yes=yes, dry_run=dry_run)


@schedules.command("show")
def show_schedule(campaign_id: CampaignArgument, as_json: AsJson = False) -> None:
    """The campaign's dayparts, in the form that `schedule set` reads."""
    with snapshot() as connection:
        schedule = catalog.schedule_of(connection, campaign_id)
    tell([asdict(part) for part in schedule], format_schedule(schedule), as_json=as_json)


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
        raise InvalidValue("--brand", "say whose budget: --brand ID or --campaign ID")
    return brand, None


def _scope_words(brand_id: int, campaign_id: int | None) -> str:
    return f"brand {brand_id}" if campaign_id is None else f"campaign {campaign_id}"
