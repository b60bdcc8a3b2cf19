"""Runs steps of a periodic job so that one which fails or times out stops no other step and no later run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import structlog
from sqlalchemy.exc import DBAPIError

from db.failures import is_timeout

log = structlog.get_logger()


@contextmanager
def stop_on_timeout() -> Iterator[None]:
    """Ends the block early, and logs it, if its rows stay locked or a statement times out: the next run retries."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        if not is_timeout(error):
            raise
        log.info("job.held_up", error=type(error).__name__)


def run_each(*steps: Callable[[], int]) -> tuple[int, list[Exception]]:
    """Runs each step although others fail; returns the sum of their results, and the errors."""
    total, errors = 0, list[Exception]()
    for step in steps:
        try:
            total += step()
        except Exception as error:  # noqa: BLE001 - raised by the caller after the other steps
            errors.append(error)
    return total, errors
