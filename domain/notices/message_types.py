"""The types of webhook messages, and the messages that a status change leads to."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, Final, NamedTuple

from domain.budgets import Scope
from domain.campaigns import EffectiveStatus
from domain.errors import InvalidValue
from domain.holds import BUDGET_HOLDS
from domain.periods import window_of


class MessageType(StrEnum):
    """A type of webhook messages that an endpoint may subscribe to."""

    CAMPAIGN_PAUSED = "campaign.paused"
    CAMPAIGN_ACTIVATED = "campaign.activated"
    BUDGET_EXHAUSTED = "budget.exhausted"
    ALERT_RAISED = "alert.raised"
    ALERT_RESOLVED = "alert.resolved"
    PLATFORM_UNCONFIRMED = "platform.unconfirmed"
    REPORT_READY = "report.ready"
    IMPORT_FAILED = "import.failed"
    ENDPOINT_FAILING = "endpoint.failing"


TEST_TYPE: Final = "endpoint.test"
"""The type of a test message; every endpoint may get one."""

STATUS_TYPES: Final = frozenset({MessageType.CAMPAIGN_PAUSED, MessageType.CAMPAIGN_ACTIVATED})
OF_CHANGES: Final = STATUS_TYPES | {MessageType.BUDGET_EXHAUSTED}
"""The types of messages made from status changes; all others are made from notices."""

PAUSE_URGENCY: Final = 0
URGENCY: Final = 1
"""The rank in the order of sending of all messages but pauses, which have PAUSE_URGENCY; lower ranks are sent first."""


class Exhausted(NamedTuple):
    """A budget that ran out. `campaign_id`: None for a brand's budget.

    `day`: the brand's day when it ran out; `first_day`: the first day of the budget's window; both in ISO 8601.
    """

    hold: str
    scope: str
    period: str
    campaign_id: int | None
    day: str
    first_day: str
    spent_micros: int
    limit_micros: int

    def key(self, brand_id: int) -> str:
        """A text that names budget, window and limit, so that one message is sent for all campaigns paused by them."""
        of = "" if self.campaign_id is None else self.campaign_id
        return f"budget.exhausted:{brand_id}:{of}:{self.hold}:{self.first_day}:{self.limit_micros}"


def checked_types(names: Sequence[str]) -> list[MessageType]:
    """The types with these names, each once; all types for no names. Raises InvalidValue for an unknown name."""
    known = set(MessageType)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidValue("types", f"{unknown[0]!r} is none of {', '.join(MessageType)}")
    return [one for one in MessageType if not names or one in names]


def type_of_status(status: str) -> MessageType:
    """The type of the message about a status change to this effective status."""
    return MessageType.CAMPAIGN_PAUSED if status == EffectiveStatus.INACTIVE else MessageType.CAMPAIGN_ACTIVATED


def urgency_of(message_type: str) -> int:
    """The rank of the type in the order of sending: 0 for pauses, 1 for all others; lower ranks are sent first."""
    return PAUSE_URGENCY if message_type == MessageType.CAMPAIGN_PAUSED else URGENCY


def exhausted_budgets(
    campaign_id: int, holds_before: Sequence[str], holds_after: Sequence[str], details: Mapping[str, Any]
) -> Iterator[Exhausted]:
    """Yields the budgets whose hold a status change of the campaign added. `details`: the figures of that change."""
    kinds = {str(hold): kind for kind, hold in BUDGET_HOLDS.items()}
    for hold, figures in details.get("budgets", {}).items():
        if hold in kinds and hold in holds_after and hold not in holds_before:
            scope, period = kinds[hold]
            day = str(details["day"])
            yield Exhausted(
                hold=hold,
                scope=scope.value,
                period=period.value,
                campaign_id=campaign_id if scope is Scope.CAMPAIGN else None,
                day=day,
                first_day=window_of(period, date.fromisoformat(day)).first_day.isoformat(),
                spent_micros=figures["spent_micros"],
                limit_micros=figures["limit_micros"],
            )
