"""Compares this machine's clock with Postgres's: a process whose clock is off decides nothing until it is right.

A clock is off if it differs by more than SPENDGATE_MAX_CLOCK_OFFSET_SECONDS.
"""

from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Connection

from db.repository.health import servers
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

NONE: Final = timedelta(0)


def check(connection: Connection) -> timedelta | None:
    """Compares this machine's clock with Postgres's, and allows or forbids this process to decide by its clock.

    Returns the offset, which is at least so large: positive if this machine's clock is behind, negative if it is ahead.
    Returns None for the driven clock of embedded servers, with which the process may always decide. Logs a clock that
    is off, and one that is right again.
    """
    if settings().clock_is_driven:
        return None
    offset = measured_offset(connection)
    was_off, clock.guard.is_off = clock.guard.is_off, is_too_large(offset)
    if clock.guard.is_off:
        log.error("clock.off", offset_seconds=round(offset.total_seconds(), 3))
    elif was_off:
        log.warning("clock.right_again", offset_seconds=round(offset.total_seconds(), 3))
    return offset


def measured_offset(connection: Connection) -> timedelta:
    """Reads both clocks; returns the smallest possible offset, positive if this machine's is behind Postgres's."""
    before = clock.read()
    server = servers.now(connection)
    return offset_between(before, server, clock.read())


def offset_between(before: datetime, server: datetime, after: datetime) -> timedelta:
    """The smallest possible offset: positive if the server's clock is ahead of ours, negative if behind, else 0.

    `server`: the server's time, read between `before` and `after` of our clock.
    """
    if server > after:
        return server - after
    return min(server - before, NONE)


def is_too_large(offset: timedelta) -> bool:
    """Whether a process with this offset may not decide by its clock."""
    return abs(offset) > settings().max_clock_offset


def in_words(offset: timedelta | None) -> str:
    """The offset from Postgres's clock in words for people; None: the clock is driven, which has no offset."""
    if offset is None:
        return "a driven clock"
    seconds = offset.total_seconds()
    return f"{abs(seconds):.1f} s {'ahead of' if seconds < 0 else 'behind'} Postgres's clock"
