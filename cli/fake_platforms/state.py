"""The state of the fake platform: campaigns with their spend, the account, faults to come, requests received."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from threading import Event, Lock
from typing import Any, Final, NamedTuple

from domain.periods import ONE_DAY, day_starts_at, local_day
from domain.zones import time_zone
from runtime import clock

ENABLED, PAUSED, REMOVED = "enabled", "paused", "removed"
API: Final = "api@spendgate.example"
"""The author of Spendgate's changes in the platform's history."""

REQUESTS_KEPT: Final = 10_000
ANSWERS_KEPT: Final = 1_000


@dataclass
class FakeCampaign:
    """A campaign: its status, its rate of spend, and its spend in micros by local day and by local (day, hour)."""

    id: str
    status: str = ENABLED
    spend: dict[date, int] = field(default_factory=dict)
    hours: dict[tuple[date, int], int] = field(default_factory=dict)
    name: str = ""
    micros_a_day: int = 0


class Activity(NamedTuple):
    """One status change in the platform's history: its time, its author, the campaign and the new status."""

    at: datetime
    by: str
    campaign_id: str
    status: str


class Received(NamedTuple):
    """A request that the platform received: its kind (`token`, `search`, `mutate`), path, headers and decoded body."""

    kind: str
    path: str
    headers: dict[str, str]
    body: Any


class Answered(NamedTuple):
    """An answer that the platform sent: its request's kind, the HTTP status and the content."""

    kind: str
    status: int
    content: bytes


@dataclass
class FakePlatform:
    """One account of a fake platform, with all its campaigns.

    `faults`: by kind of request, the faults of its next requests, each used once: `hang`, `drip`, `500`, `429`,
    `expired`, `apply_then_hang`, `apply_then_500`. `retry_seconds`: the delay in a 429. `ends`: set at the end of the
    test, so that hanging answers end. `refused`: ids of campaigns whose changes are refused. `refuse_every`: every n-th
    change is refused; 0: none. `clock`: gives the time until which campaigns with a rate (`micros_a_day`) spend; None:
    only `spend` adds spend. `latency_seconds`: real time before each answer. `operations_a_day`: the quota of 24
    sliding hours of `clock`; None: no quota.

    Only for Google: `service_account_key`: the public key, as PEM, of the service account that may log in.

    Only for Meta: `limited`: ids whose changes exceed a limit; `unanswered`: ids whose changes are made and not
    answered; `in_process`: ids whose status Meta still processes; `rows_a_page`: rows of a page at most; `most_days`:
    days of one answer about spend at most; `usage_percent`: the used part of the limits, in headers.
    """

    account_id: str = "1234567890"
    time_zone: str = "UTC"
    currency: str = "USD"
    token: str = "ya29.access-token-1"  # noqa: S105 - a fake one
    refresh_token: str = "1//refresh-token-secret"  # noqa: S105 - a fake one
    service_account: str = "spendgate@project.iam.gserviceaccount.example"
    service_account_key: str = ""
    meta_token: str = "EAABfake-meta-token"  # noqa: S105 - a fake one
    app_secret: str = "fake-meta-app-secret"  # noqa: S105 - a fake one
    is_revoked: bool = False
    retry_seconds: int = 40_591
    campaigns: dict[str, FakeCampaign] = field(default_factory=dict)
    faults: dict[str, deque[str]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    limited: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    in_process: set[str] = field(default_factory=set)
    rows_a_page: int = 3
    most_days: int | None = None
    usage_percent: int = 1
    activities: list[Activity] = field(default_factory=list)
    clock: Callable[[], datetime] | None = None
    latency_seconds: float = 0.0
    refuse_every: int = 0
    operations_a_day: int | None = None
    served_until: datetime | None = None
    changes: int = 0
    used: deque[tuple[datetime, int]] = field(default_factory=deque)
    answers: deque[Answered] = field(default_factory=lambda: deque(maxlen=ANSWERS_KEPT))
    received: list[Received] = field(default_factory=list)
    ends: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)

    def add(self, campaign_id: str, status: str = ENABLED) -> FakeCampaign:
        """Adds a campaign and returns it."""
        self.campaigns[campaign_id] = FakeCampaign(campaign_id, status)
        return self.campaigns[campaign_id]

    def change(self, campaign_id: str, status: str, by: str, at: datetime) -> None:
        """Sets a status, and adds the change to the platform's history; the same status again adds nothing."""
        campaign = self.campaigns[campaign_id]
        if campaign.status != status:
            self.activities.append(Activity(at, by, campaign_id, status))
            del self.activities[:-REQUESTS_KEPT]
        campaign.status = status

    def set_by_api(self, campaign_id: str, status: str) -> None:
        """Sets the status that a request asks for, with API as the author, now. The caller holds `lock`."""
        self.change(campaign_id, status, API, clock.read() if self.clock is None else self.clock())

    def spend(self, campaign_id: str, day: date, micros: int, hour: int = 12) -> bool:
        """Adds spend in micros to a day and hour of the campaign, if it is enabled; returns whether it is."""
        with self.lock:
            campaign = self.campaigns[campaign_id]
            if campaign.status != ENABLED:
                return False
            campaign.spend[day] = campaign.spend.get(day, 0) + micros
            campaign.hours[day, hour] = campaign.hours.get((day, hour), 0) + micros
            return True

    def serve(self) -> None:
        """Adds the spend of enabled campaigns since the last call, by their rates and `clock`; none without a clock."""
        if self.clock is None:
            return
        with self.lock:
            at = self.clock()
            for day, share in self._days(self.served_until or at, at):
                for campaign in self.campaigns.values():
                    if campaign.status == ENABLED:
                        micros = campaign.micros_a_day * share // ONE_DAY
                        campaign.spend[day] = campaign.spend.get(day, 0) + micros
            self.served_until = max(at, self.served_until or at)

    def _days(self, since: datetime, until: datetime) -> Iterator[tuple[date, timedelta]]:
        """Yields the local days between two moments, each with the length of its part between them."""
        zone = time_zone(self.time_zone)
        while since < until:
            day = local_day(since, zone)
            ends_at = min(until, day_starts_at(day + ONE_DAY, zone))
            yield day, ends_at - since
            since = ends_at

    def today(self) -> date | None:
        """The account's present day by the platform's clock; None without a clock."""
        return None if self.clock is None else local_day(self.clock(), time_zone(self.time_zone))

    def refuses(self, campaign_id: str) -> bool:
        """Counts a change of the campaign; returns whether the platform refuses it. The caller holds `lock`."""
        self.changes += 1
        return campaign_id in self.refused or bool(self.refuse_every and self.changes % self.refuse_every == 0)

    def wait_for_quota(self, operations: int) -> float:
        """Counts operations and returns 0 if the quota allows them; else returns the seconds until the quota grows.

        Without a clock or a quota, only returns 0.
        """
        if self.clock is None or self.operations_a_day is None:
            return 0.0
        with self.lock:
            at = self.clock()
            while self.used and self.used[0][0] <= at - ONE_DAY:
                self.used.popleft()
            if sum(count for _, count in self.used) + operations > self.operations_a_day:
                return ((self.used[0][0] if self.used else at) + ONE_DAY - at).total_seconds()
            self.used.append((at, operations))
            return 0.0

    def fail(self, kind: str, *faults: str) -> None:
        """Adds faults for the next requests of this kind, one for each request."""
        self.faults.setdefault(kind, deque()).extend(faults)

    def next_fault(self, kind: str) -> str:
        """Removes and returns the next fault of this kind of request; an empty text if there is none."""
        waiting = self.faults.get(kind)
        return waiting.popleft() if waiting else ""

    def note(self, request: Received) -> None:
        """Stores a request; forgets all but the last REQUESTS_KEPT."""
        self.received.append(request)
        del self.received[:-REQUESTS_KEPT]

    def requests(self, kind: str) -> list[Received]:
        """The stored requests of this kind, oldest first."""
        return [one for one in self.received if one.kind == kind]
