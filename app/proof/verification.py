"""`spendgate verify`: checks counters, totals, holds and histories of a live database, read-only, on one snapshot."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection

from db.engine import snapshot
from db.local_settings import has_citus
from db.repository.enforcement import headroom, passes, targets
from db.repository.enforcement.facts import StoredCampaign, StoredRow, load
from db.repository.ledger import directory_checks, ledger
from db.repository.proof import (
    corrections,
    history_checks,
    seal_checks,
    totals_check,
    verification,
)
from db.repository.proof.corrections import Acknowledged
from db.repository.shared import watermarks
from db.repository.shared.zones import readable_zones
from domain.enforcement import Decision, decide
from domain.periods import ONE_DAY, day_starts_at
from runtime import clock

NAMED_ROWS: Final = 1_000
"""Wrong rows that one query of a check lists, at most, not counting rows that a person has acknowledged."""

CAMPAIGNS_A_PAGE: Final = 10_000


@dataclass
class Check:
    """The result of one check: how many rows it compared, the wrong rows, and notices.

    `notices`: rows to know of that are not wrong, or that a person has acknowledged. `known`: the findings of the check
    that a person has acknowledged, by their key.
    """

    name: str
    compared: int
    known: Mapping[str, Acknowledged] = field(default_factory=dict)
    wrong: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)

    @property
    def limit(self) -> int:
        """Rows that a statement of the check reads, at most: so that acknowledged ones hide no other."""
        return NAMED_ROWS + len(self.known)


@dataclass(frozen=True)
class Difference:
    """A campaign whose stored holds are wrong, or whose `next_change_at` is missing or too late.

    `is_due`: the next job of the minute, or the running enforcement of its brand in parts, corrects it.
    """

    standing: StoredCampaign
    decision: Decision
    is_due: bool

    def row(self) -> dict[str, Any]:
        """The campaign's stored and expected holds and next change, as `verify` lists them."""
        return {
            "brand_id": self.standing.row.brand_id,
            "campaign_id": self.standing.campaign_id,
            "holds": list(self.standing.row.holds),
            "should_be": list(self.decision.holds),
            "next_change_at": self.standing.row.next_change_at,
            "next_change_should_be": self.decision.next_change_at,
        }


COUNTERS: Final = "campaign days equal the ledger"
BRAND_COUNTERS: Final = "brand days equal their campaigns' days"
TOTALS: Final = "reported totals equal the ledger"
OWNERS: Final = "every row belongs to a campaign of its brand"
HOLDS: Final = "holds are what the rules say"
HISTORY: Final = "status changes explain every status"
PAIRS: Final = "status changes match the history of holds"
LIMITS: Final = "budgets are the latest limits in their history"
FLAGS: Final = "brands know whether their campaigns have budgets"
HEADROOMS: Final = "headrooms are no more than what is left"
FACTS: Final = "zones and currencies are those that brands were given"
SEALS: Final = "sealed histories are unaltered"
IDS: Final = "event ids name one event"
DIRECTORY: Final = "the directory is that of the campaigns"

OF_SEVERAL_SERVERS: Final = frozenset({DIRECTORY})
"""Names of the checks that only a database with brands on several servers needs."""

OF_HISTORY: Final = frozenset({HISTORY, PAIRS, SEALS})
"""Checks of append-only histories: a person can acknowledge their findings, but repair cannot correct them."""


def verify(progress: Callable[[str], None] = lambda _: None, only: Iterable[str] | None = None) -> list[Check]:
    """Runs every check, or those named in `only`, on one snapshot; returns their results in order.

    `only` None: all. `progress` is called with each name at its start.
    """
    with snapshot() as connection:
        verification.lift_time_limit(connection)
        at = clock.now()
        sizes = verification.sizes(connection)
        known = corrections.acknowledged(connection)
        left_out = frozenset() if has_citus(connection) else OF_SEVERAL_SERVERS
        checks = []
        for name, size, check in CHECKS:
            if name not in left_out and (only is None or name in only):
                progress(name)
                checks.append(Check(name, sizes[size], known.get(name, {})))
                check(connection, checks[-1], at)
                _acknowledged_to_notices(checks[-1])
        return checks


def _acknowledged_to_notices(check: Check) -> None:
    """Moves wrong rows that a person has acknowledged to the notices; a row altered again is a new finding."""
    seen = [(row, check.known.get(corrections.key_of(row))) for row in check.wrong]
    check.wrong = [row for row, acknowledged in seen if acknowledged is None]
    check.notices += [
        {**row, "acknowledged_by": acknowledged.by, "acknowledged_at": acknowledged.at}
        for row, acknowledged in seen
        if acknowledged is not None
    ]


def kept_since(connection: Connection) -> date | None:
    """The last day of which retention may have dropped events from the ledger; None: the ledger has every day."""
    floor = watermarks.reached(connection, ledger.FLOOR)
    return floor and floor.date()


def differences(connection: Connection, at: datetime, only_brand_id: int | None = None) -> Iterator[Difference]:
    """Yields every campaign whose holds are wrong at `at`, or `next_change_at` missing or too late, by brand and id.

    `only_brand_id`: only campaigns of this brand; None: of all brands.
    """
    after = (only_brand_id or 0, 0)
    while page := targets.campaigns_after(connection, after, CAMPAIGNS_A_PAGE, only_brand_id):
        brand_ids = sorted({brand_id for brand_id, _ in page})
        pending = passes.pending(connection, brand_ids)
        for standing in load(connection, brand_ids, at, [campaign_id for _, campaign_id in page]):
            row = standing.row
            decision = decide(row.campaign, at)
            if _differs(row, decision):
                is_overdue = row.next_change_at is not None and row.next_change_at <= at
                is_due = row.is_new or is_overdue or row.brand_id in pending
                yield Difference(standing, decision, is_due=is_due)
        after = page[-1]


def _differs(row: StoredRow, decision: Decision) -> bool:
    """Whether the stored holds are wrong, or the stored `next_change_at` is missing or too late for the minute tick."""
    if row.holds != decision.holds:
        return True
    due = decision.next_change_at
    return due is not None and (row.next_change_at is None or row.next_change_at > due)


def _campaign_days(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += [row._asdict() for row in wrong_campaign_days(connection, kept_since(connection))]


def wrong_campaign_days(
    connection: Connection,
    floor: date | None,
    limit: int | None = NAMED_ROWS,
    brand_id: int | None = None,
    up_to: date | None = None,
) -> Iterator[verification.MismatchedCampaignDay]:
    """Yields days of campaigns whose counter differs from the ledger's sum, of one brand or of all (None).

    `floor`: only later days (None: all). `up_to`: the last day (None: all). `limit`: rows at most (None: all).
    """
    candidates = list(verification.mismatched_campaign_days(connection, floor, limit, brand_id, up_to))
    zones = readable_zones({row.time_zone for row in candidates if row.time_zone is not None})
    for row in candidates:
        # Postgres and zoneinfo may have different editions of the time zones; days follow zoneinfo.
        zone = zones.get(row.time_zone or "")
        ledger_micros = row.ledger_micros
        if zone is not None:
            instants = day_starts_at(row.day, zone), day_starts_at(row.day + ONE_DAY, zone)
            ledger_micros = verification.ledger_between(connection, row, instants)
        if ledger_micros != row.counter_micros:
            yield row._replace(ledger_micros=ledger_micros)


def _brand_days(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += verification.mismatched_brand_days(connection, NAMED_ROWS)


def _totals(connection: Connection, check: Check, _at: datetime) -> None:
    floor = kept_since(connection)
    check.wrong += islice(totals_check.mismatched_totals(connection, floor), NAMED_ROWS)
    check.wrong += islice(totals_check.mismatched_last_differences(connection, floor), NAMED_ROWS)


def _owners(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += verification.orphaned_rows(connection, NAMED_ROWS)


def _holds(connection: Connection, check: Check, at: datetime) -> None:
    for difference in differences(connection, at):
        rows = check.notices if difference.is_due else check.wrong
        if len(rows) < NAMED_ROWS:
            rows.append(difference.row())
    check.wrong += verification.mismatched_kept_holds(connection, NAMED_ROWS)


def _history(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += history_checks.unexplained(connection, check.limit)


def _pairs(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += history_checks.unpaired(connection, check.limit)


def _limits(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += history_checks.mismatched_limits(connection, NAMED_ROWS)


def _flags(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += verification.wrong_budget_flags(connection, NAMED_ROWS)


def _headrooms(connection: Connection, check: Check, at: datetime) -> None:
    check.wrong += headroom.overstated(connection, targets.zones_in_use(connection), at, NAMED_ROWS)


def _facts(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += history_checks.mismatched_facts(connection, NAMED_ROWS)


def _seals(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += seal_checks.broken(connection, check.limit)


def _ids(connection: Connection, check: Check, _at: datetime) -> None:
    check.notices += verification.ids_of_two_events(connection, NAMED_ROWS)


def _directory(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += directory_checks.wrong_rows(connection, NAMED_ROWS)


CHECKS: Final[tuple[tuple[str, str, Callable[[Connection, Check, datetime], None]], ...]] = (
    (COUNTERS, "spend_events", _campaign_days),
    (BRAND_COUNTERS, "brand_days", _brand_days),
    (TOTALS, "reported_totals", _totals),
    (OWNERS, "spend_events", _owners),
    (HOLDS, "campaigns", _holds),
    (HISTORY, "status_changes", _history),
    (PAIRS, "hold_changes", _pairs),
    (LIMITS, "budgets", _limits),
    (FLAGS, "brands", _flags),
    (HEADROOMS, "brand_days", _headrooms),
    (FACTS, "brands", _facts),
    (SEALS, "sealed", _seals),
    (IDS, "spend_events", _ids),
    (DIRECTORY, "campaigns", _directory),
)
