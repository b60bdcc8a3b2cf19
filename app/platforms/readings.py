"""Sorts campaigns by how their brands' days can be read: as the account's days, by hours, or not at all."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from app.platforms.protocol import Account, DaySpend, Platform
from db.repository.platforms.spend import AccountCampaign
from db.repository.shared.zones import readable_zones
from domain.hours import Regrouped, SharedHour, days_to_read, regrouped
from domain.periods import ONE_DAY, local_day
from domain.zones import same_days

Days = tuple[date, date]
"""The first and the last day of a range, both included."""

NAMED: Final = 10
"""Names in a sentence, at most."""


class Reading(NamedTuple):
    """Campaigns whose brands have the same days, and their complete spend on `days` but for those `left_out`."""

    owners: Sequence[AccountCampaign]
    days: Days
    spend: Sequence[DaySpend]
    left_out: frozenset[date] = frozenset()


class Plan(NamedTuple):
    """Campaigns to read by the account's days, those to read by hours by their brand's zone, and what is not read.

    `problems`: a sentence for people about each brand whose spend is not read, or not on all days.
    """

    by_days: Sequence[AccountCampaign]
    by_hours: Mapping[ZoneInfo, Sequence[AccountCampaign]]
    problems: Sequence[str]


def planned(
    owners: Sequence[AccountCampaign], account: ZoneInfo, currency: str | None, days: Days, *, has_hours: bool
) -> Plan:
    """Sorts the owners. `account`, `currency`: the account's; `days`: to be read; `has_hours`: of the platform."""
    by_days: list[AccountCampaign] = []
    by_hours: dict[ZoneInfo, list[AccountCampaign]] = {}
    problems: dict[str, None] = {}
    of_brands: dict[int, list[Problem]] = {}
    zones = readable_zones({one.time_zone for one in owners})
    for one in owners:
        zone = zones.get(one.time_zone)
        if one.brand_id not in of_brands:
            of_brands[one.brand_id] = list(problems_of(one, account, currency, zone, days, has_hours=has_hours))
        found = of_brands[one.brand_id]
        problems |= {problem.words: None for problem in found[:1]}
        if zone is None or any(problem.is_whole for problem in found):
            continue
        (by_days if same_days(account, zone, *days) else by_hours.setdefault(zone, [])).append(one)
    return _without_moved(Plan(by_days, by_hours, list(problems)))


class Problem(NamedTuple):
    """A sentence about a brand's spend. `is_whole`: no day of it can be read."""

    words: str
    is_whole: bool = True


def problems_of(
    one: AccountCampaign, account: ZoneInfo, currency: str | None, zone: ZoneInfo | None, days: Days, *, has_hours: bool
) -> Iterator[Problem]:
    """The reasons why spend of the campaign's brand on these days is not read.

    `account`, `currency`: the account's; `zone`: the brand's, None if unreadable; `has_hours`: of the platform.
    """
    brand = f"brand {one.brand_id} ({one.brand_name})"
    if one.currency != currency:
        yield Problem(f"{brand} counts in {one.currency}, the account in {currency}: its spend is not read")
    if zone is not None and same_days(account, zone, *days):
        return
    if zone is None or not has_hours:
        yield Problem(f"{brand} has days of {one.time_zone}, the account of {account.key}: its spend is not read")
        return
    found: Regrouped[str] = regrouped((), account, zone, *days)
    if found.shared:
        left_out = found.left_out.intersection(_days(days))
        is_whole = len(left_out) == len(_days(days))
        which = "its spend" if is_whole else f"its spend on {_listed(sorted(map(str, left_out)))}"
        yield Problem(f"{brand}: {shared_words(found.shared[0], account, zone)}: {which} is not read", is_whole)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return f"{', '.join(names[:NAMED])} and {more} more" if more > 0 else ", ".join(names)


def shared_words(shared: SharedHour, account: ZoneInfo, brand: ZoneInfo) -> str:
    """The clause that names both days to which the spend of an hour may belong."""
    return (
        f"the hour from {shared.hour:02}:00 on {shared.day} in the account's {account.key} belongs to both"
        f" {shared.first} and {shared.second} in {brand.key}"
    )


def _days(days: Days) -> list[date]:
    first, last = days
    return [first + number * ONE_DAY for number in range((last - first).days + 1)]


def spans(days: Days, most: int) -> Iterator[Days]:
    """The days in ranges of at most `most` days each (one at least), the newest first."""
    first, last = days
    while last >= first:
        begin = max(first, last - (max(most, 1) - 1) * ONE_DAY)
        yield begin, last
        last = begin - ONE_DAY


def _without_moved(plan: Plan) -> Plan:
    """The plan without external ids that moved between brands of different days: either brand's days may be meant."""
    groups = [plan.by_days, *plan.by_hours.values()]
    counts = Counter(name for group in groups for name in {one.external_id for one in group})
    moved = {name for name, count in counts.items() if count > 1}
    if not moved:
        return plan
    sentence = f"campaigns that moved between brands of different days are not read: {_listed(sorted(moved))}"
    by_days, *by_hours = [[one for one in group if one.external_id not in moved] for group in groups]
    return Plan(by_days, dict(zip(plan.by_hours, by_hours, strict=True)), [*plan.problems, sentence])


def read_by_hours(
    plan: Plan, platform: Platform, account: Account, zone: ZoneInfo, at: datetime, days_back: int
) -> list[Reading]:
    """Reads hours once and regroups them for each brand's zone: its today and `days_back` days before."""
    days_of = {other: _days_until(at, other, days_back) for other in plan.by_hours}
    if not days_of:
        return []
    spans = [days_to_read(*days, zone, other) for other, days in days_of.items()]
    today = local_day(at, zone)
    hours = platform.read_hours(account, min(first for first, _ in spans), min(today, max(last for _, last in spans)))
    readings = []
    for other, owners in plan.by_hours.items():
        names = {one.external_id for one in owners}
        figures = [(row.external_id, row.day, row.hour, row.micros) for row in hours if row.external_id in names]
        found = regrouped(figures, zone, other, *days_of[other])
        spend = [DaySpend(name, day, micros) for (name, day), micros in found.days.items()]
        readings.append(Reading(owners, days_of[other], spend, found.left_out))
    return readings


def _days_until(at: datetime, zone: ZoneInfo, days_back: int) -> Days:
    today = local_day(at, zone)
    return today - days_back * ONE_DAY, today
