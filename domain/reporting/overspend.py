"""Explains why a budget window was overspent: the cause, and how long after the limit was reached the hold began."""

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from domain.reporting.monthly import INSTANT, LimitWindow, Span, limit_before, seconds_of


class OverspendCause(StrEnum):
    """The cause of a window's overspend."""

    LATE_SPEND = "late_spend"
    LIMIT_LOWERED = "limit_lowered"
    LAST_EVENT = "last_event"
    CONFIRMATION_DELAY = "confirmation_delay"


CAUSE_WORDS: Final[dict[str, str]] = {
    OverspendCause.LATE_SPEND: "spend was received late",
    OverspendCause.LIMIT_LOWERED: "the limit was lowered",
    OverspendCause.LAST_EVENT: "the last spend event exceeded the remaining budget",
    OverspendCause.CONFIRMATION_DELAY: "the ad platform served until it confirmed the pause",
}
"""Each cause in words, for reports and pages."""


class Crossing(NamedTuple):
    """The event whose spend, in order of `occurred_at`, brought a window's spend to its limit for the last time.

    `reached_at`: the event's time; for a limit of 0, the window's start; None if the ledger no longer has the events.
    `beyond_micros`: by how much the window's spend exceeded the limit right after this event.
    """

    reached_at: datetime | None
    beyond_micros: int = 0


class LateSpend(NamedTuple):
    """Spend of a window that was received after its hold began or, without a hold, after the window ended.

    `received_micros`: the sum of this spend; None if the ledger no longer has it. `known_at`: when, in order of
    receipt, this spend reached the limit; None if spend received earlier reached it, or if unknown.
    """

    received_micros: int | None = None
    known_at: datetime | None = None


class Overspend(NamedTuple):
    """The explanation of one window's overspend, as `explain_overspend` returns it.

    `reached_at`: when spend reached the limit. `held_at`: when the budget's hold began, None if never.
    `delay_seconds`: from `reached_at` to `held_at`, or without a hold to the receipt of the spend that reached the
    limit; 0 if the limit was lowered. `after_hold_micros`: spend received after the hold.
    `confirmation_delay_micros`: the part of the overspend that the platform served after the hold and before it
    confirmed the pause; `cause` explains the rest, if there is any. Each is None if unknown.
    """

    reached_at: datetime | None
    held_at: datetime | None
    delay_seconds: int | None
    after_hold_micros: int | None
    cause: OverspendCause | None
    confirmation_delay_micros: int | None = None


def was_lowered(entry: LimitWindow, reached_at: datetime) -> bool:
    """Whether the limit was higher, or absent, when spend reached `entry.limit_micros`, and so was lowered later."""
    then = limit_before(entry.history, reached_at + INSTANT)
    return then is None or then.limit_micros > entry.limit_micros


def held_at(entry: LimitWindow, reached_at: datetime | None) -> datetime | None:
    """When the hold for reaching the limit began: the hold in force at `reached_at`, or the next one after it.

    If a lower limit was set later, the search starts at that edit. `reached_at` None: the search starts with the
    window. None if no hold began, such as when the window ended before the spend was received.
    """
    since = reached_at or entry.span.starts_at
    in_force = limit_before(entry.history, entry.span.ends_at)
    if reached_at is not None and in_force is not None and was_lowered(entry, reached_at):
        since = max(reached_at, in_force.set_at)
    return next((span.starts_at for span in entry.exhausted if span.ends_at > since), None)


def explain_overspend(
    entry: LimitWindow, crossing: Crossing, late: LateSpend, delayed_micros: int | None = None
) -> Overspend:
    """The delay and the cause of an overspend.

    The delay runs from the instant when spend, in order of occurrence, reached the limit, to the hold; without a hold,
    to the receipt of the spend that reached the limit. `delayed_micros`: the spend after the hold and before a platform
    confirmed the pause, None if unknown; the causes explain the overspend without it. Causes: `confirmation_delay` if
    nothing else is left; `limit_lowered` if the limit was lowered afterwards (delay 0). `last_event` if a hold began
    and either the event that reached the limit made the whole overspend, or the hold began without delay and no spend
    came after it. Else `late_spend`. Delay and cause are None if the ledger no longer has the events; the delay also if
    no hold began and `late.known_at` is None.
    """
    held = held_at(entry, crossing.reached_at)
    after_hold = None if held is None else late.received_micros
    if crossing.reached_at is None:
        return Overspend(None, held, None, after_hold, None)
    delayed = None if delayed_micros is None else min(max(0, delayed_micros), entry.overspend_micros)
    known_at = held or late.known_at
    delay = None if known_at is None else max(0, seconds_of(Span(crossing.reached_at, known_at)))
    rest_micros, rest_after_hold = entry.overspend_micros - (delayed or 0), (after_hold or 0) - (delayed or 0)
    if was_lowered(entry, crossing.reached_at):
        delay, cause = 0, OverspendCause.LIMIT_LOWERED
    else:
        came_with_it = crossing.beyond_micros >= rest_micros or (not delay and rest_after_hold <= 0)
        cause = OverspendCause.LAST_EVENT if held is not None and came_with_it else OverspendCause.LATE_SPEND
    if not rest_micros:
        cause = OverspendCause.CONFIRMATION_DELAY
    return Overspend(crossing.reached_at, held, delay, after_hold, cause, delayed)
