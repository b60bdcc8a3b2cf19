"""Checks of a live database against the laws: counters, holds, status history. Read-only, of one moment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from db.engine import snapshot
from db.repository import headroom, hold_history, ledger, passes, search, verification, watermarks
from db.repository.enforcement import Standing, load
from db.repository.zones import readable_zones
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
            "should_be": [hold.value for hold in self.decision.holds],
            "next_change_at": self.standing.next_change_at,
            "next_change_should_be": self.decision.next_change_at,
        }


def verify(progress: Callable[[str], None] = lambda _: None) -> list[Check]:
    """Every check, on one snapshot. `progress` is told the name of each as it starts."""
    with snapshot() as connection:
        verification.lift_time_limit(connection)
        at = clock.now()
        sizes = verification.sizes(connection)
        checks = []
        for name, size, check in (
            ("campaign days equal the ledger", sizes["spend_events"], _campaign_days),
            ("brand days equal their campaigns' days", sizes["brand_days"], _brand_days),
            ("holds are what the rules say", sizes["campaigns"], _holds),
            ("status changes explain every status", sizes["status_changes"], _history),
            ("headrooms are no more than what is left", sizes["brand_days"], _headrooms),
            ("kept budget holds are those of the campaigns", sizes["campaigns"], _kept_holds),
            ("event ids stand in one month", sizes["spend_events"], _ids),
        ):
            progress(name)
            checks.append(Check(name, size))
            check(connection, checks[-1], at)
        return checks


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
    if standing.holds != tuple(hold.value for hold in decision.holds):
        return True
    due = decision.next_change_at
    return due is not None and (standing.next_change_at is None or standing.next_change_at > due)


def _campaign_days(connection: Connection, check: Check, _at: datetime) -> None:
    floor = watermarks.reached(connection, ledger.FLOOR)
    unlike = list(verification.campaign_days_unlike(connection, floor and floor.date(), NAMED_ROWS))
    zones = readable_zones({row.time_zone for row in unlike if row.time_zone is not None})
    for row in unlike:
        # Postgres and zoneinfo may carry different editions of the time zones: ours decides.
        zone = zones.get(row.time_zone or "")
        ledger_micros = row.ledger_micros
        if zone is not None:
            instants = day_starts_at(row.day, zone), day_starts_at(row.day + ONE_DAY, zone)
            ledger_micros = verification.ledger_between(connection, row, instants)
        if ledger_micros != row.counter_micros:
            check.wrong.append(row._replace(ledger_micros=ledger_micros)._asdict())


def _brand_days(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += verification.brand_days_unlike(connection, NAMED_ROWS)


def _holds(connection: Connection, check: Check, at: datetime) -> None:
    for difference in differences(connection, at):
        found = check.notices if difference.is_due else check.wrong
        if len(found) < NAMED_ROWS:
            found.append(difference.row())


def _history(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += verification.broken_history(connection, NAMED_ROWS)
    check.notices += hold_history.gaps(connection, NAMED_ROWS)


def _headrooms(connection: Connection, check: Check, at: datetime) -> None:
    check.wrong += headroom.too_much(connection, search.zones_in_use(connection), at, NAMED_ROWS)
    check.wrong += headroom.wrong_flags(connection, NAMED_ROWS)


def _kept_holds(connection: Connection, check: Check, _at: datetime) -> None:
    check.wrong += verification.kept_holds_unlike(connection, NAMED_ROWS)


def _ids(connection: Connection, check: Check, _at: datetime) -> None:
    check.notices += verification.ids_in_two_months(connection, NAMED_ROWS)
