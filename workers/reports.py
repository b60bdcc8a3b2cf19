"""Monthly reports, made when a brand's month is over."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import dramatiq
import structlog
from periodiq import cron
from sqlalchemy import Connection

from db.engine import committed, snapshot
from db.repository import reports, search, watermarks
from db.repository.zones import readable_zones
from domain.periods import ONE_DAY, Period, day_starts_at, local_day, window_of
from runtime import clock
from workers.broker import broker

log = structlog.get_logger()

WATERMARK = "monthly_reports"


@dramatiq.actor(broker=broker, queue_name="reports", periodic=cron("0 * 1,2,3 * *"))
def generate_monthly_reports() -> None:
    """One stored report for each brand whose month ended since the last run; hourly, as the zones' months end."""
    generate_due()


def generate_due() -> int:
    """Reports every month that ended since the watermark (at the first run: the last one); returns how many it made."""
    at = clock.now()
    made = 0
    with snapshot() as connection:
        since = watermarks.reached_by(connection, WATERMARK, at)
        zones = readable_zones(search.zones_in_use(connection))
    for zone in zones.values():
        for first_day, end_day in _ended_months(zone, since, at):
            made += _report_zone(zone, first_day, end_day)
    committed(lambda connection: watermarks.raise_to(connection, WATERMARK, at))
    return made


def _ended_months(zone: ZoneInfo, since: datetime | None, at: datetime) -> list[tuple[date, date]]:
    """The zone's months [first day, end day) that ended in (since, at], oldest first."""
    end_day = window_of(Period.MONTHLY, local_day(at, zone)).first_day
    ended: list[tuple[date, date]] = []
    while not ended if since is None else day_starts_at(end_day, zone) > since:
        first_day = window_of(Period.MONTHLY, end_day - ONE_DAY).first_day
        ended.insert(0, (first_day, end_day))
        end_day = first_day
    return ended


def _report_zone(zone: ZoneInfo, first_day: date, end_day: date) -> int:
    with snapshot() as connection:
        brand_ids = reports.brands_to_report(connection, zone.key, first_day, end_day, day_starts_at(end_day, zone))
    for brand_id in brand_ids:
        report_month(brand_id, zone, first_day, end_day)
    return len(brand_ids)


def report_month(brand_id: int, zone: ZoneInfo, first_day: date, end_day: date) -> int | None:
    """Stores the brand's month [first_day, end_day); returns the version, None where nothing is new."""

    def store(connection: Connection) -> int | None:
        instants = day_starts_at(first_day, zone), day_starts_at(end_day, zone)
        content = reports.month_of_brand(connection, brand_id, (first_day, end_day), instants)
        return reports.store(connection, brand_id, first_day, content, clock.now())

    version = committed(store)
    if version is not None:
        log.info("report.stored", brand_id=brand_id, month=f"{first_day:%Y-%m}", version=version)
    return version
