"""Plans which campaigns to read by the account's days and which by hours, and adds read hours up to brands' days."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from app.platforms.protocol import Account, DaySpend, HourSpend, Platform
from db.repository.platforms.spend import AccountCampaign
from db.repository.shared.zones import readable_zones
from domain.hours import Regrouped, SharedHour, days_to_read, regrouped
from domain.periods import ONE_DAY, local_day
from domain.zones import same_days
from runtime.formats import first_of

Days = tuple[date, date]
"""The first and the last day of a range, both included."""

NAMED: Final = 10
"""Names in a sentence, at most."""


class Reading(NamedTuple):
    """The complete spend, on `days`, of campaigns whose brands have the same days.

    `owners`: these campaigns, each with an external id. `left_out`: the days whose spend could not be read.
    """

    owners: Sequence[AccountCampaign]
    days: Days
    spend: Sequence[DaySpend]
    left_out: frozenset[date] = frozenset()


class Plan(NamedTuple):
    """The campaigns to read by the account's days, and those to read by hours, by their brand's time zone.

    `problems`: a sentence for people about each brand whose spend is not read, or not on all days.
    """

    by_days: Sequence[AccountCampaign]
    by_hours: Mapping[ZoneInfo, Sequence[AccountCampaign]]
    problems: Sequence[str]


def planned(
    owners: Sequence[AccountCampaign], account: ZoneInfo, currency: str | None, days: Days, *, has_hours: bool
) -> Plan:
    """The plan of reading: campaigns to read by days and by hours, and problems of brands that are not read.

    `account`, `currency`: the account's zone and currency (None if unknown). `days`: the days to read. `has_hours`: the
    platform reports hours.
    """
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

    `account`, `currency`: the account's time zone and currency. `zone`: the brand's time zone; None: unknown.
    `has_hours`: the platform reports hours.
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
        which = "its spend" if is_whole else f"its spend on {first_of(sorted(map(str, left_out)), NAMED)}"
        yield Problem(f"{brand}: {shared_words(found.shared[0], account, zone)}: {which} is not read", is_whole)


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
    """The plan without external ids of campaigns of brands with different days, and with a sentence about them.

    An id that moved between such brands could be read by either brand's days.
    """
    groups = [plan.by_days, *plan.by_hours.values()]
    counts = Counter(name for group in groups for name in {one.external_id for one in group})
    moved = {name for name, count in counts.items() if count > 1}
    if not moved:
        return plan
    sentence = f"campaigns that moved between brands of different days are not read: {first_of(sorted(moved), NAMED)}"
    by_days, *by_hours = [[one for one in group if one.external_id not in moved] for group in groups]
    return Plan(by_days, dict(zip(plan.by_hours, by_hours, strict=True)), [*plan.problems, sentence])


def halves(days: Days) -> list[Days]:
    """The newer and the older half of a range of days; an empty list for one day."""
    first, last = days
    return list(spans(days, ((last - first).days + 2) // 2)) if first < last else []


class HourReader:
    """Reads hours in ranges of the account's days, the newest first, and regroups them into the days of brands' zones.

    A brand's day is complete, and given back, once the range with its first hour is read. Until then its hours of newer
    ranges are kept, so that each hour is read once.
    """

    def __init__(
        self, plan: Plan, platform: Platform, account: Account, zone: ZoneInfo, at: datetime, days_back: int
    ) -> None:
        """Plans to read, for each brand's zone, the day at `at` and `days_back` days before. `zone`: the account's."""
        self._groups, self._platform, self._account, self._zone = plan.by_hours, platform, account, zone
        self._left = {other: _days_until(at, other, days_back) for other in plan.by_hours}
        self._names = {one.external_id for owners in plan.by_hours.values() for one in owners}
        self._figures: list[HourSpend] = []
        covers = [days_to_read(*days, zone, other) for other, days in self._left.items()]
        self.days = min(first for first, _ in covers), min(local_day(at, zone), max(last for _, last in covers))

    def read(self, days: Days) -> list[Reading]:
        """Reads the range, which must end before the ranges read so far; returns the brands' days complete now."""
        rows = self._platform.read_hours(self._account, *days)
        self._figures += [row for row in rows if row.external_id in self._names]
        readings = [
            self._regrouped(other, complete)
            for other in self._groups
            for complete in self._taken_complete(other, days[0])
        ]
        self._figures = [row for row in self._figures if row.day <= days[0] + 2 * ONE_DAY]
        return readings

    def _taken_complete(self, other: ZoneInfo, read_from: date) -> Iterator[Days]:
        """The days of the zone `other` that are complete once the account's days from `read_from` on are read.

        Yields one range or nothing, and yields each day once: it takes the days from those left to read.
        """
        first, last = self._left[other]
        begin = last
        while begin >= first and days_to_read(begin, begin, self._zone, other)[0] >= read_from:
            begin -= ONE_DAY
        self._left[other] = first, begin
        if begin < last:
            yield begin + ONE_DAY, last

    def _regrouped(self, other: ZoneInfo, days: Days) -> Reading:
        owners = self._groups[other]
        names = {one.external_id for one in owners}
        figures = [
            (row.external_id, row.day, row.hour, row.micros) for row in self._figures if row.external_id in names
        ]
        found = regrouped(figures, self._zone, other, *days)
        spend = [DaySpend(name, day, micros) for (name, day), micros in found.days.items()]
        return Reading(owners, days, spend, found.left_out)


def _days_until(at: datetime, zone: ZoneInfo, days_back: int) -> Days:
    today = local_day(at, zone)
    return today - days_back * ONE_DAY, today
