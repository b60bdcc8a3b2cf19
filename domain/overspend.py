"""How a window came to be spent beyond its limit: the delay that it is due to, and its cause."""

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from domain.reporting import INSTANT, LimitWindow, Span, limit_before, seconds_of


class Cause(StrEnum):
    """Why a window's spend went over its limit."""

    LATE_SPEND = "late_spend"
    LIMIT_LOWERED = "limit_lowered"
    LAST_EVENT = "last_event"


CAUSE_WORDS: Final[dict[str, str]] = {
    Cause.LATE_SPEND: "spend was known late",
    Cause.LIMIT_LOWERED: "the limit was lowered",
    Cause.LAST_EVENT: "the last spend was larger than what was left",
}
"""Every cause, for people."""


class Crossing(NamedTuple):
    """When a window's limit was truly spent, and how far beyond it the event went that did it.

    `reached_at` is None where the ledger no longer tells.
    """

    reached_at: datetime | None
    beyond_micros: int = 0


class Late(NamedTuple):
    """What came in after a window's hold was on, or after the window was over where it never was.

    `known_at` is when, in the order of receipt, that spend reached the limit; None where it was reached before.
    `received_micros` is None where the ledger no longer tells.
    """

    received_micros: int | None = None
    known_at: datetime | None = None


class Overspend(NamedTuple):
    """How a window came to be overspent. See `explained`."""

    reached_at: datetime | None
    held_at: datetime | None
    delay_seconds: int | None
    after_hold_micros: int | None
    cause: Cause | None


def was_lowered(entry: LimitWindow, reached_at: datetime) -> bool:
    """Whether, when spend reached the limit that counts in the end, the limit was still higher, or none."""
    then = limit_before(entry.history, reached_at + INSTANT)
    return then is None or then.limit_micros > entry.limit_micros


def held_at(entry: LimitWindow, reached_at: datetime | None) -> datetime | None:
    """When the hold came on that answers the limit's being reached: on at that instant, or the first one after it.

    Where the limit was lowered below what was spent it is the first one on at that edit or after it. None where the
    hold never came on, because the window was over before the spend was known.
    """
    since = reached_at or entry.span.starts_at
    in_force = limit_before(entry.history, entry.span.ends_at)
    if reached_at is not None and in_force is not None and was_lowered(entry, reached_at):
        since = max(reached_at, in_force.set_at)
    return next((span.starts_at for span in entry.exhausted if span.ends_at > since), None)


def explained(entry: LimitWindow, crossing: Crossing, late: Late) -> Overspend:
    """The delay that an overspend is due to, and its cause.

    The delay runs from the instant by which the limit was truly spent, in the order of occurrence, to the hold, or
    where the window was over before, to the receipt of the spend that reached the limit. `last_event`: the whole
    overspend is of the event that reached the limit and was larger than what was left, or came at once with it.
    `late_spend`: anything else that came after the limit was reached.
    """
    held = held_at(entry, crossing.reached_at)
    after_hold = None if held is None else late.received_micros
    if crossing.reached_at is None:
        return Overspend(None, held, None, after_hold, None)
    if was_lowered(entry, crossing.reached_at):
        return Overspend(crossing.reached_at, held, 0, after_hold, Cause.LIMIT_LOWERED)
    known_at = held or late.known_at
    delay = None if known_at is None else max(0, seconds_of(Span(crossing.reached_at, known_at)))
    came_with_it = crossing.beyond_micros >= entry.overspend_micros or (not delay and not after_hold)
    cause = Cause.LAST_EVENT if held is not None and came_with_it else Cause.LATE_SPEND
    return Overspend(crossing.reached_at, held, delay, after_hold, cause)
