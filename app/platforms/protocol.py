"""The interface of an ad platform, and the errors that its adapters raise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, NamedTuple, Protocol

from app.platforms.credentials import Credentials
from domain.reconcile import Confirmed

LONGEST_WAIT_SECONDS: Final = 10_000_000.0
"""The longest wait taken from a platform's answer, in seconds; a longer one is cut."""


class PlatformError(Exception):
    """A request to a platform failed. The message is for people and contains no secret.

    `may_be_applied`: a change in the request may have been carried out all the same.
    """

    may_be_applied = False


class Unanswered(PlatformError):
    """No usable answer: no connection, a timeout, an answer that is too large or malformed, a server error."""

    def __init__(self, message: str, *, may_be_applied: bool) -> None:
        super().__init__(message)
        self.may_be_applied = may_be_applied


class TooLarge(Unanswered):
    """The answer is too large, or did not end in time; a request for fewer days may succeed."""


class Refused(PlatformError):
    """The platform refused the request as wrong or not permitted."""


class LoginFailed(PlatformError):
    """The credentials are missing, expired or revoked."""


class Limited(PlatformError):
    """The platform allows no further requests for `seconds`. `for_all`: so for all accounts that share the quota."""

    def __init__(self, message: str, seconds: float, *, for_all: bool) -> None:
        super().__init__(message)
        self.seconds = min(seconds, LONGEST_WAIT_SECONDS)
        self.for_all = for_all


@dataclass(frozen=True, slots=True)
class Account:
    """A connected account: Spendgate's id, the platform's id, and the credentials for it.

    `time_zone`: the account's, None if it was never described.
    """

    id: int
    platform: str
    account_id: str
    credentials: Credentials
    options: Mapping[str, str] = field(default_factory=dict)
    time_zone: str | None = None


class AccountFacts(NamedTuple):
    """An account as the platform describes it: name, IANA time zone, ISO 4217 currency."""

    name: str
    time_zone: str
    currency: str


class DaySpend(NamedTuple):
    """The spend of one campaign on one day of the account's time zone."""

    external_id: str
    day: date
    micros: int


class HourSpend(NamedTuple):
    """The spend of one campaign in one hour, 0 to 23, of the account's wall clock; a repeated hour is one hour."""

    external_id: str
    day: date
    hour: int
    micros: int


class Change(NamedTuple):
    """A status to set: `enabled` or `paused`."""

    external_id: str
    status: Confirmed


class Changed(NamedTuple):
    """A change of a status on the platform: who made it, and when."""

    by: str
    at: datetime


Outcomes = Mapping[str, PlatformError | None]
"""By the platform's id of a campaign, the error of its change; None if it was done. A campaign that is missing may
have been changed, as may one with an error that says `may_be_applied`."""


class Platform(Protocol):
    """An ad platform. Every method raises PlatformError; reads are complete answers or errors.

    `changes_a_request`: items of one `set_status` call, at most. `has_hours`: `read_hours` is possible.
    """

    changes_a_request: int
    has_hours: bool

    @property
    def operations_a_day(self) -> int | None:
        """The requests and changes in 24 sliding hours that all accounts share; None: there is no such quota."""

    def take_usage(self, account_id: str, /) -> int | None:
        """The used percent of the account's own quota, by the answers since the last call; None if no answer had it."""

    def describe(self, account: Account) -> AccountFacts:
        """The account's name, time zone and currency. Raises PlatformError, such as Refused for an unknown account."""

    def read_spend(self, account: Account, first_day: date, last_day: date) -> list[DaySpend]:
        """The spend from `first_day` to `last_day`, included. Days without cost may be missing."""

    def read_hours(self, account: Account, first_day: date, last_day: date) -> list[HourSpend]:
        """The spend from `first_day` to `last_day`, included, by hours. Hours without cost may be missing."""

    def read_statuses(self, account: Account) -> dict[str, Confirmed]:
        """The status of every campaign by the platform's id; campaigns that are missing do not exist on it."""

    def set_status(self, account: Account, changes: Sequence[Change]) -> Outcomes:
        """Sets statuses in one request; returns the outcome of each change."""

    def who_changed(self, account: Account, changes: Sequence[Change], since: datetime) -> dict[str, Changed]:
        """The newest change to each of these statuses after `since`, at most 28 days ago, by the platform's id.

        Costs one operation of a quota, whatever the number of campaigns. Changes that the platform does not report are
        missing.
        """
