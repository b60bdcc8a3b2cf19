"""Checks of a live database against the laws: counters, totals, holds, histories. Read-only, of one moment."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection

from db.engine import snapshot
from db.repository.enforcement import headroom, passes, search
from db.repository.enforcement.enforcement import Standing, load
from db.repository.ledger import ledger
from db.repository.proof import (
    corrections,
    history_checks,
    seals,
    totals_check,
    verification,
)
from db.repository.shared import watermarks
from db.repository.shared.zones import readable_zones
from domain.enforcement import Decision, decide
from domain.periods import ONE_DAY, day_starts_at
from runtime import clock

NAMED_ROWS: Final = 1_000
CAMPAIGNS_A_PAGE: Final = 10_000


@dataclass
class Check:
    """One comparison: how many rows it looked at, the rows that break the law, and rows worth knowing that do not."""

    name: str
    compared: int
    wrong: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Difference:
    """A campaign whose row is not what the rules say; `is_due`: the next tick, or its brand's pass, will see to it."""

    standing: Standing
    decision: Decision
    is_due: bool

    def row(self) -> dict[str, Any]:
        return {
            "brand_id": self.standing.brand_id,
            "campaign_id": self.standing.campaign_id,
            "holds": list(self.standing.holds),
            "should_be": list(self.decision.holds),
            "next_change_at": self.standing.next_change_at,
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
IDS: Final = "event ids stand in one month"

OF_HISTORY: Final = frozenset({HISTORY, PAIRS, SEALS})
"""The checks of what is never edited: what they find can be explained or acknowledged, not undone."""


def verify(progress: Callable[[str], None] = lambda _: None, only: Iterable[str] | None = None) -> list[Check]:
    """Every check, or those named in `only`, on one snapshot. `progress` is told the name of each as it starts."""
    with snapshot() as connection:
        verification.lift_time_limit(connection)
        at = clock.now()
        sizes = verification.sizes(connection)
        known = corrections.acknowledged(connection)
        checks = []
        for name, size, check in CHECKS:
            if only is None or name in only:
                progress(name)
                checks.append(Check(name, sizes[size]))
                check(connection, checks[-1], at)
                _set_known_apart(checks[-1], known)
        return checks


def _set_known_apart(check: Check, known: dict[str, corrections.Acknowledged]) -> None:
    """What a person has acknowledged is worth knowing and no longer wrong; altered again, it is another finding."""
    seen = [(row, known.get(corrections.key_of(check.name, row))) for row in check.wrong]
    check.wrong = [row for row, acknowledged in seen if acknowledged is None]
    check.notices += [
        {**row, "acknowledged_by": acknowledged.by, "acknowledged_at": acknowledged.at}
        for row, acknowledged in seen
        if acknowledged is not None
    ]


def kept_since(connection: Connection) -> date | None:
    """The day after which the ledger holds everything; None: it holds all there ever was."""
    floor = watermarks.reached(connection, ledger.FLOOR)
    return floor and floor.date()


def differences(connection: Connection, at: datetime) -> Iterator[Difference]:
    """Every campaign whose row is not what the pure decision says at `at`, by brands."""
    after = (0, 0)
    while page := search.campaigns_after(connection, after, CAMPAIGNS_A_PAGE):
        brand_ids = sorted({brand_id for brand_id, _ in page})
        pending = passes.pending(connection, brand_ids)
        for standing in load(connection, brand_ids, at, [campaign_id for _, campaign_id in page]):
            decision = decide(standing.campaign, at)
            if _differs(standing, decision):
                came = standing.next_change_at is not None and standing.next_change_at <= at
                is_due = standing.is_new or came or standing.brand_id in pending
                yield Difference(standing, decision, is_due=is_due)
        after = page[-1]


def _differs(standing: Standing, decision: Decision) -> bool:
    """Unlike holds, or a change ahead that the minute tick would miss."""
    if standing.holds != decision.holds:
        return True
    due = decision.next_change_at
    return due is not None and (standing.next_change_at is None or standing.next_change_at > due)


def _campaign_days(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += [row._asdict() for row in counters_unlike(connection, kept_since(connection))]


def counters_unlike(
    connection: Connection,
    floor: date | None,
    limit: int | None = NAMED_ROWS,
    brand_id: int | None = None,
) -> Iterator[verification.CampaignDayUnlike]:
    """Campaigns' days after `floor`, of one brand or all, whose counter is not the ledger's sum by our time zones."""
    unlike = list(verification.campaign_days_unlike(connection, floor, limit, brand_id))
    zones = readable_zones({row.time_zone for row in unlike if row.time_zone is not None})
    for row in unlike:
        # Postgres and zoneinfo may carry different editions of the time zones: ours decides.
        zone = zones.get(row.time_zone or "")
        ledger_micros = row.ledger_micros
        if zone is not None:
            instants = day_starts_at(row.day, zone), day_starts_at(row.day + ONE_DAY, zone)
            ledger_micros = verification.ledger_between(connection, row, instants)
        if ledger_micros != row.counter_micros:
            yield row._replace(ledger_micros=ledger_micros)


def _brand_days(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += verification.brand_days_unlike(connection, NAMED_ROWS)


def _totals(connection: Connection, check: Check, _at: datetime) -> None:
    floor = kept_since(connection)
    check.wrong += islice(totals_check.unlike(connection, floor), NAMED_ROWS)
    check.wrong += islice(totals_check.last_differences_unlike(connection, floor), NAMED_ROWS)


def _owners(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += verification.rows_of_nobody(connection, NAMED_ROWS)


def _holds(connection: Connection, check: Check, at: datetime) -> None:
    for difference in differences(connection, at):
        found = check.notices if difference.is_due else check.wrong
        if len(found) < NAMED_ROWS:
            found.append(difference.row())
    check.wrong += verification.kept_holds_unlike(connection, NAMED_ROWS)


def _history(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += history_checks.unexplained(connection, NAMED_ROWS)


def _pairs(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += history_checks.unpaired(connection, NAMED_ROWS)


def _limits(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += history_checks.limits_unlike(connection, NAMED_ROWS)


def _flags(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += verification.budgets_unseen(connection, NAMED_ROWS)


def _headrooms(connection: Connection, check: Check, at: datetime) -> None:
    check.wrong += headroom.too_much(connection, search.zones_in_use(connection), at, NAMED_ROWS)


def _facts(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += history_checks.facts_unlike(connection, NAMED_ROWS)


def _seals(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += seals.broken(connection, NAMED_ROWS)


def _ids(connection: Connection, check: Check, _at: datetime) -> None:
    check.notices += verification.ids_in_two_months(connection, NAMED_ROWS)


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
)
