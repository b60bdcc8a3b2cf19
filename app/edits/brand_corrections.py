"""Corrects the time zone or currency of a brand that has spend already, and recounts its days by the new zone."""

from datetime import date, datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection

from app.decisions import announce
from app.edits.effects import toggled, token_of
from app.edits.preview import Agree, agree_to_all, agreed
from app.enforcement import enforce, outlook
from app.reports.generate import report_month
from db.dry_runs import run_dry
from db.engine import committed, snapshot
from db.repository.access.audit import Edit, Subject, note
from db.repository.catalog import brand_corrections, catalog
from db.repository.catalog.brand_corrections import BEFORE_ALL_DAYS
from db.repository.enforcement.changes import DecidedChange
from db.repository.enforcement.facts import lock_brands
from db.repository.ledger import ledger
from db.repository.platforms import connection_edits
from db.repository.reading import hours
from db.repository.reports import reports
from db.repository.shared import watermarks
from db.repository.shared.zones import readable_zones
from domain.causes import Cause
from domain.edits.fields import checked_currency
from domain.edits.words import toggle_lines
from domain.errors import InvalidValue
from domain.inputs.totals import clamped_to_day
from domain.periods import Period, local_day, window_of
from domain.zones import time_zone
from runtime import clock


class BrandCorrection(NamedTuple):
    """The requested time zone and currency of a brand; None keeps the current one."""

    brand_id: int
    time_zone: str | None = None
    currency: str | None = None


class DayRecount(NamedTuple):
    """The result of recounting a brand's days.

    `campaign_days`: how many campaign-days got another spend. `moved_totals`: how many amounts of reported totals were
    moved to the day they were reported for. `kept_until`: the last day of which the ledger no longer has every event,
    up to which counters are kept; None: it has every day.
    """

    campaign_days: int = 0
    moved_totals: int = 0
    kept_until: date | None = None


class Corrected(NamedTuple):
    """A correction that was made, or tried in a dry run. `days`: (day, micros before, micros after) of changed days.

    `old`, `new`: the brand's time zone and currency before and after. `campaign_days`: how many campaign-days got
    another spend. `moved_totals`: how many amounts of reported totals were moved to the day they were reported for.
    `kept_until`: the last day of which the ledger no longer has every event, up to which counters are kept; None: it
    has every day. `changes`: the changes of holds in the correction's own transaction. `effect`: all changes that
    follow from it, in later transactions too. `at_least`: the brand has so many campaigns that `effect` covers only
    some of them.
    """

    brand_id: int
    old: dict[str, str]
    new: dict[str, str]
    days: tuple[tuple[date, int, int], ...] = ()
    campaign_days: int = 0
    moved_totals: int = 0
    kept_until: date | None = None
    changes: tuple[DecidedChange, ...] = ()
    effect: tuple[DecidedChange, ...] = ()
    at_least: bool = False

    def fields(self) -> dict[str, Any]:
        """The correction as JSON-ready fields; `stops` and `starts` list ids of toggled campaigns."""
        plain = {name: value for name, value in self._asdict().items() if name not in {"changes", "effect", "days"}}
        days = [{"day": day, "before_micros": old, "after_micros": new} for day, old, new in self.days]
        return plain | {"days": days} | toggled(self.effect)._asdict()

    @property
    def needs_consent(self) -> bool:
        """Whether a person must confirm the correction: True if it changes the time zone or the currency."""
        return self.old != self.new

    @property
    def token(self) -> str:
        """A hash of the correction and of the campaigns it toggles; not of amounts, which grow meanwhile."""
        return token_of(self.old, self.new, toggled(self.effect), self.at_least, self.kept_until)

    @property
    def stopped(self) -> int:
        """How many campaigns stop; at least so many if `at_least`."""
        return len(toggled(self.effect).stops)

    def toggle_lines(self, *, is_done: bool = False) -> list[str]:
        """The campaigns that stop and start, a line each; `is_done`: the correction was made."""
        return toggle_lines(*toggled(self.effect), at_least=self.at_least, is_done=is_done)

    def sentence(self, *, is_done: bool = False) -> str:
        """The correction and the campaigns it toggles, in words; `is_done`: it was made."""
        changed = [f"{old} → {self.new[name]}" for name, old in self.old.items() if old != self.new[name]]
        return "; ".join([f"brand {self.brand_id}: {', '.join(changed)}", *self.toggle_lines(is_done=is_done)])


def correct(asked: BrandCorrection, edit: Edit, *, dry_run: bool = False, agree: Agree = agree_to_all) -> Corrected:
    """Corrects the brand, recounts its days and enforces it in one transaction, which a dry run rolls back.

    Returns the correction, made or tried. Raises Unconfirmed, and changes nothing, if `agree` does not allow the
    effect. Amounts are not converted: a new currency applies to the same micros.
    Afterwards each stored report of an ended month gets a new version if its content changed. A correction to the
    current values writes nothing. Raises InvalidValue for an unknown brand, zone or currency, and if the ledger
    disagrees with one of the reported totals.
    """
    work = partial(_correct, asked=asked, edit=edit)
    if dry_run:
        return run_dry(work)
    corrected = committed(lambda connection: agreed(work(connection), agree))
    announce(corrected.changes, Cause.EDIT)
    if corrected.old != corrected.new:
        _restate_reports(asked.brand_id)
    return corrected


def _correct(connection: Connection, asked: BrandCorrection, edit: Edit) -> Corrected:
    brand_id = asked.brand_id
    catalog.brand(connection, brand_id)
    hours.lock(connection)
    brand_corrections.lock_counters(connection, brand_id)
    lock_brands(connection, [brand_id])
    brand = catalog.brand(connection, brand_id)
    old = {name: brand[name] for name in ("time_zone", "currency")}
    wanted = {"time_zone": asked.time_zone, "currency": asked.currency}
    new = old | {name: value for name, value in wanted.items() if value is not None}
    new_zone = time_zone(new["time_zone"])
    checked_currency(new["currency"])
    if new == old:
        return Corrected(brand_id, old, new)
    at = clock.now()
    before = brand_corrections.days_of(connection, brand_id)
    old_zone = readable_zones([old["time_zone"]]).get(old["time_zone"], new_zone)
    brand_corrections.correct(connection, brand_id, new["time_zone"], new["currency"])
    recounted = DayRecount()
    if old_zone.key != new_zone.key:
        recounted = _recount_days(connection, brand_id, (old_zone.key, new_zone.key), at)
    at = clock.now()
    effect, at_least = outlook(connection, brand_id, at)
    changes = enforce(connection, [brand_id], Cause.EDIT, at)
    connection_edits.read_again(connection, brand_id)
    after = brand_corrections.days_of(connection, brand_id)
    days = tuple(
        (day, before.get(day, 0), after.get(day, 0))
        for day in sorted(before.keys() | after.keys())
        if before.get(day, 0) != after.get(day, 0)
    )
    note(connection, edit, "correct", Subject("brand", brand_id, brand_id), old, new | {"days_changed": len(days)})
    return Corrected(brand_id, old, new, days, *recounted, tuple(changes), tuple(effect), at_least)


def _recount_days(connection: Connection, brand_id: int, zones: tuple[str, str], at: datetime) -> DayRecount:
    """Moves reported totals to the day they were reported for, then recounts days and hours by the new time zone.

    Returns how much changed. `zones`: the names of the old and the new zone; the brand's row has the new one already.
    Raises InvalidValue if the ledger disagrees with one of the reported totals.
    """
    old_zone, new_zone = map(time_zone, zones)
    floor = watermarks.reached(connection, ledger.FLOOR)
    kept = BEFORE_ALL_DAYS if floor is None else max(local_day(floor, old_zone), local_day(floor, new_zone))
    events = brand_corrections.stretches(connection, brand_id, old_zone, new_zone)
    for row in brand_corrections.unclear_totals(connection, events, kept):
        report = f"{row['source']} reported {row['total_micros']} micros for campaign {row['campaign_id']}"
        raise InvalidValue(
            "time_zone", f"{report} on {row['day']}, and the ledger has {row['counted_micros']}: see `spendgate verify`"
        )
    misplaced = brand_corrections.misplaced_totals(connection, events, kept)
    moments = [(one, clamped_to_day(one.occurred_at, one.day, new_zone)) for one in misplaced]
    added = brand_corrections.move_totals(connection, brand_id, moments, at)
    changed = brand_corrections.recount(connection, brand_id, events, kept, added)
    hours.recount_brand(connection, brand_id, new_zone, at)
    return DayRecount(changed, len(misplaced), None if kept == BEFORE_ALL_DAYS else kept)


def _restate_reports(brand_id: int) -> None:
    """Stores a new version of each report of an ended month (by the brand's time zone) whose content changed."""
    with snapshot() as connection:
        zone = time_zone(catalog.brand(connection, brand_id)["time_zone"])
        months = reports.months_stored(connection, brand_id)
    running = window_of(Period.MONTHLY, local_day(clock.now(), zone)).first_day
    for month in months:
        if month < running:
            report_month(brand_id, month)
