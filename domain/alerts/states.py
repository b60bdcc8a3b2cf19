"""The state machine of alerts: which to raise, reopen and resolve, given those known and the conditions that are true.

An alert is named by its kind, subject, episode and threshold. It is raised once, open while its condition is true, and
then resolved. If the condition returns within the same episode, the alert opens again without being sent again. A
subject has at most one open alert of a kind.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from domain.alerts.kinds import AlertKind, Ending


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that is true now and needs a person.

    `subject`: the row that it is about, such as `budget:12`. `episode`: one occurrence of it, such as the first day of
    the budget's window; a subject has one alert for each episode and threshold. `threshold`: percent of the limit; 0
    for kinds without thresholds. `brand_id`, `campaign_id`, `budget_id`: the rows that it concerns; None: none.
    `window_first_day`: None for a lifetime budget, and for conditions of no budget. `figures`: JSON values for the
    alert's sentence.
    """

    kind: AlertKind
    subject: str
    episode: str
    threshold: int = 0
    brand_id: int | None = None
    campaign_id: int | None = None
    budget_id: int | None = None
    window_first_day: date | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)


class KnownAlert(NamedTuple):
    """A stored alert. `threshold`: percent of the limit; 0 for kinds without thresholds. `is_open`: not resolved."""

    id: int
    subject: str
    episode: str
    threshold: int
    is_open: bool


@dataclass
class Changes:
    """The changes of alerts that an evaluation found.

    `raised`: the conditions of new alerts. `reopened`: ids of alerts. `resolved`: by id of the alert, why it ended.
    """

    raised: list[Condition] = field(default_factory=list)
    reopened: list[int] = field(default_factory=list)
    resolved: dict[int, Ending] = field(default_factory=dict)

    def add(self, others: "Changes") -> None:
        """Appends the raised, reopened and resolved alerts of other changes."""
        self.raised += others.raised
        self.reopened += others.reopened
        self.resolved |= others.resolved

    def __bool__(self) -> bool:
        return bool(self.raised or self.reopened or self.resolved)


def changes_of(known: Iterable[KnownAlert], holding: Sequence[Condition]) -> Changes:
    """The changes of the alerts of one kind that has no thresholds.

    `known`: the kind's open alerts, and all alerts of the subjects in `holding`. `holding`: the conditions that hold,
    of which only the first of a subject counts. While a subject's condition is true, its open alert stays, even if the
    condition now has another `episode`.
    """
    found = Changes()
    open_alerts, closed = {}, {}
    for alert in known:
        if alert.is_open:
            open_alerts[alert.subject] = alert
        else:
            closed[alert.subject, alert.episode] = alert
    seen: set[str] = set()
    for condition in holding:
        if condition.subject in seen:
            continue
        seen.add(condition.subject)
        if condition.subject in open_alerts:
            continue
        before = closed.get((condition.subject, condition.episode))
        if before is None:
            found.raised.append(condition)
        else:
            found.reopened.append(before.id)
    found.resolved = {alert.id: Ending.CLEARED for alert in open_alerts.values() if alert.subject not in seen}
    return found
