"""Claims of accounts: one worker at a time reconciles an account, and then handles decisions made meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.platforms import visits
from app.platforms.protocol import Account, Platform
from app.platforms.registry import account_of, adapter_of
from db.engine import committed
from db.repository.platforms import claims, connections
from db.repository.platforms.connections import StoredConnection
from runtime import clock
from runtime.settings import settings

Result = TypeVar("Result")

SPARE_SECONDS: Final = 5
"""Seconds that a claim lasts beyond the deadlines of its requests."""


class ClaimLost(Exception):
    """Another worker has claimed the account, so that this visit's reads may be old, or its connection was removed."""


@dataclass(slots=True)
class Visit:
    """One run of a worker for one account. `claimed_until`: the end of its claim, which identifies the claim.

    `read_at`: when the platform's statuses were read last; None: never.
    """

    stored: StoredConnection
    platform: Platform
    account: Account
    claimed_until: datetime
    read_at: datetime | None


def claimed(stored: StoredConnection) -> Visit | None:
    """Claims the account and returns the visit; None if another worker has the claim.

    In that case stores that this worker tried, which the other worker reads when it ends its claim. None too if the
    platform has no adapter or the credentials cannot be read, which is stored as a failure of the account.
    """
    opened = visits.attempted(stored, lambda: (adapter_of(stored.platform), account_of(stored)))
    if opened is None:
        return None
    at = clock.now()
    until = _ends_at(at)
    is_free = committed(partial(claims.claim, account=stored.id, at=at, until=until))
    return Visit(stored, *opened, until, stored.statuses_read_at) if is_free else None


def prolong(connection: Connection, visit: Visit, at: datetime) -> bool:
    """Moves the end of the claim so that one more request fits in; returns whether the visit still has the claim.

    The caller commits.
    """
    until = _ends_at(at)
    is_wanted = claims.prolong(connection, visit.stored.id, visit.claimed_until, until)
    if is_wanted is not None:
        visit.claimed_until = until
    return is_wanted is not None


def may_send(connection: Connection, visit: Visit, at: datetime, *, for_pauses: bool) -> bool:
    """Whether the visit may make one more change; if so, locks claim and mode until the caller's commit.

    It may not if it lost the claim, the account's mode changed, or the platform allows no such change now.
    `for_pauses`: the change is a pause.
    """
    return claims.may_send(connection, visit.stored, visit.claimed_until, at, for_pauses=for_pauses)


def keeps_mode(connection: Connection, visit: Visit) -> bool:
    """Whether the account still has the mode with which the visit began."""
    stored = connections.connection_of(connection, visit.stored.id)
    return stored is not None and stored.mode == visit.stored.mode


def committed_by(visit: Visit, work: Callable[[Connection], Result]) -> Result:
    """Commits `work`, prolonging the visit's claim in the same transaction; returns the result of `work`.

    Raises ClaimLost, and commits nothing, if another worker has claimed the account or the connection was removed.
    """
    claimed = visit.claimed_until

    def claimed_work(connection: Connection) -> Result:
        visit.claimed_until = claimed
        result = work(connection)
        if not prolong(connection, visit, clock.now()):
            raise ClaimLost
        return result

    try:
        return committed(claimed_work)
    except IntegrityError:
        if visits.stored_connection(visit.stored.id) is None:
            raise ClaimLost from None
        raise


def end(visit: Visit) -> bool:
    """Ends the visit's claim; returns whether another worker tried to claim the account during it."""
    end_now = partial(claims.prolong, account=visit.stored.id, claimed=visit.claimed_until, until=clock.now())
    return bool(committed(end_now))


def _ends_at(at: datetime) -> datetime:
    """The end of a claim that is made or prolonged at `at`, so that one more request fits in."""
    return at + clock.passed(request_seconds())


def request_seconds() -> float:
    """The longest time of a login and one request, plus SPARE_SECONDS, in seconds."""
    return 2 * settings().platform_deadline_seconds + SPARE_SECONDS
