"""Dry runs: transactions that do all their work and are then rolled back."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from sqlalchemy import Connection

from db.engine import committed, driver_of

Result = TypeVar("Result")


class _RolledBack(Exception):
    """Rolls a transaction back, and carries the result of its work out of it."""

    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result


def run_dry(work: Callable[[Connection], Result]) -> Result:
    """Runs `work` in a transaction with the retries and errors of `committed`, rolls it back, and returns its result.

    The transaction holds the locks that `work` takes until the rollback.
    """

    def roll_back(connection: Connection) -> None:
        result = work(connection)
        driver_of(connection)  # sends deferred queries, which may fail
        raise _RolledBack(result)

    try:
        committed(roll_back)
    except _RolledBack as rolled_back:
        result: Any = rolled_back.result
        return cast("Result", result)
    raise AssertionError("roll_back always raises")
