"""Generates monthly reports: of ended months and their restatements, and of the running month on request."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.reports.content import closed_section, content_of_month
from db.engine import committed, snapshot
from db.failures import TRANSIENT_ERRORS, StaleRead
from db.replica import view
from db.repository.catalog import catalog
from db.repository.enforcement import targets
from db.repository.notices import notices
from db.repository.notices.notices import NoticeKind
from db.repository.reports import reports
from db.repository.shared import watermarks
from db.repository.shared.zones import readable_zones
from domain.errors import InvalidValue
from domain.periods import FIRST_DAY, ONE_DAY, Period, Window, day_starts_at, local_day, window_of
from domain.zones import time_zone
from runtime import clock

log = structlog.get_logger()

WATERMARK: Final = "monthly_reports"
CHECKED: Final = "monthly_reports_checked"
MONTHS_CHECKED: Final = 13
SETTLED: Final = timedelta(hours=1)
"""Time before the last check from which received spend is checked again: its commit may have been after that check."""

BrandMonth = tuple[int, date]
"""A brand id, and the first day of an ended month."""


def generate_due(progress: Callable[[int, int], object] = lambda _done, _due: None) -> int:
    """Stores the reports that are due; returns how many.

    Due are each brand's months that ended since the last run (in the first run: the last month). Once a day, months of
    the last 13 whose content changed get a new version, and missing ones are added. `progress` is called with the
    number of reports done and due. A report that fails is logged and delays no other; the first transient error is
    raised after all others are done, so that the job is retried.
    """
    at = clock.now()
    with snapshot() as connection:
        due = _ended(connection, at)
        checked_at = watermarks.reached_by(connection, CHECKED, at)
        checks = _is_new_day(checked_at, at)
        if checks:
            due += _restated(connection, checked_at or at - ONE_DAY, at)
    stored = _store_each(list(dict.fromkeys(due)), progress)
    committed(lambda connection: watermarks.raise_to(connection, WATERMARK, at))
    if checks:
        committed(lambda connection: watermarks.raise_to(connection, CHECKED, at))
    return stored


def _restated(connection: Connection, checked_at: datetime, at: datetime) -> list[BrandMonth]:
    running = day_starts_at(_months_back(at, 0), time_zone("UTC"))
    return reports.restated(connection, _months_back(at, MONTHS_CHECKED), checked_at - SETTLED, running + ONE_DAY, at)


def _ended(connection: Connection, at: datetime) -> list[BrandMonth]:
    since = watermarks.reached_by(connection, WATERMARK, at)
    return [
        (brand_id, first_day)
        for zone in readable_zones(targets.zones_in_use(connection)).values()
        for first_day, end_day in _ended_months(zone, since, at)
        for brand_id in reports.brands_to_report(
            connection, zone.key, (first_day, end_day), day_starts_at(end_day, zone)
        )
    ]


def _ended_months(zone: ZoneInfo, since: datetime | None, at: datetime) -> list[tuple[date, date]]:
    """The zone's months [first day, end day) that ended in (since, at], oldest first.

    `since` None: only the last one.
    """
    end_day = window_of(Period.MONTHLY, local_day(at, zone)).first_day
    ended: list[tuple[date, date]] = []
    while not ended if since is None else day_starts_at(end_day, zone) > since:
        first_day = window_of(Period.MONTHLY, end_day - ONE_DAY).first_day
        ended.insert(0, (first_day, end_day))
        end_day = first_day
    return ended


def _is_new_day(since: datetime | None, at: datetime) -> bool:
    return since is None or since.astimezone(UTC).date() < at.astimezone(UTC).date()


def _months_back(at: datetime, months: int) -> date:
    place = at.year * 12 + at.month - 1 - months
    return date(place // 12, place % 12 + 1, 1)


def _store_each(due: Sequence[BrandMonth], progress: Callable[[int, int], object]) -> int:
    stored = 0
    transient: list[Exception] = []
    for done, (brand_id, month) in enumerate(due, start=1):
        try:
            stored += report_month(brand_id, month) is not None
        except TRANSIENT_ERRORS as error:
            log.warning("report.postponed", brand_id=brand_id, month=f"{month:%Y-%m}", error=type(error).__name__)
            transient.append(error)
        except (DBAPIError, ArithmeticError, LookupError, TypeError, ValueError):
            log.exception("report.failed", brand_id=brand_id, month=f"{month:%Y-%m}")
        progress(done, len(due))
    if transient:
        raise transient[0]
    return stored


def report_month(brand_id: int, month: date) -> int | None:
    """Stores the report of a brand's ended month; returns its version, or None if the stored report is still right.

    `month`: the first day of the month.
    """
    report, is_new = _up_to_date(brand_id, month)
    return report["version"] if is_new else None


def _up_to_date(brand_id: int, month: date) -> tuple[dict[str, Any], bool]:
    report, is_new = committed(lambda connection: _store_if_changed(connection, brand_id, month))
    if is_new:
        log.info("report.stored", brand_id=brand_id, month=f"{month:%Y-%m}", version=report["version"])
    return report, is_new


def _store_if_changed(connection: Connection, brand_id: int, month: date) -> tuple[dict[str, Any], bool]:
    """The latest version of the report, and whether it was stored now, because its content changed.

    Adds a notice for a version that is stored.
    Raises StaleRead if another transaction stored a version meanwhile.
    """
    with snapshot() as seen:
        at = clock.now()
        first = reports.first_stored(seen, brand_id, month, at)
        last = reports.stored(seen, brand_id, month, at)
        version = reports.last_version(seen, brand_id, month) + 1
        brand = catalog.brand(seen, brand_id)
        content = content_of_month(seen, brand, window_of(Period.MONTHLY, month), at)
    content["closed"] = closed_section(content, first, at)
    if last is not None and _compared(last["content"]) == _compared(content):
        return last, False
    if not reports.store(connection, brand_id, month, version, content, at):
        raise StaleRead("another report of this month was stored meanwhile")
    told = {"month": f"{month:%Y-%m}", "version": version}
    key = f"{brand_id}:{month:%Y-%m}:{version}"
    notices.add(connection, NoticeKind.REPORT_READY, key, brand_id, told, at)
    return _as_stored(brand_id, month, version, at, content), True


def _compared(content: dict[str, Any]) -> dict[str, Any]:
    """The content without the parts whose change makes no new version: the first version and present bounds."""
    return {name: value for name, value in content.items() if name not in {"closed", "bounds"}}


def _as_stored(brand_id: int, month: date, version: int, at: datetime, content: dict[str, Any]) -> dict[str, Any]:
    return {"brand_id": brand_id, "month": month, "version": version, "generated_at": at, "content": content}


def on_demand(brand_id: int, month: date) -> dict[str, Any]:
    """Returns the up-to-date report of the month that contains the day `month`, in the shape of `reports.stored`.

    Stores the report of an ended month if it is new or its content changed. The running month is not stored and has
    version 0. Raises InvalidValue for an unknown brand, a month that has not begun, and a month before the brand's
    first data.
    """
    at = clock.now()
    with view() as connection:
        brand = catalog.brand(connection, brand_id)
        zone = time_zone(brand["time_zone"])
        if month.replace(day=1) > local_day(at, zone):
            raise InvalidValue("month", f"{month:%Y-%m} has not begun")
        running = _running(connection, brand, month, at)
        if running is not None:
            return running
        window = window_of(Period.MONTHLY, month)
        if not _had_data(connection, brand_id, zone, window):
            raise InvalidValue("month", f"{month:%Y-%m} ended before the brand's first data")
    return _up_to_date(brand_id, window.first_day)[0]


def so_far(brand_id: int, month: date) -> dict[str, Any] | None:
    """The report of the running month up to now, with version 0, in the shape of `reports.stored`.

    None if `month` is not in the running month. Raises InvalidValue for an unknown brand.
    """
    with view() as connection:
        return _running(connection, catalog.brand(connection, brand_id), month, clock.now())


def _running(connection: Connection, brand: dict[str, Any], month: date, at: datetime) -> dict[str, Any] | None:
    window = window_of(Period.MONTHLY, month)
    if local_day(at, time_zone(brand["time_zone"])) not in window:
        return None
    content = content_of_month(connection, brand, window, at) | {"closed": None}
    return _as_stored(brand["id"], window.first_day, 0, at, content)


def _had_data(connection: Connection, brand_id: int, zone: ZoneInfo, month: Window) -> bool:
    if month.end_day is None or month.first_day < FIRST_DAY:
        return False
    days = month.first_day, month.end_day
    return bool(reports.brands_to_report(connection, zone.key, days, day_starts_at(month.end_day, zone), brand_id))
