"""A monthly report as JSON for programs, and as one flat table (CSV) for a spreadsheet; and what people see first.

The table has one row for each figure, told apart by `kind`; a column that says nothing of a row is empty there:

- `spend`: what the brand or a campaign spent on a day. `first_day`, `spent`.
- `limit`: one window of a budget. `period`, `first_day`, `end_day` (the day after the last), `complete`, `limit`,
  `spent`, `used_permille`, `overspend`, `cause`, `delay_seconds`, and how often the budget ran out: `times_exhausted`.
- `held`: for how many `seconds` of the month a `hold` was on; the hold `none` is time served. A brand's row sums up
  its campaigns'. A second with two holds counts for each of them.
- `restated`: by how much the month's spend changed since it was closed, by day and by campaign.

Amounts stand twice: in micros, and in exact units of the currency.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from domain.budgets import Scope
from domain.money import format_units
from domain.periods import Period

AMOUNTS: Final = ("spent", "limit", "overspend", "restated")

COLUMNS: Final = (
    *("brand_id", "brand", "month", "currency", "kind", "scope", "campaign_id", "campaign", "period", "hold"),
    *("first_day", "end_day", "complete"),
    *(column for amount in AMOUNTS for column in (f"{amount}_micros", amount)),
    *("used_permille", "times_exhausted", "cause", "delay_seconds", "seconds"),
)

NAMES: Final = frozenset({"brand", "campaign"})
"""The columns that hold what a person wrote."""

FORMULA_SIGNS: Final = ("=", "+", "-", "@")


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


def percent(permille: int | None) -> str:
    """A permille figure in percent; a dash for none."""
    return "–" if permille is None else f"{permille / 10:.1f} %"


def hours(seconds: int) -> str:
    """Seconds as hours and minutes."""
    return f"{seconds // 3600:,} h {seconds % 3600 // 60:02} min"


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
    for scope in _scopes(content):
        for hold, seconds in {"none": scope["served_seconds"], **scope["held_seconds"]}.items():
            yield {"kind": "held", **scope["named"], "hold": hold, "seconds": seconds}
    yield from _restated(content["closed"] or {})


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
    if column in NAMES and isinstance(value, str) and value.startswith(FORMULA_SIGNS):
        return f"'{value}"
    return value
