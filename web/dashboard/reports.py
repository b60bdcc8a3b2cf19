"""A brand's monthly reports as pages that print: the list of months, one month with its plots, and its files."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple

from babel.numbers import format_compact_currency
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from app.reports.formats import (
    account_in_words,
    as_csv,
    as_json,
    bound_in_words,
    file_name,
    hours,
    limits_in_force,
    notable_limits,
    percent,
    times_exhausted,
)
from app.reports.generate import on_demand
from db.engine import snapshot
from db.replica import view
from db.repository.catalog import catalog
from db.repository.reports import reports
from domain.errors import InvalidValue, NotFound
from domain.holds import hold_in_words
from domain.money import MICROS_PER_UNIT
from domain.periods import Period, local_day
from domain.reporting.monthly import month_named
from domain.reporting.overspend import CAUSE_WORDS
from domain.zones import time_zone
from runtime import clock
from runtime.formats import LOCALE, duration
from web.dashboard import report_plots
from web.dashboard.pages import not_found, page, sentence, templates
from web.people import Viewer

MONTHS_LISTED: Final = 240
LIMITS_SHOWN: Final = 60
TIMES_SHOWN: Final = 3
SUMMED: Final = ("spent_micros", "served_seconds", "held_by_budgets_seconds")

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

Version = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


class FileFormat(NamedTuple):
    """A format of report files: the suffix, the media type, the function that writes the text, and its encoding."""

    suffix: str
    media_type: str
    text_of: Callable[[Mapping[str, Any]], str]
    encoding: str


def short_money(micros: int, currency: str) -> str:
    """A rounded amount for an axis, such as €500 or €12.5K."""
    units = Decimal(micros) / MICROS_PER_UNIT
    return str(format_compact_currency(units, currency, locale=LOCALE, fraction_digits=2))


def delay_words(seconds: int | None) -> str:
    """A delay in its largest units, such as 12 min; a dash for None."""
    return "–" if seconds is None else duration(seconds)


def ran_out_words(content: Mapping[str, Any], limit: Mapping[str, Any]) -> str:
    """The times at which a window's budget was used up, such as `17:45 to 18:10; from 20:30`.

    Times have the day too unless the budget is daily. Names the first TIMES_SHOWN times, then how many more there are.
    """
    form = "%H:%M" if limit["period"] == Period.DAILY else "%a %d %H:%M"
    times = times_exhausted(content, limit)
    spans = [
        f"from {start.strftime(form)}" if until is None else f"{start.strftime(form)} to {until.strftime(form)}"
        for start, until in times[:TIMES_SHOWN]
    ]
    return "; ".join([*spans, *([f"{len(times) - TIMES_SHOWN} times more"] if len(times) > TIMES_SHOWN else [])])


def instant(moment: str | None) -> datetime | None:
    """Parses an ISO 8601 instant of a report; returns None for None."""
    return None if moment is None else datetime.fromisoformat(moment)


FILTERS: Final[dict[str, Callable[..., object]]] = {
    "percent": percent,
    "hours": hours,
    "short_money": short_money,
    "delay_words": delay_words,
    "cause_words": lambda cause: CAUSE_WORDS.get(cause, "–"),
    "hold_words": hold_in_words,
    "account_words": account_in_words,
    "bound_words": bound_in_words,
    "instant": instant,
    "day": date.fromisoformat,
}
templates.env.filters |= FILTERS


@router.get("/brands/{brand_id}/reports/")
def reports_page(request: Request, person: Viewer, brand_id: int) -> Response:
    """The page that lists a brand's months with a report, and the running month.

    The 404 page if there is no such brand, or its time zone does not exist.
    """
    try:
        with view() as connection:
            brand = catalog.brand(connection, brand_id)
            months = reports.listed(connection, brand_id, None, MONTHS_LISTED, clock.now())
        today = local_day(clock.now(), time_zone(brand["time_zone"]))
    except InvalidValue as refused:
        return not_found(request, sentence(refused))
    context = {"section": "brands", "brand": brand, "months": months, "running": today.replace(day=1)}
    return page(request, "reports.html", person, context)


@router.get("/brands/{brand_id}/reports/{month}.csv")
def report_csv(request: Request, _person: Viewer, brand_id: int, month: str, version: Version = None) -> Response:
    """A month's report as a CSV file; the 404 page if there is no such report.

    The file begins with a byte order mark: without one, Excel reads names by its own code page.
    """
    return _file(request, brand_id, month, version, FileFormat("csv", "text/csv; charset=utf-8", as_csv, "utf-8-sig"))


@router.get("/brands/{brand_id}/reports/{month}.json")
def report_json(request: Request, _person: Viewer, brand_id: int, month: str, version: Version = None) -> Response:
    """The content of a month's report as a JSON file; the 404 page if there is no such report."""
    return _file(request, brand_id, month, version, FileFormat("json", "application/json", as_json, "utf-8"))


@router.get("/brands/{brand_id}/reports/{month}")
def report_page(request: Request, person: Viewer, brand_id: int, month: str, version: Version = None) -> Response:
    """The page of one month's report, which can be printed; the 404 page if there is no such report."""
    try:
        stored, latest = _report(brand_id, month, version)
    except InvalidValue as refused:
        return not_found(request, sentence(refused))
    return page(request, "report.html", person, _context(stored, latest))


def _report(brand_id: int, month: str, version: int | None) -> tuple[dict[str, Any], int]:
    """Reads the report in the given version (None: the latest); returns it and the latest version's number.

    Without a stored report generates one, and stores it unless the month still runs. Raises InvalidValue for an unknown
    brand, month or version.
    """
    first_day = month_named(month)
    with snapshot() as connection:
        catalog.brand(connection, brand_id)
        at = clock.now()
        latest = reports.stored(connection, brand_id, first_day, at)
        stored = latest if version is None else reports.stored(connection, brand_id, first_day, at, version)
    if version is not None and stored is None:
        raise NotFound("version", f"there is no version {version} of {month}")
    stored = stored or on_demand(brand_id, first_day)
    return stored, (latest or stored)["version"]


def _file(request: Request, brand_id: int, month: str, version: int | None, form: FileFormat) -> Response:
    """The report as a file to download; the page for an unknown address if there is no such report."""
    try:
        stored, _ = _report(brand_id, month, version)
    except InvalidValue as refused:
        return not_found(request, sentence(refused))
    headers = {"Content-Disposition": f'attachment; filename="{file_name(stored, form.suffix)}"'}
    body = form.text_of(stored["content"]).encode(form.encoding)
    return Response(body, media_type=form.media_type, headers=headers)


def _context(stored: Mapping[str, Any], latest: int) -> dict[str, Any]:
    content = stored["content"]
    notable = notable_limits(content)
    last_day = local_day(stored["generated_at"], time_zone(content["time_zone"]))
    in_force = limits_in_force(content, last_day)
    shown = report_plots.largest(content)
    return {
        "section": "brands",
        "stored": stored,
        "latest": latest,
        "report": content,
        "zone": content["time_zone"],
        "currency": content["currency"],
        "days": _days(content),
        "spend_plot": report_plots.spend_by_day(content),
        "month_plot": report_plots.month_to_date(content, last_day),
        "held_plot": report_plots.held_by_campaign(content),
        "monthly_limit": report_plots.brand_limits(content, Period.MONTHLY).get(content["first_day"]),
        "campaigns": shown,
        "others": _others(content, {row["campaign_id"] for row in shown}),
        "in_force": in_force[:LIMITS_SHOWN],
        "hidden_budgets": max(0, len(in_force) - LIMITS_SHOWN),
        "overspent": [limit for limit in content["limits"] if limit["overspend_micros"]],
        "notable": [{**limit, "ran_out": ran_out_words(content, limit)} for limit in notable[:LIMITS_SHOWN]],
        "hidden_limits": max(0, len(notable) - LIMITS_SHOWN),
    }


def _days(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The days with spend, an exhausted daily budget, or spend that changed since the month's first stored report."""
    limits = report_plots.brand_limits(content, Period.DAILY)
    changed = (content["closed"] or {}).get("restated_by_day", {})
    days = sorted({*content["by_day"], *content["days_exhausted"], *changed})
    total = 0
    rows = []
    for day in days:
        spent = content["by_day"].get(day, 0)
        total += spent
        rows.append(
            {
                "day": day,
                "spent_micros": spent,
                "restated_micros": changed.get(day, 0),
                "total_micros": total,
                "limit_micros": limits.get(day),
                "ran_out_at": content["days_exhausted"].get(day),
            }
        )
    return rows


def _others(content: Mapping[str, Any], shown: set[int]) -> dict[str, Any] | None:
    """The sums of the campaigns whose ids are not in `shown`; None if there are none."""
    others = [row for row in content["campaigns"] if row["campaign_id"] not in shown]
    if not others:
        return None
    sums = {name: _sum(row.get(name) for row in others) for name in SUMMED}
    return {"campaigns": len(others), "held_seconds": report_plots.others_held(content), **sums}


def _sum(figures: Iterable[int | None]) -> int | None:
    """The sum of the known figures; None if none is known."""
    known = [figure for figure in figures if figure is not None]
    return sum(known) if known else None
