"""The holds in plain words, for people who must know why a campaign stopped."""

from collections.abc import Iterable
from typing import Final

from domain.campaigns import Hold

_BUDGETS: Final = {
    f"{scope}_{period}_budget": f"the {scope}'s {period} budget is spent"
    for scope in ("brand", "campaign")
    for period in ("daily", "weekly", "monthly", "yearly", "lifetime")
}

HOLD_WORDS: Final[dict[str, str]] = {
    Hold.USER_PAUSED: "paused by a person",
    Hold.ARCHIVED: "archived",
    Hold.BRAND_PAUSED: "the brand is paused or archived",
    Hold.FLIGHT_NOT_STARTED: "the flight has not started",
    Hold.FLIGHT_ENDED: "the flight has ended",
    Hold.OUTSIDE_SCHEDULE: "outside its schedule",
    **_BUDGETS,
}
"""Every hold's reason, as the end of the sentence «it does not serve, because …»."""

SOMEONE_ENABLES_IT: Final = "someone enables it"

_RELEASED_BY: Final[dict[str, str]] = {
    Hold.BRAND_PAUSED: "someone enables the brand",
    Hold.FLIGHT_NOT_STARTED: "someone changes its flight",
    Hold.FLIGHT_ENDED: "someone changes its flight",
    Hold.OUTSIDE_SCHEDULE: "someone changes its schedule",
    **dict.fromkeys(_BUDGETS, "someone raises the limit"),
}


def stays_stopped(holds: Iterable[str]) -> str:
    """What must happen before a campaign serves again that the clock alone never releases from these holds."""
    needed = dict.fromkeys(_RELEASED_BY.get(hold, SOMEONE_ENABLES_IT) for hold in holds)
    return f"stays stopped until {' and '.join(needed) or SOMEONE_ENABLES_IT}"


def hold_in_words(hold: str) -> str:
    """The hold's reason; a hold that is not known here, as it is named."""
    return HOLD_WORDS.get(hold, hold)


def in_words(holds: Iterable[str]) -> str:
    """The reasons of all, one after the other."""
    return "; ".join(map(hold_in_words, holds))
