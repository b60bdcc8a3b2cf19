"""The demo's brands and campaigns, and their spend of the past days."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from domain.periods import ONE_DAY, Period, day_starts_at, local_day
from domain.schedules import is_open, parse_schedule
from domain.zones import time_zone

PAST_DAYS: Final = 33
PAST_HOURS: Final = range(5, 24)


@dataclass(frozen=True)
class DemoCampaign:
    """One campaign of the demo.

    `a_day`: its usual daily spend; `limits`: its budgets by period; both in whole units of the brand's currency.
    `schedule`: in the form of `spendgate schedule set`; empty: it may always serve. `blinks`: its schedule opens and
    closes every few minutes. `paused`: a person has paused it.
    """

    name: str
    a_day: int
    schedule: str = ""
    blinks: bool = False
    paused: bool = False
    limits: dict[Period, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DemoBrand:
    """One brand of the demo. `limits`: its budgets by period, in whole units of its currency.

    `account`: the id of its account on the fake Google Ads; empty: it has none.
    """

    name: str
    zone: str
    currency: str
    limits: dict[Period, int]
    campaigns: tuple[DemoCampaign, ...]
    account: str = ""

    def external_id(self, campaign: DemoCampaign) -> str | None:
        """The campaign's id on the platform; None if the brand has no account."""
        return f"{self.account[-3:]}{self.campaigns.index(campaign) + 1}" if self.account else None


BRANDS: Final = (
    DemoBrand(
        "Hudson Shoes", "America/New_York", "USD", {Period.DAILY: 300, Period.MONTHLY: 12_000},
        (
            DemoCampaign("Brand search", 220),
            DemoCampaign("Shopping", 180, limits={Period.DAILY: 120}),
            DemoCampaign("Display, paused by a person", 90, paused=True),
        ),
        account="5550100100",
    ),
    DemoBrand(
        "Khumbu Trekking", "Asia/Kathmandu", "USD", {Period.DAILY: 150},
        (DemoCampaign("Base camp", 160), DemoCampaign("Evenings only", 60, schedule="daily 17:00-23:30")),
    ),
    DemoBrand(
        "Kreuzberg Kaffee", "Europe/Berlin", "EUR", {Period.WEEKLY: 2_500},
        (
            DemoCampaign("Mornings", 120, schedule="Mon-Fri 06:00-11:00"),
            DemoCampaign("Open and shut", 80, blinks=True),
            DemoCampaign("Night owls", 100, schedule="Fri-Sat 22:00-04:00", limits={Period.DAILY: 70}),
        ),
    ),
)  # fmt: skip


class PastSpend(NamedTuple):
    """The spend of one campaign in one past hour, in cents of the brand's currency; `at`: the hour's middle."""

    campaign: DemoCampaign
    at: datetime
    cents: int


def past_spend(brand: DemoBrand, at: datetime) -> Iterator[PastSpend]:
    """Yields random hourly spend of the PAST_DAYS days before the day of `at`, oldest first.

    Each day a campaign stops once its or its brand's daily limit is reached.
    """
    zone = time_zone(brand.zone)
    for ago in range(PAST_DAYS, 0, -1):
        midnight = day_starts_at(local_day(at, zone) - ago * ONE_DAY, zone)
        spent: Counter[str] = Counter()
        for hour in (midnight + timedelta(hours=hours, minutes=30) for hours in PAST_HOURS):
            for campaign in brand.campaigns:
                own, all_its = campaign.limits.get(Period.DAILY), brand.limits.get(Period.DAILY)
                held = _is_spent(own, spent[campaign.name]) or _is_spent(all_its, spent.total())
                if held or campaign.paused or not is_open(parse_schedule(campaign.schedule), hour, zone):
                    continue
                cents = int(campaign.a_day * 100 / len(PAST_HOURS) * random.uniform(0.4, 1.6))  # noqa: S311
                spent[campaign.name] += cents
                yield PastSpend(campaign, hour, cents)


def _is_spent(limit_units: int | None, cents: int) -> bool:
    return limit_units is not None and cents >= limit_units * 100
