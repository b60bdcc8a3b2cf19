"""The nightly job: creates coming partitions of the ledger, drops those past retention and deletes expired rows."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import psycopg
import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from app.job_steps import run_each, stop_on_timeout
from db.engine import committed, snapshot
from db.repository.access import access
from db.repository.alerts import alerts, channels, mutes
from db.repository.delivery import suspects
from db.repository.imports import pruning
from db.repository.ledger import ledger
from db.repository.notices import deliveries, endpoint_edits, notices
from db.repository.platforms import confirmations
from db.repository.proof import retention
from domain.periods import ONE_DAY
from runtime.settings import settings

log = structlog.get_logger()

MONTHS_AHEAD: Final = 3
"""Partitions of months that the ledger has after the current month, if it is partitioned by months."""

DAYS_AHEAD: Final = 10
"""Partitions of days that the ledger has after the current day, if it is partitioned by days."""

SUSPECTS_KEPT: Final = timedelta(days=7)
"""Age at which rows about suspects (messages with which a process died) are deleted."""

NOTICES_KEPT: Final = timedelta(days=90)
"""Age at which notices are deleted."""

DELIVERIES_KEPT: Final = timedelta(days=30)
"""Age at which settled deliveries of webhooks and their attempts are deleted."""

ALERTS_KEPT: Final = timedelta(days=90)
"""Time after its end at which an alert is deleted, with its messages."""

ATTEMPTS_KEPT: Final = timedelta(days=30)
"""Age at which an attempt to send to a channel is deleted, and time after its end at which a mute is deleted."""


def maintain(at: datetime) -> None:
    """Deletes expired rows, creates coming partitions of the ledger, drops those past retention.

    It deletes expired sessions and answers to idempotency keys; old suspects, notices, deliveries, alerts, attempts and
    mutes; previous secrets of endpoints that sign no more; rejected inputs and audit entries past their retention;
    confirmations of platforms whose spend the ledger has dropped; and days of imports that no undo can need any more.

    Partitions are dropped only if SPENDGATE_LEDGER_RETENTION_MONTHS or SPENDGATE_LEDGER_RETENTION_DAYS is set; a locked
    ledger is logged, for the next run.
    Partitions come first, and a step that fails or times out stops no other step. Raises the first error at the end;
    a timeout is only logged.
    """
    steps = (
        partial(_ensure_coming, at),
        partial(_drop_partitions, at),
        partial(_forget_access, at),
        partial(_forget_notices, at),
        partial(_forget_alerts, at),
        _forget_histories,
        _forget_before_floor,
    )
    _, failed = run_each(*(partial(_held_up, step) for step in steps))
    for error in failed:
        raise error


def _held_up(step: Callable[[], object]) -> int:
    """Runs a step of maintenance; a timeout is logged, and the next night continues it. Returns 0."""
    with stop_on_timeout():
        step()
    return 0


def _ensure_coming(at: datetime) -> None:
    """Creates the partitions of this month and MONTHS_AHEAD more, or of this day and DAYS_AHEAD more."""
    with snapshot() as connection:
        is_by_days = ledger.is_by_days(connection)
    today = ledger.day_of(at)
    if is_by_days:
        coming = [today + number * ONE_DAY for number in range(DAYS_AHEAD + 1)]
    else:
        coming = [today]
        for _ in range(MONTHS_AHEAD):
            coming.append(ledger.next_month(coming[-1]))
    committed(lambda connection: ledger.ensure_partitions(connection, coming))


def _drop_partitions(at: datetime) -> None:
    earliest = ledger.retention_floor(at, settings().ledger_retention_months, settings().ledger_retention_days)
    if earliest is None:
        return
    try:
        dropped = committed(lambda connection: ledger.drop_partitions_before(connection, earliest))
    except (OperationalError, psycopg.OperationalError):
        log.warning("ledger.busy", earliest=earliest.isoformat())
    else:
        log.info("ledger.maintained", dropped=[day.isoformat() for day in dropped])


def _forget_access(at: datetime) -> None:
    committed(lambda connection: access.forget_expired(connection, at))
    committed(lambda connection: suspects.forget(connection, at - SUSPECTS_KEPT))


def _forget_before_floor() -> None:
    """Deletes confirmations whose spend the ledger has dropped, and days of imports that no undo can need any more."""
    with snapshot() as connection:
        stored = ledger.stored_floor(connection)
    if stored is not None:
        in_batches(partial(confirmations.forget, floor=stored))
    _prune_imports(stored)


def _forget_histories() -> None:
    """Deletes rejected inputs and audit entries past their retention, one transaction a batch."""
    for history in retention.FORGETTABLE:
        rows = in_batches(partial(retention.forget, history=history))
        if rows:
            log.info("history.forgotten", history=history, rows=rows)


def _forget_notices(at: datetime) -> None:
    """Deletes old notices and deliveries of webhooks, and secrets whose time to sign has ended."""
    in_batches(partial(deliveries.prune, before=at - DELIVERIES_KEPT))
    in_batches(partial(notices.forget, before=at - NOTICES_KEPT))
    committed(lambda connection: endpoint_edits.forget_old_secrets(connection, at))


def _forget_alerts(at: datetime) -> None:
    """Deletes alerts that ended ALERTS_KEPT before `at`; attempts made and mutes ended ATTEMPTS_KEPT before `at`."""
    in_batches(partial(alerts.forget, before=at - ALERTS_KEPT))
    in_batches(partial(channels.forget_attempts, before=at - ATTEMPTS_KEPT))
    in_batches(partial(mutes.forget, before=at - ATTEMPTS_KEPT))


def _prune_imports(stored: datetime | None) -> None:
    """Deletes the days of imports that no undo can need any more, one transaction a batch.

    `stored`: the moment before which the ledger has dropped its events; None: the ledger has all its events.
    """
    with snapshot() as connection:
        brand_ids = pruning.brands(connection)
    # A brand's day may begin before the day in UTC.
    floor = None if stored is None else stored.date() - ONE_DAY
    pruned = sum(in_batches(partial(pruning.prune, brand_id=brand_id, floor=floor)) for brand_id in brand_ids)
    if pruned:
        log.info("imports.pruned", days=pruned)


def in_batches(forget: Callable[[Connection], int]) -> int:
    """Repeats `forget`, one transaction a batch, until it deletes nothing; returns the number of deleted rows.

    So no statement is too long for the timeout, however many rows there are.
    """
    rows = 0
    while removed := committed(forget):
        rows += removed
    return rows
