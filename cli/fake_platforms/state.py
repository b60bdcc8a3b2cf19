"""The state of the fake platform: campaigns with their spend, the account, faults to come, requests received."""

from collections import deque
from dataclasses import dataclass, field
from datetime import date, datetime
from threading import Event, Lock
from typing import Any, NamedTuple

ENABLED, PAUSED, REMOVED = "enabled", "paused", "removed"


@dataclass
class FakeCampaign:
    """A campaign: its status, and its spend in micros by day, and by day and hour, of the account's zone."""

    id: str
    status: str = ENABLED
    spend: dict[date, int] = field(default_factory=dict)
    hours: dict[tuple[date, int], int] = field(default_factory=dict)


class Activity(NamedTuple):
    """A change of a status there: when, by whom, to which status, and which."""

    at: datetime
    by: str
    campaign_id: str
    status: str


class Received(NamedTuple):
    """A request: its kind (`token`, `search`, `mutate`), path with query, headers and decoded body."""

    kind: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class FakePlatform:
    """One account. `faults`: for each kind of request, the faults of the next ones, each used once.

    Faults: `hang`, `drip`, `500`, `429`, `expired`, `apply_then_hang`, `apply_then_500`. `refused`: ids of campaigns
    whose changes fail. `retry_seconds`: said with 429. `ends`: set when the test ends, so that hanging answers end.

    Of Google alone: `service_account_key`: the public key, as PEM, of the service account that may log in.

    Of Meta alone: `limited`: ids whose changes exceed a limit; `unanswered`: ids whose changes are carried out and not
    answered; `in_process`: ids whose status Meta still processes; `rows_a_page`; `most_days` of one answer about spend;
    `usage_percent`: the use of limits in headers.
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
    received: list[Received] = field(default_factory=list)
    ends: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)

    def add(self, campaign_id: str, status: str = ENABLED) -> FakeCampaign:
        """Adds a campaign and returns it."""
        self.campaigns[campaign_id] = FakeCampaign(campaign_id, status)
        return self.campaigns[campaign_id]

    def change(self, campaign_id: str, status: str, by: str, at: datetime) -> None:
        """A person's or another program's change of a status, which the platform's history tells."""
        self.campaigns[campaign_id].status = status
        self.activities.append(Activity(at, by, campaign_id, status))

    def spend(self, campaign_id: str, day: date, micros: int, hour: int = 12) -> bool:
        """Adds spend of an enabled campaign in an hour; returns whether it was enabled."""
        with self.lock:
            campaign = self.campaigns[campaign_id]
            if campaign.status != ENABLED:
                return False
            campaign.spend[day] = campaign.spend.get(day, 0) + micros
            campaign.hours[day, hour] = campaign.hours.get((day, hour), 0) + micros
            return True

    def fail(self, kind: str, *faults: str) -> None:
        """Gives the next requests of this kind these faults, one each."""
        self.faults.setdefault(kind, deque()).extend(faults)

    def next_fault(self, kind: str) -> str:
        """The fault of the present request of this kind, or an empty text."""
        waiting = self.faults.get(kind)
        return waiting.popleft() if waiting else ""

    def requests(self, kind: str) -> list[Received]:
        """The requests of this kind, in order."""
        return [one for one in self.received if one.kind == kind]
