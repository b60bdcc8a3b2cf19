"""Locks for edits of budgets at the same time as edits by SQL, which lock the budget and then, in a trigger, its brand.

An edit by Spendgate locks the brand first. So that the two do not deadlock, it waits for a locked budget for a short
time only, and then begins again, locking in the order of SQL. It then waits for the budget for as long as for any lock,
because it holds no lock that an edit by SQL needs.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.exc import OperationalError

from db.engine import deferred, query_pipelined
from db.failures import LOCK_NOT_AVAILABLE, StaleRead, sql_state
from db.local_settings import local_setting
from db.repository.enforcement.brand_locks import locks_of

# Locks one budget, before its brand.
LOCK_BUDGET = text("""
    SELECT id FROM budgets
    WHERE brand_id = :brand_id AND campaign_id IS NOT DISTINCT FROM :campaign_id AND period = :period
    FOR NO KEY UPDATE
""")

LOCK_TIMEOUT = text("SELECT current_setting('lock_timeout')")

YIELDS_AFTER: Final = "50ms"
"""The lock timeout of a statement after which its transaction rolls back and releases its own locks."""


def execute_or_yield(
    connection: Connection, statement: TextClause, parameters: Mapping[str, Any], key: Mapping[str, Any]
) -> CursorResult[Any]:
    """Runs a statement on the budget with the brand, campaign and period in `key`. The caller has locked the brand.

    Raises StaleRead if the budget stays locked, so that `committed` retries and first locks the budget, then the brand.
    """
    with _yielding(connection, [partial(_lock_as_sql_does, key=key)]):
        return connection.execute(statement, parameters)


def _lock_as_sql_does(connection: Connection, key: Mapping[str, Any]) -> None:
    """Locks the budget, if it exists, and then its brand. Raises StaleRead if the brand stays locked."""
    connection.execute(LOCK_BUDGET, key)
    with _yielding(connection, []):
        query_pipelined(connection, *locks_of(connection, [key["brand_id"]]))


@contextmanager
def _yielding(connection: Connection, beginning: list[Callable[[Connection], object]]) -> Iterator[None]:
    """Shortens the lock timeout within the block. On timeout raises StaleRead, whose retry begins with `beginning`."""
    shorter = local_setting(connection, "lock_timeout", YIELDS_AFTER)
    ((timeout_before,),), _ = query_pipelined(connection, (LOCK_TIMEOUT, {}), shorter)
    try:
        yield
    except OperationalError as error:
        if sql_state(error) == LOCK_NOT_AVAILABLE:
            raise StaleRead("an edit by SQL has locked a budget", beginning=beginning) from error
        raise
    deferred(connection, local_setting(connection, "lock_timeout", timeout_before))
