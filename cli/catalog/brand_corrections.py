"""`spendgate brand correct`: corrects the time zone or currency of a brand that already has spend."""

from functools import partial
from typing import Annotated

import typer
from babel.numbers import is_currency

from app.edits import brand_corrections
from app.edits.brand_corrections import BrandCorrection, Corrected
from cli.catalog.consent import edit_once_agreed
from cli.catalog.options import edit
from cli.output import AsJson, console, money, print_json, print_rows
from domain.errors import InvalidValue

SHOWN_DAYS = 40


def correct_brand(
    brand_id: Annotated[int, typer.Argument(metavar="ID", help="The brand's id.")],
    time_zone: Annotated[str | None, typer.Option(help="The correct IANA time zone.")] = None,
    currency: Annotated[
        str | None, typer.Option(help="The correct ISO 4217 currency code. Amounts are not converted.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Make the change without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Correct the time zone or currency of a brand that has spend, and recount its days from the ledger.

    The brand's spend is counted only after the command ends, also in a dry run. Correcting back undoes the change.
    """
    if time_zone is None and currency is None:
        raise InvalidValue("--time-zone", "give a correction: --time-zone ZONE, --currency CODE, or both")
    if currency is not None and not is_currency(currency.upper()):
        raise InvalidValue("currency", f"{currency!r} is not an ISO 4217 code such as USD")
    correction = BrandCorrection(brand_id, time_zone, currency and currency.upper())
    if dry_run:
        _print_correction(brand_corrections.correct(correction, edit(), dry_run=True), as_json=as_json, done=False)
        return
    show = partial(_print_correction, as_json=False, done=False)
    corrected = edit_once_agreed(
        lambda agree: brand_corrections.correct(correction, edit(), agree=agree), yes=yes, show=show
    )
    _print_correction(corrected, as_json=as_json, done=True)


def _print_correction(corrected: Corrected, *, as_json: bool, done: bool) -> None:
    if as_json:
        print_json(corrected.fields() | {"dry_run": not done})
        return
    old, new = corrected.old, corrected.new
    if old == new:
        console.print(f"brand {corrected.brand_id} already has {new['time_zone']} and {new['currency']}")
        return
    changes = ", ".join(f"{old[name]} → {new[name]}" for name in old if old[name] != new[name])
    console.print(f"brand {corrected.brand_id}: {changes}")
    if old["currency"] != new["currency"]:
        console.print("amounts are not converted: every number stays as it is in the new currency")
    _print_days(corrected)
    for line in corrected.toggle_lines(is_done=done):
        console.print(line, highlight=False)
    if not done:
        console.print("[dim]nothing was changed yet[/dim]")


def _print_days(corrected: Corrected) -> None:
    currency = corrected.new["currency"]
    rows = [
        {"day": day, "before": money(before, currency), "after": money(after, currency)}
        for day, before, after in corrected.days
    ]
    print_rows("Days that change", rows[-SHOWN_DAYS:], empty="No day of the brand changes.")
    if len(rows) > SHOWN_DAYS:
        console.print(f"… and {len(rows) - SHOWN_DAYS} earlier ones; --json lists them all")
    console.print(
        f"{corrected.campaign_days} campaign days change; {corrected.moved_totals} amounts from reported totals move "
        "with their day"
    )
    if corrected.kept_until is not None:
        console.print(
            f"days up to {corrected.kept_until} keep their figures: the ledger no longer has all their events"
        )
