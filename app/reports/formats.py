"""A monthly report as JSON for programs, and as one flat table (CSV) for a spreadsheet; and what people see first.

The table has one row for each figure, told apart by `kind`; a column that says nothing of a row is empty there:

- `spend`: what the brand or a campaign spent on a day. `first_day`, `spent`.
- `limit`: one window of a budget. `period`, `first_day`, `end_day` (the day after the last), `complete`, `limit`,
  `spent`, `used_permille`, `overspend`, `cause`, `delay_seconds`, and how often the budget ran out: `times_exhausted`.
- `exhausted`: one time that a budget ran out, in its window: `from` when `until` when (nothing: to the window's end, or
  the report's), by the brand's wall clock.
- `held`: for how many `seconds` of the month a `hold` was on; the hold `none` is time served. A brand's row sums up
  its campaigns'. A second with two holds counts for each of them. No `seconds`: no history of holds reaches so far.
- `in_budget`: `in_budget_permille`, the part served of the time in which budgets alone decided; for how many `seconds`
  of it they held.
- `restated`: by how much the month's spend changed since it was closed, by day and by campaign.

Amounts stand twice: in micros, and in exact units of the currency.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from domain.budgets import Scope, is_exhausted
from domain.money import format_units
from domain.periods import ONE_DAY, Period, time_zone

AMOUNTS: Final = ("spent", "limit", "overspend", "restated")

COLUMNS: Final = (
    *("brand_id", "brand", "month", "currency", "kind", "scope", "campaign_id", "campaign", "period", "hold"),
    *("first_day", "end_day", "complete"),
    *(column for amount in AMOUNTS for column in (f"{amount}_micros", amount)),
    *("used_permille", "times_exhausted", "cause", "delay_seconds", "seconds", "in_budget_permille"),
    *("from", "until"),
)

NAMES: Final = frozenset({"brand", "campaign"})
"""The columns that hold what a person wrote."""

FORMULA: Final = re.compile(
    r"""(^|[;\t\r\n])(?=[\s"'\u200b-\u200f\u2060\ufeff]*[=+\-@\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20])|^(?=[\t\r\n])"""
)
"""Where a cell that a spreadsheet takes for a formula may begin, by its narrow, small and full-width signs."""


def file_name(found: Mapping[str, Any], suffix: str) -> str:
    """How a report's file is named: by brand, month and version; a running month's is `so-far`."""
    version = f"version-{found['version']}" if found["version"] else "so-far"
    return f"brand-{found['brand_id']}-{found['month']:%Y-%m}-{version}.{suffix}"


def notable_limits(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The windows that a person is shown: all longer than a day, and the days that ran out or were overspent.

    The brand's come first, then the campaigns', those with the largest overspend before the others.
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
    """One line for each budget, up to the `last_day` that the report tells of: the brand's, then the campaigns'.

    `limit_micros` is the last limit, `days` how many days it or another one was in force, `used_permille` the share of
    all its `windows` together that was used, `reached` how many of those were used up.
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
    """From when until when (None: to the end) the window's budget had run out, by the brand's wall clock."""
    zone = time_zone(content["time_zone"])
    return [
        (
            datetime.fromisoformat(span["from"]).astimezone(zone),
            None if span["until"] is None else datetime.fromisoformat(span["until"]).astimezone(zone),
        )
        for span in limit["exhausted"]
    ]


def percent(permille: int | None) -> str:
    """A permille figure in percent; a dash for none."""
    return "–" if permille is None else f"{permille / 10:.1f} %"


def hours(seconds: int | None) -> str:
    """Seconds as hours and minutes; a dash where they are not known."""
    return "–" if seconds is None else f"{seconds // 3600:,} h {seconds % 3600 // 60:02} min"


def as_json(content: Mapping[str, Any]) -> str:
    """The whole report as one JSON document."""
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def as_csv(content: Mapping[str, Any]) -> str:
    """The table, with a head; a name that a spreadsheet would take for a formula begins with an apostrophe."""
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
        told = {name: value for name, value in limit.items() if name in COLUMNS}
        yield {"kind": "limit", **told, "times_exhausted": len(limit["exhausted"])}
        yield from _exhausted(content, limit)
    for scope in _scopes(content):
        for hold, seconds in {"none": scope["served_seconds"], **scope["held_seconds"]}.items():
            yield {"kind": "held", **scope["named"], "hold": hold, "seconds": seconds}
    for scope in _scopes(content):
        told = {"seconds": scope["held_by_budgets_seconds"], "in_budget_permille": scope["in_budget_permille"]}
        yield {"kind": "in_budget", **scope["named"], **told}
    yield from _restated(content["closed"] or {})


def _exhausted(content: Mapping[str, Any], limit: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    named = {name: limit[name] for name in ("scope", "campaign_id", "campaign", "period", "first_day", "end_day")}
    for ran_out_at, until in times_exhausted(content, limit):
        ended = None if until is None else until.isoformat()
        yield {"kind": "exhausted", **named, "from": ran_out_at.isoformat(), "until": ended}


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
    return {amount: format_units(row[f"{amount}_micros"]) for amount in AMOUNTS if f"{amount}_micros" in row}


def _cell(column: str, value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return _as_text(value) if column in NAMES and isinstance(value, str) else value


def _as_text(name: str) -> str:
    """The name with an apostrophe wherever a spreadsheet could begin a cell with a formula.

    Some locales separate cells by a semicolon or a tab where we write a comma, so each part of the name may be a cell,
    and quotes and spaces before a sign do not keep it from being one.
    """
    return FORMULA.sub(r"\1'", name)
