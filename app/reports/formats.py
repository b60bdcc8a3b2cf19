"""Formats a monthly report as JSON for programs and as one flat CSV table for spreadsheets, and picks its main lines.

The table has one row for each figure. `kind` says which figure it is; columns that do not apply to a kind are empty:

- `spend`: the spend of the brand or a campaign on a day. `first_day`, `spent`.
- `limit`: one window of a budget. `period`, `first_day`, `end_day` (the day after the last), `complete`, `limit`,
  `spent`, `used_permille`, `overspend`, `cause`, `delay_seconds`, `confirmation_delay` (the part of the overspend that
  the platform served before it confirmed the pause), and `times_exhausted`: how often the budget ran out.
- `exhausted`: one stretch of time in which a budget was exhausted: `from`, `until` (empty: to the end of its window or
  of the report), in the brand's local time.
- `held`: the `seconds` of the month in which a `hold` was on; the hold `none` means time served. A brand's row is the
  sum of its campaigns' rows. A second with two holds counts for both. Empty `seconds`: the history does not go so far.
- `in_budget`: `in_budget_permille`, the share served of the time in which the campaign served or only budgets held it,
  and `seconds`, the part of that time in which only budgets held it.
- `bound`: how far spend may exceed a limit because of an ad platform's `account`, measured when the report was
  made; the platform's spend stays flat `seconds` after a confirmed pause. Empty without enough data.
- `restated`: the change of the month's spend since the month was closed, by day and by campaign.

Each amount is given twice: in micros, and in exact units of the currency.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from app.bound_words import words_of
from domain.budgets import Scope, is_exhausted
from domain.money import format_units
from domain.periods import ONE_DAY, Period
from domain.platforms import label
from domain.reporting.bounds import Bound
from domain.zones import time_zone
from runtime.spreadsheets import text_cell

AMOUNTS: Final = ("spent", "limit", "overspend", "restated", "confirmation_delay", "bound")

COLUMNS: Final = (
    *("brand_id", "brand", "month", "currency", "kind", "scope", "campaign_id", "campaign", "period", "hold"),
    *("first_day", "end_day", "complete"),
    *(column for amount in AMOUNTS for column in (f"{amount}_micros", amount)),
    *("used_permille", "times_exhausted", "cause", "delay_seconds", "seconds", "in_budget_permille"),
    *("from", "until", "account"),
)

NAMES: Final = frozenset({"brand", "campaign", "account"})
"""Columns with names that people chose, in which a spreadsheet might find a formula."""


def file_name(report: Mapping[str, Any], suffix: str) -> str:
    """The report's file name, such as `brand-7-2026-05-version-2.csv`, or `…-so-far.csv` for the running month."""
    version = f"version-{report['version']}" if report["version"] else "so-far"
    return f"brand-{report['brand_id']}-{report['month']:%Y-%m}-{version}.{suffix}"


def notable_limits(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The budget windows to show people: all windows longer than a day, and the days exhausted or overspent.

    The brand's windows come first, then the campaigns', largest overspend first.
    """
    notable = [
        limit
        for limit in content["limits"]
        if limit["exhausted"] or limit["overspend_micros"] or limit["period"] != Period.DAILY
    ]
    return sorted(notable, key=lambda limit: (limit["campaign_id"] is not None, -_of_campaign(limit)))


def _of_campaign(limit: Mapping[str, Any]) -> int:
    return 0 if limit["campaign_id"] is None else int(limit["overspend_micros"])


def limits_in_force(content: Mapping[str, Any], last_day: date) -> list[dict[str, Any]]:
    """One line for each budget: the brand's budgets, then the campaigns', both with the most often exhausted first.

    `last_day`: the last day that the report covers. In a line, `limit_micros` is the latest limit; `was_changed`:
    whether windows had others; `days`: days of the month with a limit; `windows`: the number of windows; `reached`: how
    many of them were exhausted; `used_permille`: their spend in permille of the sum of their limits, None if that is 0.
    """
    windows: dict[tuple[int | None, str], list[Mapping[str, Any]]] = {}
    for limit in content["limits"]:
        windows.setdefault((limit["campaign_id"], limit["period"]), []).append(limit)
    first_day, end_day = date.fromisoformat(content["first_day"]), date.fromisoformat(content["end_day"])
    within = (first_day, min(end_day, last_day + ONE_DAY))
    lines = [_in_force(some, *within) for some in windows.values()]
    return sorted(lines, key=lambda line: (line["campaign_id"] is not None, -line["reached"]))


def _in_force(windows: Sequence[Mapping[str, Any]], first_day: date, end_day: date) -> dict[str, Any]:
    last, allowed = windows[-1], sum(window["limit_micros"] for window in windows)
    return {
        **{name: last[name] for name in ("campaign_id", "campaign", "period", "limit_micros")},
        "was_changed": len({window["limit_micros"] for window in windows}) > 1,
        "days": sum(_days_within(window, first_day, end_day) for window in windows),
        "used_permille": sum(window["spent_micros"] for window in windows) * 1000 // allowed if allowed else None,
        "windows": len(windows),
        "reached": sum(
            bool(window["exhausted"]) or is_exhausted(window["spent_micros"], window["limit_micros"])
            for window in windows
        ),
    }


def _days_within(window: Mapping[str, Any], first_day: date, end_day: date) -> int:
    starts = first_day if window["first_day"] is None else max(first_day, date.fromisoformat(window["first_day"]))
    ends = end_day if window["end_day"] is None else min(end_day, date.fromisoformat(window["end_day"]))
    return (ends - starts).days


def times_exhausted(content: Mapping[str, Any], limit: Mapping[str, Any]) -> list[tuple[datetime, datetime | None]]:
    """The stretches (from, until) in which the window's budget was exhausted, in the brand's local time.

    `until` None: to the end of the window or of the report.
    """
    zone = time_zone(content["time_zone"])
    return [
        (
            datetime.fromisoformat(span["from"]).astimezone(zone),
            None if span["until"] is None else datetime.fromisoformat(span["until"]).astimezone(zone),
        )
        for span in limit["exhausted"]
    ]


def percent(permille: int | None) -> str:
    """A permille figure as percent, such as `12.5 %`; a dash for None."""
    return "–" if permille is None else f"{permille / 10:.1f} %"


def hours(seconds: int | None) -> str:
    """Seconds as hours and minutes, such as `1,204 h 05 min`; a dash for None."""
    return "–" if seconds is None else f"{seconds // 3600:,} h {seconds % 3600 // 60:02} min"


def as_json(content: Mapping[str, Any]) -> str:
    """The whole report as one JSON document."""
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def as_csv(content: Mapping[str, Any]) -> str:
    """The report as a CSV table with a header; names that a spreadsheet could read as formulas get an apostrophe."""
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, restval="")
    writer.writeheader()
    common = {name: content[name] for name in ("brand_id", "brand", "month", "currency")}
    for row in _rows(content):
        writer.writerow({name: _cell(name, value) for name, value in {**common, **row, **_in_units(row)}.items()})
    return table.getvalue()


def _rows(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for scope in _scopes(content):
        for day, micros in scope["by_day"].items():
            yield {"kind": "spend", **scope["named"], "first_day": day, "spent_micros": micros}
    for limit in content["limits"]:
        figures = {name: value for name, value in limit.items() if name in COLUMNS}
        yield {"kind": "limit", **figures, "times_exhausted": len(limit["exhausted"])}
        yield from _exhausted(content, limit)
    for scope in _scopes(content):
        for hold, seconds in {"none": scope["served_seconds"], **scope["held_seconds"]}.items():
            yield {"kind": "held", **scope["named"], "hold": hold, "seconds": seconds}
    for scope in _scopes(content):
        figures = {"seconds": scope["held_by_budgets_seconds"], "in_budget_permille": scope["in_budget_permille"]}
        yield {"kind": "in_budget", **scope["named"], **figures}
    yield from _restated(content["closed"] or {})
    for bound in content.get("bounds", ()):
        figures = {"bound_micros": bound["bound_micros"], "seconds": bound["grows_seconds"]}
        yield {"kind": "bound", "scope": Scope.BRAND.value, "account": account_in_words(bound), **figures}


def _exhausted(content: Mapping[str, Any], limit: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    named = {name: limit[name] for name in ("scope", "campaign_id", "campaign", "period", "first_day", "end_day")}
    for ran_out_at, until in times_exhausted(content, limit):
        ended = None if until is None else until.isoformat()
        yield {"kind": "exhausted", **named, "from": ran_out_at.isoformat(), "until": ended}


def account_in_words(bound: Mapping[str, Any]) -> str:
    """The platform and account of one of a report's `bounds`, such as `Google Ads 1234567890`."""
    return f"{label(bound['platform'])} {bound['account'] or ''}".strip()


def bound_in_words(bound: Mapping[str, Any]) -> str:
    """How far spend of a platform account may exceed a limit, as a sentence. `bound`: one of the report's `bounds`."""
    return words_of(Bound(**{name: bound[name] for name in Bound._fields}), bound["currency"])


def _scopes(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield {**content, "named": {"scope": Scope.BRAND.value}}
    for campaign in content["campaigns"]:
        yield {**campaign, "named": _named(campaign)}


def _named(campaign: Mapping[str, Any]) -> dict[str, Any]:
    return {"scope": Scope.CAMPAIGN.value, "campaign_id": campaign["campaign_id"], "campaign": campaign["name"]}


def _restated(closed: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for day, micros in closed.get("restated_by_day", {}).items():
        yield {"kind": "restated", "scope": Scope.BRAND.value, "first_day": day, "restated_micros": micros}
    for campaign in closed.get("restated_by_campaign", ()):
        yield {"kind": "restated", **_named(campaign), "restated_micros": campaign["restated_micros"]}


def _in_units(row: Mapping[str, Any]) -> dict[str, str]:
    micros = {amount: row.get(f"{amount}_micros") for amount in AMOUNTS}
    return {amount: format_units(value) for amount, value in micros.items() if value is not None}


def _cell(column: str, value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return text_cell(value) if column in NAMES and isinstance(value, str) else value
