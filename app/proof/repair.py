"""`repair`: counters and totals by the ledger, holds by the rules, histories led to what holds; each change kept.

Nothing of history is edited. What was altered or deleted there cannot be brought back: a row is appended where a
history does not lead to what holds today, and what remains is acknowledged: `verify` goes on showing it as known.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from app.decisions import announce, toggled
from app.enforcement import enforce_locked
from app.proof import verification
from app.proof.recounts import corrections_of, recounted
from app.proof.verification import Check, counters_unlike, kept_since
from db.engine import committed
from db.repository.enforcement import headroom
from db.repository.enforcement.enforcement import Applied, lock_brands
from db.repository.proof import (
    corrections,
    recount,
    repair,
    totals_check,
)
from db.repository.proof import verification as verification_sql
from db.repository.proof.corrections import Correction
from db.repository.proof.repair import Total
from db.repository.shared.zones import readable_zones
from domain.causes import Cause
from runtime import clock

REPAIRABLE: Final = frozenset(
    {
        *(verification.COUNTERS, verification.BRAND_COUNTERS, verification.TOTALS, verification.HOLDS),
        *(verification.HISTORY, verification.LIMITS, verification.FLAGS, verification.HEADROOMS),
    }
)
ROUNDS: Final = 1_000
"""Each check names so many rows at the most; what it did not name is found by the next round."""


class DryRun(Exception):
    """Undoes the transaction that showed what would be done."""


class Repaired(NamedTuple):
    """What was corrected of one brand, or would be, and how many campaigns it toggles."""

    corrections: list[Correction]
    toggles: int


def brands_to_repair(checks: Iterable[Check], only_brand_id: int | None = None) -> list[int]:
    """The brands about which the checks found something that repair can set right."""
    found = {
        row["brand_id"]
        for check in checks
        if check.name in REPAIRABLE
        for row in check.wrong
        if row.get("brand_id") is not None
    }
    return sorted(found if only_brand_id is None else found & {only_brand_id})


def repair_brand(brand_id: int, by: str, *, dry_run: bool) -> Repaired:
    """Sets one brand right in one transaction, or shows what that would do and undoes it."""
    shown: list[Repaired] = []

    def work(connection: Connection) -> tuple[Repaired, list[Applied]]:
        found, changes = _repaired(connection, brand_id, by)
        if dry_run:
            shown.append(found)
            raise DryRun
        return found, changes

    try:
        found, changes = committed(work)
    except DryRun:
        return shown[0]
    announce(changes, Cause.REPAIR)
    return found


def _repaired(connection: Connection, brand_id: int, by: str) -> tuple[Repaired, list[Applied]]:
    """Takes the locks of counting in its order: totals, counters of campaigns, of the brand, then the brand itself."""
    verification_sql.lift_time_limit(connection)
    zones = readable_zones([recount.zone_of(connection, brand_id) or ""])
    found: list[Correction] = []
    if zones:
        (zone,) = zones.values()
        floor = kept_since(connection)
        found += _totals(connection, brand_id, zone, floor)
        keys = [(row.campaign_id, row.day) for row in counters_unlike(connection, floor, None, brand_id)]
        found += corrections_of(brand_id, recounted(connection, brand_id, zone, keys).corrected)
    brands = lock_brands(connection, [brand_id])
    at = clock.now()
    headroom.forget(connection, [brand_id])
    if (flag := repair.set_flag(connection, brand_id)) is not None:
        new = {"has_campaign_budgets": flag}
        found.append(Correction(brand_id, "flag", new, {"has_campaign_budgets": not flag}, new))
    found += _limits(connection, brand_id, at)
    found += _histories(connection, brand_id, at)
    changes = enforce_locked(connection, brands, Cause.REPAIR, at)
    found += map(_of_holds, changes)
    corrections.add(connection, found, by, at)
    return Repaired(found, toggled(changes)), changes


def _totals(connection: Connection, brand_id: int, zone: ZoneInfo, floor: date | None) -> Iterator[Correction]:
    """The brand's reported totals by the ledger, so that the next figure books the right difference."""
    unlike = list(totals_check.unlike(connection, floor, brand_id))
    unlike += totals_check.last_differences_unlike(connection, floor, brand_id)
    totals = {Total(row["source"], row["campaign_id"], row["day"]) for row in unlike}
    missing = {total: _booked(connection, brand_id, zone, total).as_of for total in totals}
    repair.make_totals(connection, ((total, as_of) for total, as_of in missing.items() if as_of is not None))
    locked = repair.lock_totals(connection, totals)
    for row, last_micros in zip(locked, totals_check.last_amounts(connection, locked), strict=True):
        total = Total(row.source, row.campaign_id, row.day)
        micros = _booked(connection, brand_id, zone, total).micros
        new = {"total_micros": micros, "previous_micros": micros - last_micros}
        old = {"total_micros": row.total_micros, "previous_micros": row.previous_micros}
        if new != old:
            repair.set_total(connection, total, **new)
            subject = {**total._asdict(), "day": row.day.isoformat()}
            yield Correction(brand_id, "reported_total", subject, old, new)


def _booked(connection: Connection, brand_id: int, zone: ZoneInfo, total: Total) -> totals_check.Booked:
    return totals_check.booked_of(connection, (brand_id, total.campaign_id, total.source, total.day), zone)


def _limits(connection: Connection, brand_id: int, at: datetime) -> Iterator[Correction]:
    for row in repair.keep_limits(connection, brand_id, at):
        subject = {"campaign_id": row["campaign_id"], "period": row["period"]}
        old, new = {"limit_micros": row["old_micros"]}, {"limit_micros": row["limit_micros"]}
        yield Correction(brand_id, "limit_history", subject, old, new)


def _histories(connection: Connection, brand_id: int, at: datetime) -> Iterator[Correction]:
    """Before enforcement, so that what it changes follows from what the histories say by then."""
    for campaign in repair.strayed(connection, brand_id):
        repair.lead_to_now(connection, brand_id, campaign, at)
        old = {"holds": campaign.known_holds, "effective_status": campaign.known_status}
        new = {"holds": campaign.holds, "effective_status": campaign.effective_status}
        yield Correction(brand_id, "history", {"campaign_id": campaign.campaign_id}, old, new)


def _of_holds(change: Applied) -> Correction:
    old, new = {"holds": list(change.holds_before)}, {"holds": list(change.holds_after)}
    return Correction(change.brand_id, "holds", {"campaign_id": change.campaign_id}, old, new)


def to_acknowledge(checks: Iterable[Check], only_brand_id: int | None = None) -> list[tuple[str, dict[str, Any]]]:
    """What the checks of histories found, which no repair undoes: the check and the row; of one brand, or of all."""
    return [
        (check.name, row)
        for check in checks
        if check.name in verification.OF_HISTORY
        for row in check.wrong
        if only_brand_id is None or row.get("brand_id") == only_brand_id
    ]


def acknowledge(findings: Iterable[tuple[str, dict[str, Any]]], by: str) -> None:
    """Keeps that a person has seen the findings: `verify` shows them as known from then on."""
    known = [corrections.known(check, row, row.get("brand_id")) for check, row in findings]
    committed(lambda connection: corrections.add(connection, known, by, clock.now().astimezone(UTC)))


def repair_all(
    by: str, only_brand_id: int | None = None, progress: Callable[[int, int], None] = lambda _done, _of: None
) -> tuple[list[Repaired], list[tuple[str, dict[str, Any]]]]:
    """Sets every brand right, then acknowledges what is left of the histories; what was done.

    `progress`: how many brands are done, and of how many that are known by now.
    """
    done: list[Repaired] = []
    tried: set[int] = set()
    for _ in range(ROUNDS):
        remaining = [
            brand_id
            for brand_id in brands_to_repair(verification.verify(only=REPAIRABLE), only_brand_id)
            if brand_id not in tried
        ]
        if not remaining:
            break
        for brand_id in remaining:
            done.append(repair_brand(brand_id, by, dry_run=False))
            tried.add(brand_id)
            progress(len(tried), len(tried | set(remaining)))
    findings = to_acknowledge(verification.verify(only=verification.OF_HISTORY), only_brand_id)
    acknowledge(findings, by)
    return done, findings
