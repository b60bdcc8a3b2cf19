"""How far an account's spend may exceed a limit: measured from its confirmed pauses and from how its days complete.

A bound is the smallest observed figure that the next one exceeds with a chance of at most 5 %, if it is like those
observed. That needs at least LEAST_OBSERVATIONS.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

CONFIDENCE_PERCENT: Final = 95
"""Percent of pauses that exceed no bound. LEAST_OBSERVATIONS fits it; `web.api.connection_fields` has it in words."""

LEAST_OBSERVATIONS: Final = 19
"""Observations needed, at least: the largest of so many bounds the next one with CONFIDENCE_PERCENT."""

LEAST_DAYS: Final = LEAST_OBSERVATIONS + 1
"""Ended days needed, at least, to find after how many days a day is complete: the newest may still grow."""

AGES: Final = (0, 1, 2, 3, 5, 7, 14, 21, 28)
"""Ages of a day, in days after its end, at which the total that it had by then is compared with its newest total."""

COMPLETE_PERMILLE: Final = 1
"""Thousandths of its total by which a complete day may still grow, at most."""


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

    `bound_micros`: spend above a limit after a pause. `grows_seconds`: the time after a confirmed pause until spend
    stays flat. `settles_after_days`: days after which a day is complete. Each is None without enough observations.
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
    """The figure that the next observation stays at or below with CONFIDENCE_PERCENT; None for too few observations."""
    place = -(-CONFIDENCE_PERCENT * (len(observations) + 1) // 100)
    return None if place > len(observations) else sorted(observations)[place - 1]


def settles_after(days: Sequence[DaySeen], today: date) -> int | None:
    """How many days after its end, one of AGES, a day with spend is complete.

    None for too few days, or if days still grow at the last of AGES.
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
        return f"not known: the platform's days still grow {AGES[-1]} days after their end"
    if bound.bound_micros is None:
        return f"not enough data yet: {bound.pauses} of {LEAST_OBSERVATIONS} confirmed pauses"
    return f"at most {amount} above a limit with {CONFIDENCE_PERCENT} % confidence, by {bound.pauses} confirmed pauses"
