"""Thresholds of budgets on actual spend, in percent of the limit."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from domain.alerts.kinds import Ending
from domain.alerts.states import Changes, Condition, KnownAlert
from domain.errors import InvalidValue

DEFAULT_THRESHOLDS: Final = (80, 100)
"""The percents of a limit at which an alert is raised, unless the brand has others."""

OFFERED_THRESHOLDS: Final = (50, 80, 90, 100)
MAX_THRESHOLDS: Final = 10
MAX_PERCENT: Final = 1000

OVERSPEND_PERCENT: Final = 110
"""Percent of a limit from which spend is overspend if no bound was measured; late reports alone usually add less."""


def overspend_percent(limit_micros: int, bound_micros: int | None) -> int:
    """The whole percent of the limit from which spend is overspend, at least 101.

    `bound_micros`: the most that the platforms were measured to spend above a limit after a pause; None: not known.
    OVERSPEND_PERCENT without a bound, and for a limit of 0.
    """
    if bound_micros is None or limit_micros <= 0:
        return OVERSPEND_PERCENT
    return max(101, -(-(limit_micros + bound_micros) * 100 // limit_micros))


def checked_thresholds(percents: Iterable[int]) -> tuple[int, ...]:
    """The thresholds, sorted and without repeats. Raises InvalidValue for too many, or one not of 1 to 1000."""
    found = tuple(sorted(set(percents)))
    if len(found) > MAX_THRESHOLDS:
        raise InvalidValue("thresholds", f"at most {MAX_THRESHOLDS} are possible")
    if any(not 1 <= percent <= MAX_PERCENT for percent in found):
        raise InvalidValue("thresholds", f"each is a whole percent from 1 to {MAX_PERCENT}")
    return found


def reaches(spent_micros: int, limit_micros: int, percent: int) -> bool:
    """Whether spend is at or above that percent of the limit; always False for a limit of 0."""
    return limit_micros > 0 and spent_micros * 100 >= limit_micros * percent


def threshold_changes(
    condition: Condition,
    spent_micros: int,
    limit_micros: int,
    thresholds: Sequence[int],
    known: Iterable[KnownAlert],
) -> Changes:
    """The changes of one budget's alerts in its present window.

    `condition`: the condition of that budget and window; its own threshold is ignored. `known`: the alerts that the
    window has had. Spend that jumped over several thresholds raises an alert of the highest alone; a threshold below
    one with an alert gets none any more in that window. An alert is resolved a percentage point below its threshold, so
    that spend near the threshold does not resolve and reopen it again and again; spend that reaches the threshold again
    reopens it.
    """
    by_threshold = {alert.threshold: alert for alert in known}
    current = next((alert for alert in by_threshold.values() if alert.is_open), None)
    reached = max((one for one in thresholds if reaches(spent_micros, limit_micros, one)), default=0)
    if reached > max(by_threshold, default=0):
        raised = Changes(raised=[replace(condition, threshold=reached)])
        if current is not None:
            raised.resolved[current.id] = Ending.SUPERSEDED
        return raised
    again = max((one for one in by_threshold if reaches(spent_micros, limit_micros, one)), default=0)
    found = Changes()
    if current is not None:
        is_below = limit_micros <= 0 or spent_micros * 100 <= limit_micros * (current.threshold - 1)
        if again <= current.threshold and not is_below:
            return found
        found.resolved[current.id] = Ending.BELOW if is_below else Ending.SUPERSEDED
    if again:
        found.reopened.append(by_threshold[again].id)
    return found
