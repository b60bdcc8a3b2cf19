"""`spendgate repair`: sets counters and totals to the ledger's sums and holds to the rules, and stores each change.

Rows of histories are never edited, and altered or deleted ones cannot be restored. Where a history does not end at
today's state, repair appends a row. It acknowledges the remaining findings, which `verify` then lists as notices.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from app.decisions import announce, changes_of_campaigns, changes_of_holds, count_toggles
from app.enforcement import enforce_locked, outlook
from app.proof import verification
from app.proof.recounts import corrections_of, recount_days
from app.proof.verification import Check, kept_since, wrong_campaign_days
from db.engine import committed
from db.local_settings import has_citus
from db.repository.enforcement import headroom
from db.repository.enforcement.changes import DecidedChange
from db.repository.enforcement.facts import lock_brands
from db.repository.ledger import directory_checks
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
        verification.DIRECTORY,
    }
)
ROUNDS: Final = 1_000
"""Rounds of verify and repair, at most: a check names at most 1,000 rows, and the next round finds further ones."""

Finding = tuple[str, dict[str, Any]]
"""The name of a check and a wrong row that it found."""


class RollBack(Exception):
    """Raised in a dry run, to roll back its transaction."""


class Repaired(NamedTuple):
    """The corrections of one brand, and the number of campaigns that they toggle; a dry run only proposes them.

    If the brand is too large for one transaction, both include changes of holds that workers make after the commit.
    `at_least`: the brand has more than LOOKED_AT campaigns, and both leave out changes of the holds of campaigns beyond
    the oldest LOOKED_AT.
    """

    corrections: list[Correction]
    toggles: int
    at_least: bool = False


def brands_to_repair(checks: Iterable[Check], only_brand_id: int | None = None) -> list[int]:
    """The ids of the brands with wrong rows that repair can correct, sorted. `only_brand_id`: no other brand."""
    repairable = {
        row["brand_id"]
        for check in checks
        if check.name in REPAIRABLE
        for row in check.wrong
        if row.get("brand_id") is not None
    }
    return sorted(repairable if only_brand_id is None else repairable & {only_brand_id})


def repair_brand(brand_id: int, by: str, *, dry_run: bool) -> Repaired:
    """Repairs one brand in one transaction and announces its toggles; with `dry_run` rolls it back.

    Returns the corrections, made or proposed. `by`: the name of a person or program, stored with each correction.
    """
    proposed: list[Repaired] = []

    def work(connection: Connection) -> tuple[Repaired, list[DecidedChange]]:
        repaired, changes = _repair(connection, brand_id, by)
        if dry_run:
            proposed.append(repaired)
            raise RollBack
        return repaired, changes

    try:
        repaired, changes = committed(work)
    except RollBack:
        return proposed[0]
    announce(changes, Cause.REPAIR)
    return repaired


def _repair(connection: Connection, brand_id: int, by: str) -> tuple[Repaired, list[DecidedChange]]:
    """Repairs the brand; returns its corrections and its campaigns' changed holds.

    Takes locks in the order of ingest: reported totals, campaigns' counters, the brand's counters, the brand.
    """
    verification_sql.lift_time_limit(connection)
    zones = readable_zones([recount.zone_of(connection, brand_id) or ""])
    made: list[Correction] = []
    if zones:
        (zone,) = zones.values()
        floor = kept_since(connection)
        made += _totals(connection, brand_id, zone, floor)
        keys = [(row.campaign_id, row.day) for row in wrong_campaign_days(connection, floor, None, brand_id)]
        made += corrections_of(brand_id, recount_days(connection, brand_id, zone, keys).corrected)
    brands = lock_brands(connection, [brand_id])
    at = clock.now()
    headroom.forget(connection, [brand_id])
    if (flag := repair.set_flag(connection, brand_id)) is not None:
        new = {"has_campaign_budgets": flag}
        made.append(Correction(brand_id, "flag", new, {"has_campaign_budgets": not flag}, new))
    if has_citus(connection):
        made += (Correction(brand_id, "directory", *one) for one in directory_checks.repair_brand(connection, brand_id))
    made += _limits(connection, brand_id, at)
    made += _histories(connection, brand_id, at)
    effect, at_least = outlook(connection, brand_id, at)
    changes = enforce_locked(connection, brands, Cause.REPAIR, at)
    corrections.add(connection, [*made, *_of_holds(changes)], by, at)
    return Repaired([*made, *_of_holds(changes_of_holds(effect))], count_toggles(effect), at_least), changes


def _totals(connection: Connection, brand_id: int, zone: ZoneInfo, floor: date | None) -> Iterator[Correction]:
    """Sets the brand's reported totals to the amounts that the ledger has for them; yields the corrections made.

    The next total then counts the right difference. `floor`: the last day without all its events in the ledger; None:
    the ledger has every day.
    """
    wrong = list(totals_check.mismatched_totals(connection, floor, brand_id))
    wrong += totals_check.mismatched_last_differences(connection, floor, brand_id)
    totals = {Total(row["source"], row["campaign_id"], row["day"]) for row in wrong}
    missing = {total: _booked(connection, brand_id, zone, total).as_of for total in totals}
    repair.make_totals(connection, brand_id, ((total, as_of) for total, as_of in missing.items() if as_of is not None))
    locked = repair.lock_totals(connection, brand_id, totals)
    for row, last_micros in zip(locked, totals_check.last_amounts(connection, locked), strict=True):
        total = Total(row.source, row.campaign_id, row.day)
        micros = _booked(connection, brand_id, zone, total).micros
        new = {"total_micros": micros, "previous_micros": micros - last_micros}
        old = {"total_micros": row.total_micros, "previous_micros": row.previous_micros}
        if new != old:
            repair.set_total(connection, brand_id, total, **new)
            subject = {**total._asdict(), "day": row.day.isoformat()}
            yield Correction(brand_id, "reported_total", subject, old, new)


def _booked(connection: Connection, brand_id: int, zone: ZoneInfo, total: Total) -> totals_check.Booked:
    return totals_check.booked_of(connection, (brand_id, total.campaign_id, total.source, total.day), zone)


def _limits(connection: Connection, brand_id: int, at: datetime) -> Iterator[Correction]:
    for row in repair.append_limits(connection, brand_id, at):
        subject = {"campaign_id": row["campaign_id"], "period": row["period"]}
        old, new = {"limit_micros": row["old_micros"]}, {"limit_micros": row["limit_micros"]}
        yield Correction(brand_id, "limit_history", subject, old, new)


def _histories(connection: Connection, brand_id: int, at: datetime) -> Iterator[Correction]:
    """Appends a row to each campaign's history that does not end at its stored holds; yields the corrections.

    Must run before enforcement, whose changes are appended after these rows.
    """
    for campaign in repair.campaigns_off_history(connection, brand_id):
        repair.append_to_histories(connection, brand_id, campaign, at)
        old = {"holds": campaign.known_holds, "effective_status": campaign.known_status}
        new = {"holds": campaign.holds, "effective_status": campaign.effective_status}
        yield Correction(brand_id, "history", {"campaign_id": campaign.campaign_id}, old, new)


def _of_holds(changes: Iterable[DecidedChange]) -> Iterator[Correction]:
    for campaign_id, change in changes_of_campaigns(changes):
        old, new = {"holds": list(change.holds_before)}, {"holds": list(change.holds_after)}
        yield Correction(change.brand_id, "holds", {"campaign_id": campaign_id}, old, new)


def to_acknowledge(checks: Iterable[Check], only_brand_id: int | None = None) -> list[Finding]:
    """The findings in histories, which repair cannot correct, of one brand or of all brands (None)."""
    return [
        (check.name, row)
        for check in checks
        if check.name in verification.OF_HISTORY
        for row in check.wrong
        if only_brand_id is None or row.get("brand_id") == only_brand_id
    ]


def acknowledge(findings: Iterable[Finding], by: str) -> None:
    """Stores that a person has seen the findings, so that `verify` lists them as notices from then on."""
    known = [corrections.known(check, row, row.get("brand_id")) for check, row in findings]
    committed(lambda connection: corrections.add(connection, known, by, clock.now().astimezone(UTC)))


def repair_all(
    by: str,
    shown: Collection[Finding],
    only_brand_id: int | None = None,
    brand_ids: Collection[int] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> tuple[list[Repaired], list[Finding]]:
    """Repairs brands with findings, then acknowledges findings in histories that remain; returns both.

    Acknowledges only findings in `shown`, since a person must have seen them. `brand_ids`: the brands to repair; None:
    every brand with findings. `only_brand_id`: the only brand to repair and to acknowledge findings of; None: all
    brands. `progress` is called after each brand with the number of brands done and the number found so far.
    """
    done: list[Repaired] = []
    tried: set[int] = set()
    for _ in range(ROUNDS):
        remaining = [
            brand_id
            for brand_id in brands_to_repair(verification.verify(only=REPAIRABLE), only_brand_id)
            if brand_id not in tried and (brand_ids is None or brand_id in brand_ids)
        ]
        if not remaining:
            break
        for brand_id in remaining:
            done.append(repair_brand(brand_id, by, dry_run=False))
            tried.add(brand_id)
            progress(len(tried), len(tried | set(remaining)))
    left = to_acknowledge(verification.verify(only=verification.OF_HISTORY), only_brand_id)
    findings = [finding for finding in left if finding in shown]
    acknowledge(findings, by)
    return done, findings
