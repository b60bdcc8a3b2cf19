"""`spendgate report`: a brand's monthly report as text, JSON or CSV."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from app.reports.formats import (
    account_in_words,
    as_csv,
    as_json,
    bound_in_words,
    hours,
    limits_in_force,
    notable_limits,
    percent,
    times_exhausted,
)
from app.reports.generate import generate_due, on_demand
from cli.output import console, list_rows, money, print_rows, progress
from db.engine import snapshot
from db.repository.catalog import catalog
from db.repository.reports import reports
from domain.errors import InvalidValue, NotFound
from domain.holds import hold_in_words
from domain.periods import ONE_DAY, Period, local_day, window_of
from domain.reporting.monthly import month_named
from domain.reporting.overspend import CAUSE_WORDS
from domain.zones import time_zone
from runtime import clock
from runtime.formats import wall_clock

SHOWN_ROWS: Final = 40
LISTED: Final = 500
BAR_WIDTH: Final = 30


class Format(StrEnum):
    """The format of a report."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


def report(
    brand: Annotated[str | None, typer.Option(help="The brand's id or name.")] = None,
    month: Annotated[
        str | None, typer.Option(help="The month, such as 2026-10. Default: the last month that ended.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="The format of the report.")] = Format.TEXT,
    version: Annotated[int | None, typer.Option(min=1, help="The version of the report. Default: the latest.")] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="List the stored reports, of one brand or of all brands.")
    ] = False,
    output: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the report to this file.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Generate and store every report that is due, as the hourly job does.")
    ] = False,
) -> None:
    """Show a brand's month: spend, limits, overspend, time served and held, and changes since the first version.

    A report of a month that has ended is stored, and stored again as a new version if its content changed. The current
    month is reported up to now and is not stored.
    """
    if everything:
        _store_all()
    elif listing:
        _list(None if brand is None else _brand_id(brand), form)
    elif brand is None:
        raise InvalidValue("brand", "name a brand: --brand ID or NAME, or use --all")
    else:
        _write(_report(_brand_id(brand), month, version), form, output)


def _store_all() -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with progress(*columns) as shown:
        task = shown.add_task("Reports", total=None)
        stored = generate_due(lambda done, due: shown.update(task, completed=done, total=due))
    console.print(f"{stored} reports stored")


def _list(brand_id: int | None, form: Format) -> None:
    with snapshot() as connection:
        rows = reports.listed(connection, brand_id, None, LISTED, clock.now())
    of_brand = "" if brand_id is None else " of this brand"
    empty = (
        f"There are no reports{of_brand} yet. Each is stored after its month; create one: spendgate report --brand ID"
    )
    list_rows("Monthly reports", rows, _listed_row, empty=empty, as_json=form is Format.JSON)


def _listed_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "month": f"{row['month']:%Y-%m}",
        "brand id": row["brand_id"],
        "brand": row["brand"],
        "version": row["version"],
        "stored at": row["generated_at"],
        "spent micros": row["spent_micros"],
        "changed since micros": row["restated_micros"],
    }


def _brand_id(brand: str) -> int:
    if brand.isdecimal():
        return int(brand)
    with snapshot() as connection:
        brand_id = catalog.brand_named(connection, brand)
    if brand_id is None:
        raise NotFound("brand", f"there is no brand {brand!r}")
    return brand_id


def _report(brand_id: int, month: str | None, version: int | None) -> dict[str, Any]:
    with snapshot() as connection:
        brand = catalog.brand(connection, brand_id)
    today = local_day(clock.now(), time_zone(brand["time_zone"]))
    first_day = _last_month(today) if month is None else month_named(month)
    if version is None:
        return on_demand(brand_id, first_day)
    with snapshot() as connection:
        month_report = reports.stored(connection, brand_id, first_day, clock.now(), version)
    if month_report is None:
        raise NotFound("version", f"there is no version {version} of {first_day:%Y-%m} for brand {brand_id}")
    return month_report


def _last_month(today: date) -> date:
    return window_of(Period.MONTHLY, today.replace(day=1) - ONE_DAY).first_day


def _write(month_report: Mapping[str, Any], form: Format, output: Path | None) -> None:
    if form is Format.TEXT and output is None:
        _print_report(month_report)
        return
    written = {Format.TEXT: _as_text, Format.JSON: _as_json, Format.CSV: _as_csv}[form](month_report)
    if output is None:
        typer.echo(written, nl=False)
    else:
        _write_file(output, written)
        console.print(f"{month_report['month']:%Y-%m} written to {escape(str(output))}")


def _write_file(output: Path, written: str) -> None:
    try:
        output.write_text(written, encoding="utf-8", newline="")
    except OSError as error:
        raise InvalidValue("output", f"{output}: {error.strerror}") from None


def _as_json(month_report: Mapping[str, Any]) -> str:
    return as_json(month_report["content"])


def _as_csv(month_report: Mapping[str, Any]) -> str:
    return as_csv(month_report["content"])


def _as_text(month_report: Mapping[str, Any]) -> str:
    with console.capture() as captured:
        _print_report(month_report)
    return Text.from_ansi(captured.get()).plain + "\n"


def _print_report(month_report: Mapping[str, Any]) -> None:
    content = month_report["content"]
    for line in _summary(month_report, content):
        console.print(line, highlight=False)
    print_rows("Spend by day", list(_days(content)), empty="Nothing was spent.")
    print_rows("Campaigns", [_campaign(content, row) for row in _largest(content)], empty="No campaigns.")
    _print_hidden(len(content["campaigns"]) - SHOWN_ROWS, "campaigns")
    held = [_hold_row(content, hold, seconds) for hold, seconds in content["held_seconds"].items()]
    print_rows("Held", held, empty="No campaign was held.")
    last_day = local_day(month_report["generated_at"], time_zone(content["time_zone"]))
    in_force = limits_in_force(content, last_day)
    shown = [_in_force(content, row) for row in in_force[:SHOWN_ROWS]]
    print_rows("Limits in force", shown, empty="There was no budget, so spend was not limited.")
    _print_hidden(len(in_force) - SHOWN_ROWS, "budgets")
    ran_out = list(_ran_out(content))
    print_rows("Limits reached", ran_out[:SHOWN_ROWS], empty="No limit was reached.")
    _print_hidden(len(ran_out) - SHOWN_ROWS, "times")
    notable = notable_limits(content)
    for bound in content.get("bounds", ()):
        console.print(f"{account_in_words(bound)}: {bound_in_words(bound)}", highlight=False, markup=False)
    print_rows("Budget periods", [_limit(content, row) for row in notable[:SHOWN_ROWS]], empty="No limit was reached.")
    _print_hidden(len(notable) - SHOWN_ROWS, "budget periods")


def _print_hidden(hidden: int, noun: str) -> None:
    if hidden > 0:
        console.print(f"… and {hidden} more {noun}; --format csv lists them all")


def _summary(month_report: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[str]:
    made = wall_clock(month_report["generated_at"], time_zone(content["time_zone"]))
    state = (
        f"version {month_report['version']}, stored {made}" if content["complete"] else f"current month, as of {made}"
    )
    yield f"[bold]{escape(content['brand'])}[/bold] {content['month']} [dim]({content['time_zone']}; {state})[/dim]"
    yield f"spent {_money(content, content['spent_micros'])}"
    closed = content["closed"]
    if closed and (closed["restated_micros"] or closed["restated_by_day"]):
        yield (
            f"first stored as {_money(content, closed['spent_micros'])}, "
            f"changed by {_money(content, closed['restated_micros'])} since"
        )
    overspent = sum(row["overspend_micros"] > 0 for row in content["limits"])
    yield f"{overspent} of {len(content['limits'])} budget periods overspent"
    yield f"time within budget {percent(content['in_budget_permille'])}"
    if content["paused"] is None:
        yield "times held are unknown: the history of holds starts after this month"
    else:
        yield f"status changes: {content['paused']} paused, {content['activated']} activated"


def _days(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    most = max(content["by_day"].values(), default=0)
    for day, micros in content["by_day"].items():
        yield {
            "day": f"{date.fromisoformat(day):%a %Y-%m-%d}",
            "spent": _money(content, micros),
            "": "█" * (max(0, micros) * BAR_WIDTH // most) if most > 0 else "",
            "limit reached at": content["days_exhausted"].get(day, ""),
        }


def _largest(content: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return sorted(content["campaigns"], key=lambda row: -row["spent_micros"])[:SHOWN_ROWS]


def _campaign(content: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "campaign id": row["campaign_id"],
        "campaign": row["name"],
        "spent": _money(content, row["spent_micros"]),
        "served": hours(row["served_seconds"]),
        "held only by budgets": hours(row["held_by_budgets_seconds"]),
        "within budget": percent(row["in_budget_permille"]),
        "days its daily limit was reached": len(row["days_exhausted"]),
    }


def _hold_row(content: Mapping[str, Any], hold: str, seconds: int) -> dict[str, Any]:
    campaigns = sum(hold in row["held_seconds"] for row in content["campaigns"])
    return {"because": hold_in_words(hold), "campaigns": campaigns, "for": hours(seconds)}


def _in_force(content: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "of": row["campaign"] or "the brand",
        "period": row["period"],
        "limit": _money(content, row["limit_micros"]) + (" (changed)" if row["was_changed"] else ""),
        "days in force": row["days"],
        "used": percent(row["used_permille"]),
        "reached": f"{row['reached']} of {row['windows']}",
    }


def _ran_out(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for limit in content["limits"]:
        for ran_out_at, until in times_exhausted(content, limit):
            yield {
                "of": limit["campaign"] or "the brand",
                "period": limit["period"],
                "from": f"{ran_out_at:%a %Y-%m-%d %H:%M}",
                "until": "the period's end" if until is None else f"{until:%a %Y-%m-%d %H:%M}",
            }


def _limit(content: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    delay, unconfirmed = row["delay_seconds"], row.get("confirmation_delay_micros")
    return {
        "of": row["campaign"] or "the brand",
        "period": row["period"],
        "from": row["first_day"] or "ever",
        "limit": _money(content, row["limit_micros"]),
        "spent": _money(content, row["spent_micros"]),
        "used": percent(row["used_permille"]),
        "overspent": _money(content, row["overspend_micros"]) if row["overspend_micros"] else "",
        "because": CAUSE_WORDS.get(row["cause"], ""),
        "before confirmation": _money(content, unconfirmed) if unconfirmed else "",
        "delay": "" if delay is None else str(timedelta(seconds=delay)),
    }


def _money(content: Mapping[str, Any], micros: int) -> str:
    return money(micros, content["currency"])
