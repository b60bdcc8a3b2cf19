"""Visits to connected accounts: which are due, and how a failed request is stored and logged."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from app.platforms import quota
from app.platforms.protocol import Limited, PlatformError
from db.engine import committed, transaction
from db.repository.platforms import connections
from db.repository.platforms.connections import StoredConnection
from delivery.outgoing import send
from domain.errors import InvalidValue
from runtime import clock

log = structlog.get_logger()

Result = TypeVar("Result")


def enqueue_due(platforms: Iterable[str], at: datetime) -> None:
    """Enqueues a message for each account whose spend or statuses are due, so that one account delays no other."""
    with transaction() as connection:
        due_for_spend = connections.due_for_spend(connection, at)
    for account in due_for_spend:
        send("pull_spend", account)
    for platform in platforms:
        read_before = at - interval(platform)
        with transaction() as connection:
            due_for_statuses = connections.due_for_statuses(connection, platform, at, read_before)
        for account in due_for_statuses:
            send("reconcile_account", account)


def wake(brand_ids: Sequence[int]) -> None:
    """Enqueues a message for each account of the brands, because a campaign of theirs was toggled."""
    with transaction() as connection:
        accounts = connections.accounts_of_brands(connection, brand_ids)
    for account in accounts:
        send("reconcile_account", account)


def interval(platform: str) -> timedelta:
    """The time between two reads of an account on the platform."""
    with transaction() as connection:
        accounts = connections.count_on(connection, platform)
    return quota.read_interval(accounts, quota.daily_limit(platform))


def stored_connection(account: int) -> StoredConnection | None:
    """The account's connection; None if there is none or its mode is `off`."""
    with transaction() as connection:
        stored = connections.connection_of(connection, account)
    return None if stored is None or stored.mode == "off" else stored


def attempted(stored: StoredConnection, request: Callable[[], Result]) -> Result | None:
    """The result of a request to the platform; None if it failed, which is stored and logged without secrets."""
    try:
        return request()
    except (PlatformError, InvalidValue) as error:
        note_failure(stored, error)
        return None


def note_failure(stored: StoredConnection, error: Exception, *, for_pauses: bool = False) -> None:
    """Stores and logs a failed request. After an answer that says when, waits until then."""
    at = clock.now()
    later = at + interval(stored.platform)
    fields = {"platform": stored.platform, "platform_account_id": stored.id, "error": str(error)}
    if isinstance(error, Limited):
        later = at + timedelta(seconds=error.seconds)
        wait = partial(connections.wait, account=stored, until=later, for_pauses=for_pauses, for_all=error.for_all)
        committed(wait)
        log.warning("platform.limited", until=later.isoformat(), **fields)
    else:
        log.warning("platform.failed", **fields)
    committed(partial(connections.note_failure, account=stored.id, error=str(error), at=at, next_read_at=later))
