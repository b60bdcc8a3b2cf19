"""Reconciles the status that Spendgate wants a campaign to have on its ad platform with the one the platform reports.

Level-triggered: a decision depends on the newest desired status and the newest read, never on a past change.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

REPAUSES_AN_HOUR: Final = 3
"""How often, at most, Spendgate pauses a campaign again within REPAUSE_WINDOW after others enabled it on the platform.

Instead of the next pause `reconcile` returns `Action.ALERT`.
"""

REPAUSE_WINDOW: Final = timedelta(hours=1)

TRIES: Final = 3
"""Times that a refused change is sent before `refused_wait` delays it; until then only the account's own delays do."""

FIRST_WAIT: Final = timedelta(minutes=5)
"""Time until a change that was refused TRIES times is sent again; it doubles with each refusal, up to LONGEST_WAIT."""

LONGEST_WAIT: Final = timedelta(hours=6)
"""Longest time until a change that was refused TRIES times or more is sent again."""

OVERRIDDEN: Final = "another program or a person keeps enabling it on the platform"
"""The error stored for a campaign after `Action.ALERT`; if the platform names who enabled it, the name follows."""


DOUBTFUL: Final = "a person may have paused it there before Spendgate did: enable it there to release it"
"""The stored error of a campaign that Spendgate leaves paused because the platform does not report who paused it."""


class Mode(StrEnum):
    """The changes that Spendgate may make on a platform account.

    `off`: none, and it reads nothing. `shadow`: none, it only reads. `pause_only`: pauses. `full`: pauses and enables.
    """

    OFF = "off"
    SHADOW = "shadow"
    PAUSE_ONLY = "pause_only"
    FULL = "full"


class Desired(StrEnum):
    """The status that Spendgate wants on the platform: the campaign's effective status."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class Confirmed(StrEnum):
    """The status that the platform last reported. `unknown`: never read, or a word that Spendgate does not know."""

    ENABLED = "enabled"
    PAUSED = "paused"
    REMOVED = "removed"
    UNKNOWN = "unknown"


class Action(StrEnum):
    """The next request that brings the platform to the desired status: `pause` or `enable`; `none`: none is needed now.

    `leave`: the statuses differ and Spendgate may not change the platform's, or the campaign was removed there.
    `alert`: as `leave`, because another program or a person keeps enabling the campaign there.
    """

    NONE = "none"
    PAUSE = "pause"
    ENABLE = "enable"
    LEAVE = "leave"
    ALERT = "alert"


class HoldChange(StrEnum):
    """The change of the hold `platform_paused` that a person's change on the platform requires."""

    NONE = "none"
    SET_HOLD = "set_hold"
    LIFT_HOLD = "lift_hold"


ACTING: Final = frozenset({Mode.PAUSE_ONLY, Mode.FULL})
"""The modes in which Spendgate changes campaigns on the platform, and sets and lifts the hold `platform_paused`."""


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """The facts about one campaign on its platform.

    `paused_by_us`: Spendgate sent the pause that is in force there. `is_repause`: the platform has already confirmed a
    pause for the present desired status. `repauses`: pauses sent again in the last REPAUSE_WINDOW.
    `may_be_applied`: the outcome of the last sent change is unknown, and the platform was not read since.
    `is_doubtful`: a person may have paused the campaign there before Spendgate's pause arrived. `is_unread`: the
    platform cannot be read now.
    """

    desired: Desired
    confirmed: Confirmed
    paused_by_us: bool = False
    mode: Mode = Mode.SHADOW
    is_repause: bool = False
    repauses: int = 0
    may_be_applied: bool = False
    is_doubtful: bool = False
    is_unread: bool = False


def reconcile(facts: StatusFacts) -> Action:
    """The next action for the campaign. `enable` only for a campaign that Spendgate paused, and only in mode `full`.

    Also `none` in modes `off` and `shadow`, before the first read of the status, and while the outcome of the last
    change is unknown. Exception: while the platform cannot be read, a pause is sent although that outcome is unknown,
    because a second pause changes nothing.
    """
    if facts.mode not in ACTING or facts.confirmed is Confirmed.UNKNOWN:
        return Action.NONE
    if facts.confirmed is Confirmed.REMOVED:
        return Action.NONE if facts.may_be_applied else Action.LEAVE
    if facts.may_be_applied:
        return Action.PAUSE if facts.is_unread and facts.desired is Desired.INACTIVE else Action.NONE
    if facts.desired is Desired.INACTIVE:
        return _stop(facts)
    return _release(facts)


def _stop(facts: StatusFacts) -> Action:
    if facts.confirmed is Confirmed.PAUSED:
        return Action.NONE
    if facts.is_repause and facts.repauses >= REPAUSES_AN_HOUR:
        return Action.ALERT
    return Action.PAUSE


def _release(facts: StatusFacts) -> Action:
    if facts.confirmed is Confirmed.ENABLED:
        return Action.NONE
    is_ours = facts.paused_by_us and not facts.is_doubtful
    return Action.ENABLE if is_ours and facts.mode is Mode.FULL else Action.LEAVE


def would_do(facts: StatusFacts) -> Action:
    """The action that `reconcile` returns in mode `full`, for mode `shadow` and dry runs."""
    return reconcile(replace(facts, mode=Mode.FULL))


def platform_hold_change(facts: StatusFacts) -> HoldChange:
    """Whether the hold `platform_paused` must be set or lifted because of the platform's status.

    A pause that Spendgate did not send is a person's, which sets the hold; a campaign that is enabled on the platform
    must not have it. Also `none` in modes `off` and `shadow`, and while the outcome of the last change is unknown.
    """
    if facts.mode not in ACTING or facts.may_be_applied:
        return HoldChange.NONE
    if facts.confirmed is Confirmed.PAUSED and not facts.paused_by_us:
        return HoldChange.SET_HOLD
    return HoldChange.LIFT_HOLD if facts.confirmed is Confirmed.ENABLED else HoldChange.NONE


def paused_by_us_after(read: Confirmed, *, paused_by_us: bool) -> bool:
    """Whether Spendgate's pause is in force after a read of the platform; a campaign that is enabled has none.

    `read`: the status read. `paused_by_us`: whether Spendgate's pause was in force before the read.
    """
    return paused_by_us and read is not Confirmed.ENABLED


def refused_wait(attempts: int) -> timedelta:
    """The delay before a change that was sent `attempts` times for one decision is sent again; 0 below TRIES."""
    return min(FIRST_WAIT * 2 ** min(attempts - TRIES, 16), LONGEST_WAIT) if attempts >= TRIES else timedelta(0)


def recent_repauses(moments: Iterable[datetime], at: datetime) -> list[datetime]:
    """The moments within the hour (REPAUSE_WINDOW) that ends at `at`, sorted."""
    return sorted(moment for moment in moments if at - REPAUSE_WINDOW < moment <= at)
