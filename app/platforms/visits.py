"""Visits (runs of a worker for one connected account): enqueues those that are due, and stores failed requests."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection

from app.platforms import pace, quota
from app.platforms.protocol import Limited, PlatformError
from db.engine import committed, transaction
from db.repository.platforms import connections, reads
from db.repository.platforms.connections import StoredConnection, WaitingAccount
from delivery.outgoing import send
from domain.errors import InvalidValue
from domain.platform_reads import (
    READS_AHEAD,
    SHORTEST,
    Wait,
    due_reads,
    retry_interval,
    spend_interval,
    statuses_interval,
)
from runtime import clock

log = structlog.get_logger()

Result = TypeVar("Result")


RETRY: Final = timedelta(minutes=5)
"""Longest time until changes are sent again, and statuses read, after failures of the account. Refused changes wait by
`refused_wait` of `domain/reconcile.py`."""


def enqueue_due(platforms: Iterable[str], at: datetime) -> None:
    """Enqueues a message for each account with changes to send, and for each due read of an account.

    One account is one message, so that it delays no other.
    """
    for platform in platforms:
        committed(partial(_hasten, platform=platform, at=at))
        with transaction() as connection:
            changing = connections.due_for_changes(connection, platform, at)
            waiting = connections.waiting(connection, platform, at)
            reads_left = quota.reads_left(connection, platform, at) if waiting else 0
        for account in changing:
            send("reconcile_account", account)
        for read in due_reads(_waits(waiting, set(changing), at), reads_left):
            send("pull_spend" if read.is_of_spend else "reconcile_account", read.account)


def _hasten(connection: Connection, platform: str, at: datetime) -> None:
    """Makes accounts due, SHORTEST after a campaign was released or a limit was changed, if no read came since.

    Leaves out accounts that are due before a claim of a read would end, since these may be claimed.
    """
    limit_at, retry_at, soon = at + READS_AHEAD * SHORTEST, at + RETRY, at + pace.reading_time()
    hasten = partial(reads.hasten, connection, platform, at, changed_before=at - SHORTEST, soon=soon)
    hasten(retry_at=retry_at, limit_at=limit_at)


def _waits(waiting: Iterable[WaitingAccount], changing: Set[int], at: datetime) -> Iterator[Wait]:
    """The reads that the accounts wait for. An account in `changing` has its statuses read anyway."""
    longest = pace.longest_interval()
    for one in waiting:
        if one.is_spend_due:
            left = None if one.limit_at is None else one.limit_at - at
            waited = None if one.last_read_at is None else at - one.last_read_at
            yield Wait(one.id, True, waited, spend_interval(left, longest), one.used_percent)
        is_retried = one.retry_at is None or one.retry_at <= at
        if one.is_free and is_retried and one.id not in changing:
            waited = None if one.statuses_read_at is None else at - one.statuses_read_at
            interval = statuses_interval(longest, holds_some=one.holds_some)
            yield Wait(one.id, False, waited, interval, one.used_percent)


def wake(brand_ids: Sequence[int]) -> None:
    """Enqueues a message for each account of the brands, because a campaign of theirs was toggled."""
    with transaction() as connection:
        accounts = connections.accounts_of_brands(connection, brand_ids)
    for account in accounts:
        send("reconcile_account", account)


def stored_connection(account: int) -> StoredConnection | None:
    """The account's connection; None if there is none or its mode is `off`."""
    with transaction() as connection:
        stored = connections.connection_of(connection, account)
    return None if stored is None or stored.mode == "off" else stored


def attempted(stored: StoredConnection, request: Callable[[], Result], *, is_of_spend: bool = False) -> Result | None:
    """Makes a request to the platform and returns its result; None if it failed, which is stored and logged.

    `is_of_spend`: the request belongs to a read of spend, so that a failure also delays the next read of spend.
    """
    try:
        return request()
    except (PlatformError, InvalidValue) as error:
        note_failure(stored, error, is_of_spend=is_of_spend)
        return None
    finally:
        quota.note_usage(stored)


def note_failure(
    stored: StoredConnection, error: Exception, *, for_pauses: bool = False, is_of_spend: bool = False
) -> None:
    """Stores and logs a failed request.

    After Limited, also stores the moment until which no further requests are sent; `for_pauses`: no pauses either.
    `is_of_spend`: the failure delays the next read of spend.
    """
    at = clock.now()
    fields = {"platform": stored.platform, "platform_account_id": stored.id, "error": str(error)}
    if isinstance(error, Limited):
        until = at + timedelta(seconds=error.seconds)
        wait = partial(connections.wait, account=stored, until=until, for_pauses=for_pauses, for_all=error.for_all)
        committed(wait)
        log.warning("platform.limited", until=until.isoformat(), **fields)
    else:
        log.warning("platform.failed", **fields)
    store_failure(stored, str(error), at, stops_changes=not isinstance(error, Limited), is_of_spend=is_of_spend)


def store_failure(
    stored: StoredConnection, error: str, at: datetime, *, stops_changes: bool, is_of_spend: bool
) -> None:
    """Stores a failed request, and when the account is tried again: later with each failure in a row.

    `stops_changes`: the failure delays changes and reads of statuses, by RETRY at most. `is_of_spend`: it delays the
    next read of spend. That delay is short if a limit is near, but RETRY after many failures, so that a failing account
    leaves the quota to others.
    """
    failures = stored.failures + 1
    next_read_at = at + retry_interval(failures, _longest_retry(stored, at)) if is_of_spend else None
    retry_at = at + retry_interval(failures, RETRY) if stops_changes else at
    noted = partial(connections.note_failure, account=stored.id, error=error, at=at)
    committed(partial(noted, next_read_at=next_read_at, retry_at=retry_at))


def _longest_retry(stored: StoredConnection, at: datetime) -> timedelta:
    """The longest time until spend is read again after failures, by the time left until a limit at the last read."""
    longest = pace.longest_interval()
    left = None if stored.limit_at is None else stored.limit_at - at
    return max(spend_interval(left, longest), min(RETRY, longest))
