"""`spendgate budget`: set, remove and list the budgets of brands and campaigns."""

from functools import partial
from typing import Annotated, Any

import typer

from app.edits import editing
from cli.catalog import consent
from cli.catalog.consent import DryRun, Yes
from cli.catalog.options import BrandOption, CampaignOption, brand_of_campaign, edit
from cli.output import AsJson, list_rows, money
from db.engine import snapshot
from db.repository.catalog import catalog
from db.repository.reading import overview
from domain.budgets import parse_limit
from domain.errors import InvalidValue
from domain.periods import Period
from runtime import clock

budgets = typer.Typer(no_args_is_help=True, help=f"Manage budgets: limits of spend. Periods: {', '.join(Period)}.")


NO_BUDGETS = "There are no budgets, so spend is not limited. Set one: spendgate budget set daily 100 --brand ID"

PeriodArgument = Annotated[Period, typer.Argument(help="The period that the limit applies to.")]


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
    """Remove the budget of a brand or campaign for one period, so that this limit no longer applies."""
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
        empty=NO_BUDGETS if brand is None else "There are no budgets of this brand, so its spend is not limited.",
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


def _currency_of(brand_id: int) -> str:
    with snapshot() as connection:
        return str(catalog.brand(connection, brand_id)["currency"])


def _scope(brand: int | None, campaign: int | None) -> tuple[int, int | None]:
    if campaign is not None:
        return brand_of_campaign(campaign), campaign
    if brand is None:
        raise InvalidValue("--brand", "name the owner of the budget: --brand ID or --campaign ID")
    return brand, None


def _scope_words(brand_id: int, campaign_id: int | None) -> str:
    return f"brand {brand_id}" if campaign_id is None else f"campaign {campaign_id}"
