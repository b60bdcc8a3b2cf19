"""A simulated day of many accounts on one platform: the real decisions, actors and quota ledger on a driven clock.

The platform is in this process. Its campaigns spend by the hour of their zone and only while enabled, and it counts
the operations that it is asked for itself.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Final
from zoneinfo import ZoneInfo

import psycopg
import redis

from app.enforcement import enforce
from app.platforms.protocol import Account, AccountFacts, Change, DaySpend, HourSpend, Outcomes
from db.engine import committed
from delivery.broker import get_broker
from domain.causes import Cause
from domain.periods import ONE_DAY, local_day
from domain.reconcile import Confirmed
from runtime import clock
from runtime.settings import settings

MINUTE: Final = timedelta(minutes=1)
QUEUE: Final = "platforms"
ZONES: Final = ("America/Los_Angeles", "America/New_York", "UTC", "Europe/Berlin", "Asia/Dubai", "Asia/Tokyo")
HOURS: Final = (3, 2, 2, 2, 2, 3, 5, 7, 9, 10, 10, 10, 11, 11, 10, 10, 11, 12, 14, 15, 15, 13, 9, 5)
"""The relative spend of each local hour of a day."""

LIMIT: Final = 100_000_000
SPENDS: Final = (0.4, 1.6)
"""The least and the most that an account would spend in a day without its limit, as multiples of LIMIT."""

FILL: Final = (
    """
    INSERT INTO brands (name, time_zone, currency)
    SELECT 'Brand ' || number, (%(zones)s::text[])[1 + number %% %(zone_count)s], 'USD'
    FROM generate_series(0, %(accounts)s - 1) AS number
    """,
    "INSERT INTO budgets (brand_id, period, limit_micros) SELECT id, 'daily', %(limit)s FROM brands ORDER BY id",
    """
    INSERT INTO platform_accounts (platform, account_id) SELECT 'google_ads', id::text FROM brands ORDER BY id
    """,
    """
    INSERT INTO platform_account_brands (brand_id, platform_account_id)
    SELECT account_id::bigint, id FROM platform_accounts
    """,
    """
    INSERT INTO campaigns (brand_id, name, platform, external_id, platform_account_id)
    SELECT account_id::bigint, 'Campaign ' || number, 'google_ads', account_id || '0' || number, id
    FROM platform_accounts, generate_series(1, %(campaigns)s) AS number ORDER BY id, number
    """,
    """
    INSERT INTO platform_connections (platform_account_id, mode, credentials)
    SELECT id, 'full', 'env:SIMULATED_LOGIN' FROM platform_accounts ORDER BY id
    """,
)

PAUSES: Final = """
    SELECT confirmed_at - changed_at FROM status_changes
    LEFT JOIN platform_confirmations AS confirmed ON confirmed.brand_id = status_changes.brand_id
        AND confirmed.campaign_id = status_changes.campaign_id AND status_change_id = id
    WHERE to_status = 'inactive'
"""

LOST_WAKES: Final = 0.1
"""The share of `wake_platforms` messages, which ask a worker to carry out decisions at once, that are dropped."""


@dataclass
class SimulatedAccount:
    """One account on the simulated platform: its campaigns' statuses, and its spend in micros by local day.

    `reached_at`: when the spend of the present day reached the limit; None before, and once a campaign is paused for
    it.
    """

    zone: ZoneInfo
    micros_a_day: int
    statuses: dict[str, Confirmed]
    spent: dict[date, int] = field(default_factory=dict)
    reached_at: datetime | None = None

    def serve(self, at: datetime, minutes: float) -> None:
        """Adds the spend of so many minutes to the day of `at`, by its hour and the share of enabled campaigns."""
        enabled = sum(status is Confirmed.ENABLED for status in self.statuses.values())
        local = at.astimezone(self.zone)
        before = self.spent.get(local.date(), 0)
        rate = self.micros_a_day * HOURS[local.hour] * enabled / (sum(HOURS) * 60 * len(self.statuses))
        after = self.spent[local.date()] = before + int(rate * minutes)
        if not before:
            self.reached_at = None
        if before < LIMIT <= after:
            self.reached_at = at


class SimulatedPlatform:
    """A platform with many accounts and one quota.

    `used`: the moment of each operation; `used_but_by_pauses`: of each operation that is no pause. `found`: for each
    limit that was reached, the time until a campaign was paused for it. `beyond`: the spend above that limit by then,
    as a share of the limit.
    """

    changes_a_request = 1_000
    has_hours = True

    def __init__(self, accounts: int, campaigns: int, operations_a_day: int, seed: int) -> None:
        self.draw = Random(seed)
        self.operations_a_day = operations_a_day
        self.campaigns = campaigns
        self.used: list[datetime] = []
        self.used_but_by_pauses: list[datetime] = []
        self.kinds = Counter[str]()
        self.found: list[timedelta] = []
        self.beyond: list[float] = []
        self.accounts = {
            str(number): SimulatedAccount(
                ZoneInfo(ZONES[(number - 1) % len(ZONES)]),
                int(LIMIT * self.draw.uniform(*SPENDS)),
                {f"{number}0{campaign}": Confirmed.ENABLED for campaign in range(1, campaigns + 1)},
            )
            for number in range(1, accounts + 1)
        }

    def serve(self, at: datetime, minutes: int) -> None:
        """Lets every account spend for the minutes before `at`, at a rate that varies."""
        for account in self.accounts.values():
            account.serve(at, minutes * self.draw.uniform(0.4, 1.6))

    def not_found(self, at: datetime) -> list[timedelta]:
        """For each limit that was reached, but for which no campaign is paused yet, the time from then until `at`."""
        return [at - one.reached_at for one in self.accounts.values() if one.reached_at is not None]

    def forget_figures(self) -> None:
        """Clears `found`, `beyond` and the counts of operations by kind; keeps the moments of operations."""
        self.found.clear()
        self.beyond.clear()
        self.kinds.clear()

    def take_usage(self, _account_id: str) -> None:
        """Does nothing: Spendgate's own count of operations says what is used."""

    def describe(self, account: Account) -> AccountFacts:
        """Counts an operation and returns the account's zone and currency."""
        self._count("descriptions", 1)
        return AccountFacts("Simulated", self.accounts[account.account_id].zone.key, "USD")

    def read_spend(self, account: Account, first_day: date, last_day: date) -> list[DaySpend]:
        """Counts an operation and returns the account's spend by day, of which each campaign has an equal part."""
        self._count("reads of spend", 1)
        there = self.accounts[account.account_id]
        return [
            DaySpend(name, day, micros // self.campaigns + (micros % self.campaigns if number == 0 else 0))
            for day, micros in there.spent.items()
            if first_day <= day <= last_day and micros
            for number, name in enumerate(there.statuses)
        ]

    def read_hours(self, account: Account, first_day: date, last_day: date) -> list[HourSpend]:
        """Raises NotImplementedError; never called, because every account has its brand's zone."""
        raise NotImplementedError

    def read_statuses(self, account: Account) -> dict[str, Confirmed]:
        """Counts an operation and returns the status of each campaign, by its external id."""
        self._count("reads of statuses", 1)
        return dict(self.accounts[account.account_id].statuses)

    def set_status(self, account: Account, changes: Sequence[Change]) -> Outcomes:
        """Sets the statuses, and counts an operation for each change.

        For a pause after a reached limit, adds the time since then to `found` and the overspend to `beyond`.
        """
        is_pause = changes[0].status is Confirmed.PAUSED
        self._count("pauses" if is_pause else "releases", len(changes))
        there = self.accounts[account.account_id]
        there.statuses |= {change.external_id: change.status for change in changes}
        if is_pause and there.reached_at is not None:
            self.found.append(clock.now() - there.reached_at)
            self.beyond.append(there.spent[local_day(there.reached_at, there.zone)] / LIMIT - 1)
            there.reached_at = None
        return {change.external_id: None for change in changes}

    def who_changed(self, _account: Account, _changes: Sequence[Change], _since: datetime) -> dict[str, str]:
        """Returns no author, because no person changes anything in the simulation."""
        return {}

    def _count(self, kind: str, operations: int) -> None:
        self.kinds[kind] += operations
        self.used += [clock.now()] * operations
        if kind != "pauses":
            self.used_but_by_pauses += [clock.now()] * operations


def most_in_a_day(moments: Sequence[datetime]) -> int:
    """The most of these moments, which are in order, in any 24 sliding hours."""
    return max((place + 1 - bisect_right(moments, at - ONE_DAY) for place, at in enumerate(moments)), default=0)


class PlatformDay:
    """A simulation: time passes, the platform serves, the scheduler's actors run, then all messages that they sent.

    LOST_WAKES of the `wake_platforms` messages are dropped, as messages may be lost: the next minute carries the
    decision out.
    """

    def __init__(self, platform: SimulatedPlatform, url: str, set_clock: Callable[[datetime], object]) -> None:
        self.platform, self.url, self._set_clock = platform, url, set_clock
        self._redis: Any = redis.Redis.from_url(settings().redis_url or "")
        self.has_lost_wake = False

    def fill(self) -> None:
        """Creates a brand with a daily limit, an account and its campaigns for each simulated account."""
        accounts = len(self.platform.accounts)
        values = {"accounts": accounts, "campaigns": self.platform.campaigns, "limit": LIMIT}
        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in FILL:
                connection.execute(statement.encode(), values | {"zones": list(ZONES), "zone_count": len(ZONES)})
            connection.execute("ANALYZE")
        committed(partial(enforce, brand_ids=range(1, accounts + 1), cause=Cause.EDIT))

    def pass_time(self, at: datetime, minutes: int) -> datetime:
        """Sets the clock `minutes` minutes after `at`, lets the platform serve and actors run; returns that time."""
        at += minutes * MINUTE
        self._set_clock(at)
        self.platform.serve(at, minutes)
        self.has_lost_wake = False
        for name in ("apply_dayparting", "visit_platforms"):
            get_broker().get_actor(name).fn()
        for name, arguments in self._messages():
            if name == "wake_platforms" and self.platform.draw.random() < LOST_WAKES:
                self.has_lost_wake = True
            else:
                get_broker().get_actor(name).fn(*arguments)
        return at

    def _messages(self) -> Iterator[tuple[str, list[Any]]]:
        """Takes messages from the queue until it is empty; yields (actor name, arguments) pairs."""
        while (name := self._redis.lpop(f"dramatiq:{QUEUE}")) is not None:
            message = json.loads(self._redis.hget(f"dramatiq:{QUEUE}.msgs", name))
            self._redis.hdel(f"dramatiq:{QUEUE}.msgs", name)
            yield message["actor_name"], message["args"]

    def pause_delays(self) -> list[timedelta | None]:
        """The time from each decision to pause a campaign until the platform confirmed it; None if it did not."""
        with psycopg.connect(self.url) as connection:
            return [row[0] for row in connection.execute(PAUSES)]
