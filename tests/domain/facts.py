"""Builders of facts, and a second, slow implementation of the rules that uses only local weekdays and minutes."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from domain.budgets import Budget, BudgetSpend, Scope
from domain.campaigns import Brand, Campaign, ConfiguredStatus
from domain.holds import SET_HOLDS, Hold
from domain.periods import Period, window_of
from domain.schedules import Daypart, Schedule, parse_schedule

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)

ALL_ZONES = sorted(available_timezones() - {"localtime"})
ZONES_OF_NOTE = (
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
)
APIA_SKIPS_A_DAY = datetime(2011, 12, 30, 10, tzinfo=UTC)

QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
BRUTE_FORCE = settings(QUICK, max_examples=50)


# Builders


def local(zone: str, text: str, *, fold: int = 0) -> datetime:
    """The instant (UTC) at which the clocks of `zone` show `text`, the first of two unless `fold` is 1."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def utc(text: str) -> datetime:
    return local("UTC", text)


def spent(
    spent_micros: int,
    *,
    limit: int,
    period: Period = Period.DAILY,
    on: str = "2026-11-22",
    scope: Scope = Scope.CAMPAIGN,
    ahead: int = 0,
) -> BudgetSpend:
    """A budget with its spend in micros, in the window that contains the day `on`."""
    return BudgetSpend(Budget(scope, period, limit), window_of(period, date.fromisoformat(on)), spent_micros, ahead)


def campaign(
    *budgets: BudgetSpend,
    zone: str = "UTC",
    status: ConfiguredStatus = ConfiguredStatus.ENABLED,
    brand: ConfiguredStatus = ConfiguredStatus.ENABLED,
    flight: tuple[str | None, str | None] = (None, None),
    schedule: str = "",
) -> Campaign:
    starts_on, ends_on = (date.fromisoformat(day) if day else None for day in flight)
    return Campaign(Brand(ZoneInfo(zone), brand), status, starts_on, ends_on, parse_schedule(schedule), budgets)


# The second implementation


def open_by_hand(schedule: Schedule, at: datetime, zone: ZoneInfo) -> bool:
    wall = at.astimezone(zone)
    minute = wall.hour * 60 + wall.minute
    return not schedule or any(
        part.weekday == wall.isoweekday() and part.starts_minute <= minute < part.ends_minute for part in schedule
    )


def _label(period: Period, day: date) -> tuple[int, ...]:
    week_year, week, _ = day.isocalendar()
    labels: dict[Period, tuple[int, ...]] = {
        Period.DAILY: (day.year, day.month, day.day),
        Period.WEEKLY: (week_year, week),
        Period.MONTHLY: (day.year, day.month),
        Period.YEARLY: (day.year,),
        Period.LIFETIME: (),
    }
    return labels[period]


@cache
def _following_label(period: Period, day: date) -> tuple[int, ...]:
    now = _label(period, day)
    return next(label for n in range(1, 367) if (label := _label(period, day + n * DAY)) != now)


def _spent_by_hand(spend: BudgetSpend, day: date) -> int:
    period, known = spend.budget.period, spend.window.first_day
    if _label(period, day) == _label(period, known):
        return spend.spent_micros
    return spend.ahead_micros if _label(period, day) == _following_label(period, known) else 0


def _has_room_by_hand(spent_micros: int, limit: int) -> bool:
    return limit > 0 and spent_micros < limit


def day_holds_by_hand(campaign: Campaign, day: date) -> frozenset[Hold]:
    """The holds of a campaign on a day, except the schedule's: all these last whole days."""
    causes = {
        Hold.USER_PAUSED: campaign.configured_status == "paused",
        Hold.ARCHIVED: campaign.configured_status == "archived",
        Hold.BRAND_PAUSED: campaign.brand.configured_status != "enabled",
        Hold.FLIGHT_NOT_STARTED: campaign.starts_on is not None and day < campaign.starts_on,
        Hold.FLIGHT_ENDED: campaign.ends_on is not None and campaign.ends_on < day,
        **{Hold(hold): hold in campaign.set_holds for hold in SET_HOLDS},
    }
    for spend in campaign.budgets:
        name = f"{spend.budget.scope}_{spend.budget.period}_budget"
        causes[Hold(name)] = not _has_room_by_hand(_spent_by_hand(spend, day), spend.budget.limit_micros)
    return frozenset(hold for hold, is_true in causes.items() if is_true)


def holds_by_hand(campaign: Campaign) -> Callable[[datetime], frozenset[Hold]]:
    """A function that returns the holds at an instant. It caches the holds of each day, since callers ask by minute."""
    zone = campaign.brand.time_zone

    @cache
    def of_day(day: date) -> frozenset[Hold]:
        return day_holds_by_hand(campaign, day)

    def at_instant(at: datetime) -> frozenset[Hold]:
        holds = of_day(at.astimezone(zone).date())
        return holds if open_by_hand(campaign.schedule, at, zone) else holds | {Hold.OUTSIDE_SCHEDULE}

    return at_instant


def minutes_after(at: datetime, length: timedelta, step: timedelta = MINUTE) -> Iterator[datetime]:
    """Every whole minute after `at` until `length` later, or one per `step`. Rules change only at whole minutes."""
    moment = at.replace(second=0, microsecond=0) + MINUTE
    while moment <= at + length:
        yield moment
        moment += step


# Where the clocks change


@cache
def offset_changes(zone: str, first_year: int, last_year: int) -> tuple[datetime, ...]:
    """The instants at which the zone's UTC offset changes, found by comparing days, then minutes."""
    first = datetime(first_year, 1, 1, tzinfo=UTC)
    days = [first + n * DAY for n in range((last_year - first_year + 1) * 366)]
    offsets = [day.astimezone(ZoneInfo(zone)).utcoffset() for day in days]
    changed = [day for day, old, new in zip(days, offsets, offsets[1:], strict=False) if old != new]
    return tuple(_offset_change_after(day, ZoneInfo(zone)) for day in changed)


def _offset_change_after(at: datetime, zone: ZoneInfo) -> datetime:
    old = at.astimezone(zone).utcoffset()
    return next(moment for moment in minutes_after(at, DAY) if moment.astimezone(zone).utcoffset() != old)


@cache
def turning_points(zone: str) -> tuple[datetime, ...]:
    """Instants where decisions are likely to be wrong: clock changes, a leap day, the end of a year, a skipped day."""
    skipped = (APIA_SKIPS_A_DAY,) if zone == "Pacific/Apia" else ()
    return (*skipped, *offset_changes(zone, 2020, 2035), utc("2028-02-29T12:00"), utc("2026-12-31T18:00"))


# Strategies


def _moment_near(zone: str) -> st.SearchStrategy[tuple[str, datetime]]:
    into_minute = st.sampled_from([timedelta(0), TICK, timedelta(seconds=30), MINUTE - TICK])
    minutes = st.integers(-2 * 1440, 1440).map(lambda minutes: minutes * MINUTE)
    point = st.sampled_from(turning_points(zone))
    return st.tuples(
        st.just(zone), st.builds(lambda *parts: parts[0] + parts[1] + parts[2], point, minutes, into_minute)
    )


zones = st.sampled_from(ALL_ZONES)
days = st.dates(date(2020, 1, 1), date(2035, 12, 31))
instants = st.datetimes(datetime(2020, 1, 1), datetime(2035, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - given its zone
moments = st.sampled_from(ZONES_OF_NOTE).flatmap(_moment_near)
"""A noteworthy zone, and an instant within two days of one of its turning points."""

_minutes = st.sampled_from([0, 30, 60, 90, 105, 120, 135, 150, 180, 1380, 1410, 1440]) | st.integers(0, 1440)
dayparts = st.builds(
    lambda weekday, ends: Daypart(weekday, min(ends), max(ends)),
    st.integers(1, 7),
    st.sets(_minutes, min_size=2, max_size=2),
)
schedules = st.lists(dayparts, max_size=8).map(tuple)

_statuses = st.sampled_from([ConfiguredStatus.ENABLED] * 6 + [ConfiguredStatus.PAUSED, ConfiguredStatus.ARCHIVED])
_budgets = st.builds(Budget, st.sampled_from(Scope), st.sampled_from(Period), st.sampled_from([0, 1, 100, 100, 100]))
_amounts = st.sampled_from([-5, 0, 0, 99, 100, 101])


def _spends_on(day: date) -> st.SearchStrategy[tuple[BudgetSpend, ...]]:
    spend = st.builds(
        lambda budget, *amounts: BudgetSpend(budget, window_of(budget.period, day), *amounts),
        _budgets,
        _amounts,
        _amounts,
    )
    one_of_a_kind = st.lists(spend, max_size=4, unique_by=lambda one: (one.budget.scope, one.budget.period))
    return one_of_a_kind.map(tuple)


def _flight_day_near(day: date) -> st.SearchStrategy[date | None]:
    return st.none() | st.integers(-3, 3).map(lambda days: day + days * DAY)


@st.composite
def decisions(draw: st.DrawFn) -> tuple[Campaign, datetime]:
    """A campaign with random facts, and an instant near a turning point of its zone."""
    zone, at = draw(moments)
    today = at.astimezone(ZoneInfo(zone)).date()
    facts = Campaign(
        Brand(ZoneInfo(zone), draw(_statuses)),
        draw(_statuses),
        draw(_flight_day_near(today)),
        draw(_flight_day_near(today)),
        draw(st.just(()) | schedules),
        draw(_spends_on(today)),
        tuple(draw(st.lists(st.sampled_from(sorted(SET_HOLDS)), unique=True))),
    )
    return facts, at
