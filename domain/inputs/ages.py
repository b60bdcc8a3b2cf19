"""How old, and how far ahead of now, inputs from upstream may be."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.periods import END_INSTANT, FIRST_INSTANT


@dataclass(frozen=True, slots=True)
class AgeBounds:
    """How old, and how far ahead of now, an event may be. `oldest`: the greatest age; None accepts any.

    Nothing before the instant `earliest` is accepted.
    """

    oldest: timedelta | None
    ahead: timedelta
    earliest: datetime = FIRST_INSTANT


def accepted_span(at: datetime, bounds: AgeBounds) -> tuple[datetime, datetime]:
    """The earliest and the latest `occurred_at` that are accepted at the instant `at`, both included."""
    earliest = bounds.earliest if bounds.oldest is None else max(bounds.earliest, at - bounds.oldest)
    return earliest, min(END_INSTANT, at + bounds.ahead)
