"""How far an account's spend may exceed a limit: measured from its confirmed pauses and from how its days complete.

A bound is the smallest observed figure that the next observation exceeds with a chance of at most 5 %, provided that
it behaves like the earlier ones. A bound needs at least LEAST_OBSERVATIONS observations.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

CONFIDENCE_PERCENT: Final = 95
"""The chance, in percent, that the next observation does not exceed a bound.

LEAST_OBSERVATIONS follows from it; `web.api.connection_fields` has it in words.
"""

LEAST_OBSERVATIONS: Final = 19
"""Least number of observations for a bound: the largest of 19 bounds the next one with CONFIDENCE_PERCENT."""

LEAST_DAYS: Final = LEAST_OBSERVATIONS + 1
"""Least number of ended days to find when days are complete: the newest is left out, because it may still grow."""

AGES: Final = (0, 1, 2, 3, 5, 7, 14, 21, 28)
"""Ages of a day, in days after its end, at which the total that it had by then is compared with its newest total."""

COMPLETE_PERMILLE: Final = 1
"""Most thousandths of its total, rounded down, by which a day may still grow and counts as complete."""


class PauseSeen(NamedTuple):
    """One decision to pause campaigns because of a budget; the platform confirmed the pause.

    `day`: the brand's day of the decision. `beyond_micros`: spend above the limit at the decision. `growth_micros`:
    spend of that day received after the decision and before a release. `grows_seconds`: from the confirmation to the
    last receipt of more spend; 0 if there was none.
    """

    day: date
    beyond_micros: int
    growth_micros: int
    grows_seconds: int


class DaySeen(NamedTuple):
    """One ended day of a brand in the account.

    `total_micros`: its spend by now. `later_micros`: for each number of AGES, the part of it that was received so many
    days after the day's end or later.
    """

    day: date
    total_micros: int
    later_micros: Mapping[int, int]


class Bound(NamedTuple):
    """How far spend of an account may exceed a limit, as measured from `pauses` confirmed pauses and `days` ended days.

    `bound_micros`: the most spend above a limit after a pause. `grows_seconds`: the longest time after a confirmed
    pause until spend stays flat. `settles_after_days`: the days after its end at which a day is complete. All three
    have a confidence of CONFIDENCE_PERCENT, and are None if unknown, such as for too few observations.
    """

    pauses: int
    days: int
    bound_micros: int | None = None
    grows_seconds: int | None = None
    settles_after_days: int | None = None


def day_seen(day: date, micros_by_days_late: Mapping[int, int]) -> DaySeen:
    """The day with its total and its later spend.

    `micros_by_days_late`: its spend by the whole days from its end to the receipt; -1: received on the day itself.
    """
    later = {age: sum(micros for late, micros in micros_by_days_late.items() if late >= age) for age in AGES}
    return DaySeen(day, sum(micros_by_days_late.values()), later)


def bounded_by(observations: Sequence[int]) -> int | None:
    """The observed figure that the next one does not exceed, with CONFIDENCE_PERCENT; None for too few observations."""
    place = -(-CONFIDENCE_PERCENT * (len(observations) + 1) // 100)
    return None if place > len(observations) else sorted(observations)[place - 1]


def settles_after(days: Sequence[DaySeen], today: date) -> int | None:
    """The first of AGES, in days after its end, at which a day with spend is complete, with CONFIDENCE_PERCENT.

    None if too few days are older than the next age to try, or if days still grow at the last of AGES.
    """
    for age in AGES:
        old = [seen for seen in days if (today - seen.day).days > age + 1 and seen.total_micros > 0]
        growth = bounded_by([max(0, seen.later_micros[age]) * 1_000 // seen.total_micros for seen in old])
        if growth is None:
            return None
        if growth <= COMPLETE_PERMILLE:
            return age
    return None


def measured(pauses: Sequence[PauseSeen], days: Sequence[DaySeen], today: date) -> Bound:
    """How far the account's spend may exceed a limit, from the pauses of days that are complete by `today`.

    Its figures are None if it is unknown when days are complete.
    """
    settles = settles_after(days, today)
    if settles is None:
        return Bound(pauses=0, days=len(days))
    settled = [seen for seen in pauses if (today - seen.day).days > settles]
    return Bound(
        pauses=len(settled),
        days=len(days),
        bound_micros=bounded_by([max(0, seen.beyond_micros + seen.growth_micros) for seen in settled]),
        grows_seconds=bounded_by([seen.grows_seconds for seen in settled]),
        settles_after_days=settles,
    )


def in_words(bound: Bound | None, amount: str) -> str:
    """How far spend of an account may exceed a limit, in words; None counts as no observations.

    `amount`: `bound_micros` as money.
    """
    if bound is None or bound.settles_after_days is None:
        days = 0 if bound is None else bound.days
        if days < LEAST_DAYS:
            return f"not enough data yet: {days} of {LEAST_DAYS} ended days"
        return f"not known: days still grow {AGES[-1]} days after their end, or too few days are old enough to tell"
    if bound.bound_micros is None:
        return f"not enough data yet: {bound.pauses} of {LEAST_OBSERVATIONS} confirmed pauses"
    return f"at most {amount} above a limit with {CONFIDENCE_PERCENT} % confidence, by {bound.pauses} confirmed pauses"
