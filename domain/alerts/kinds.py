"""The kinds of alerts: their order, whether they are sent at once, and the advice to the person who reads one."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from domain.errors import InvalidValue


class AlertKind(StrEnum):
    """A condition that needs a person, in the order in which alerts are listed: worst first."""

    UNCONFIRMED_PAUSE = "unconfirmed_pause"
    HELD_BUT_SPENDING = "held_but_spending"
    CAMPAIGN_OVERRIDDEN = "campaign_overridden"
    OVERSPEND = "overspend"
    ENDPOINT_FAILING = "endpoint_failing"
    ACCOUNT_FAILING = "account_failing"
    STALE_FEED = "stale_feed"
    SPEND_STOPPED = "spend_stopped"
    BUDGET_THRESHOLD = "budget_threshold"
    FAILED_IMPORT = "failed_import"
    REJECTED_EVENTS = "rejected_events"


class Timing(StrEnum):
    """When a route sends an alert to its channel. `default`: `now` for the kinds in URGENT, `digest` for the others."""

    DEFAULT = "default"
    NOW = "now"
    DIGEST = "digest"
    NEVER = "never"


class Ending(StrEnum):
    """Why an alert was resolved.

    `below`: spend fell a percentage point below the threshold, or the limit was raised. `cleared`: the condition ended.
    `superseded`: the budget got an alert of a higher threshold. `window_ended`: the budget's window ended. `gone`: the
    budget was removed, or its brand or campaign was archived.
    """

    BELOW = "below"
    CLEARED = "cleared"
    SUPERSEDED = "superseded"
    WINDOW_ENDED = "window_ended"
    GONE = "gone"


SENT_ENDINGS: Final = frozenset({Ending.BELOW, Ending.CLEARED})
"""The endings that are sent to channels. After any other ending, the problem may still exist."""


@dataclass(frozen=True, slots=True)
class KindFacts:
    """The words and the urgency of one kind. `advice`: a sentence that says what the person can do.

    `is_urgent`: alerts of the kind are sent at once unless a route says otherwise.
    """

    name: str
    advice: str
    is_urgent: bool = True


FACTS: Final[Mapping[AlertKind, KindFacts]] = {
    AlertKind.UNCONFIRMED_PAUSE: KindFacts(
        "pause not confirmed", "Pause the campaign on the platform by hand, and check the connection."
    ),
    AlertKind.HELD_BUT_SPENDING: KindFacts(
        "held but spending", "Stop the campaign where it serves: it spends although it must not."
    ),
    AlertKind.CAMPAIGN_OVERRIDDEN: KindFacts(
        "enabled by others", "Find the program or person that enables the campaign on the platform."
    ),
    AlertKind.OVERSPEND: KindFacts("overspend", "See in the monthly report why spend went so far beyond the limit."),
    AlertKind.ENDPOINT_FAILING: KindFacts(
        "webhook failing", "Repair the endpoint, or enable it again; it then gets the newest status of each campaign."
    ),
    AlertKind.ACCOUNT_FAILING: KindFacts(
        "platform account failing", "Check the account's credentials and the last error."
    ),
    AlertKind.STALE_FEED: KindFacts("no reports", "Check the program that reports the spend."),
    AlertKind.SPEND_STOPPED: KindFacts(
        "spend stopped", "Check on the platform whether the campaign still serves: its ads, bids and payment."
    ),
    AlertKind.BUDGET_THRESHOLD: KindFacts("budget used", "Raise the limit if the campaigns should go on."),
    AlertKind.FAILED_IMPORT: KindFacts("file not imported", "Correct the file or its options.", is_urgent=False),
    AlertKind.REJECTED_EVENTS: KindFacts(
        "rejected events", "Correct the cause of the rejections, then replay the events.", is_urgent=False
    ),
}

RANK: Final[Mapping[str, int]] = {kind: place for place, kind in enumerate(AlertKind)}
"""The position of each kind in lists of alerts: 0 for the worst kind."""

URGENT: Final = tuple(kind for kind, facts in FACTS.items() if facts.is_urgent)
"""The kinds that are sent at once unless a route says otherwise; the others wait for the digest."""


def parse_kind(name: str) -> AlertKind:
    """The kind that is stored as `name`. Raises InvalidValue if there is none."""
    try:
        return AlertKind(name)
    except ValueError:
        raise InvalidValue("kind", f"{name!r} is none of {', '.join(AlertKind)}") from None
