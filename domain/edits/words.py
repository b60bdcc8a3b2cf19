"""Describes edits for people: which fields changed, from which value to which. For previews, banners and the audit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from domain.schedules import Daypart, format_schedule

NONE: Final = "none"
KEYS: Final = frozenset({"id", "brand_id", "campaign_id", "period"})
"""Fields that identify the edited row and never change; left out of descriptions."""

LABELS: Final = {
    "configured_status": "Status",
    "dayparts": "Schedule",
    "starts_on": "Flight from",
    "ends_on": "Flight to",
    "external_id": "External id",
    "set_holds": "Holds set by hand",
    "time_zone": "Time zone",
}

NAMED: Final = 40
"""Most campaigns that one line names; `…` stands for the others."""

Values = Mapping[str, Any]
Money = Callable[[int], str]
"""Formats micros in the brand's currency, such as $1.50."""


def edit_lines(subject: str, old: Values | None, new: Values | None, money: Money) -> list[str]:
    """One line per changed field without KEYS; for a budget always one, such as `Daily limit $7,900.00 → $1.50`.

    `subject`: the kind of the edited row in the audit, such as `budget`. `old` is None for a created row, `new` for a
    removed one.
    """
    if subject == "budget":
        return [_limit_line(old, new, money)]
    before, after = old or {}, new or {}
    names = [name for name in {**before, **after} if before.get(name) != after.get(name) and name not in KEYS]
    return [_line(name, before, after, money) for name in names]


def _limit_line(old: Values | None, new: Values | None, money: Money) -> str:
    known = new or old or {}
    whose = "" if known.get("campaign_id") is None else f" of campaign {known['campaign_id']}"
    limits = [_in_words("limit_micros", (values or {}).get("limit_micros"), money) for values in (old, new)]
    return f"{str(known.get('period', '')).capitalize()} limit{whose} {limits[0]} → {limits[1]}"


def _line(name: str, before: Values, after: Values, money: Money) -> str:
    shown = [_in_words(name, values[name], money) for values in (before, after) if name in values]
    return f"{_label(name)} {' → '.join(shown)}"


def _label(name: str) -> str:
    return LABELS.get(name) or name.removesuffix("_micros").replace("_", " ").capitalize()


def _in_words(name: str, value: object, money: Money) -> str:
    if name == "dayparts" and isinstance(value, list):
        return format_schedule(tuple(Daypart(*part) for part in value))
    if name.endswith("_micros") and isinstance(value, int):
        return money(value)
    if isinstance(value, list) and value:
        return ("; " if isinstance(value[0], Mapping) else ", ").join(_in_words("", one, money) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(part).lower()} {_in_words(part, value[part], money)}" for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NONE if value is None or value == [] else str(value)


def effect_words(stopped: int, released: int, *, at_least: bool = False, is_done: bool = False) -> str:
    """How many campaigns an edit stops and releases: `stops 132 campaigns now`, after the edit `stopped 132 campaigns`.

    `at_least`: the numbers are lower bounds. `is_done`: the edit was made, so the verbs are in the past tense.
    """
    verbs = ("stopped", "released") if is_done else ("stops", "releases")
    bound = "at least " if at_least else ""
    clauses = [
        f"{verb} {bound}{counted(number)}" for verb, number in zip(verbs, (stopped, released), strict=True) if number
    ]
    effect = " and ".join(clauses) or f"{verbs[0]} and {verbs[1]} no campaign"
    return effect if is_done else f"{effect} now"


def toggle_lines(
    stops: Sequence[object], starts: Sequence[object], *, at_least: bool = False, is_done: bool = False
) -> list[str]:
    """A line for the ids of the campaigns that an edit stops and one for those it starts: `stops 2 campaigns: 7, 9`.

    No ids give no line. `at_least`: there may be more. `is_done`: the edit was made, so verbs are in the past tense.
    """
    verbs = ("stopped", "started") if is_done else ("stops", "starts")
    lines = []
    for verb, ids in zip(verbs, (stops, starts), strict=True):
        if ids:
            named = ", ".join(map(str, ids[:NAMED])) + (", …" if len(ids) > NAMED else "")
            lines.append(f"{verb} {'at least ' if at_least else ''}{counted(len(ids))}: {named}")
    return lines


def counted(number: int, noun: str = "campaign") -> str:
    """The number with its noun in singular or plural: 1 campaign, 2 campaigns."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
