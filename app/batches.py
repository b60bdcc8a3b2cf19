"""Deletes many rows in small transactions, so that no statement is too long for the timeout, however many there are."""

from collections.abc import Callable

from sqlalchemy import Connection

from db.engine import committed


def in_batches(forget: Callable[[Connection], int]) -> int:
    """Repeats `forget`, one transaction a batch, until it deletes nothing; returns the number of deleted rows."""
    rows = 0
    while removed := committed(forget):
        rows += removed
    return rows
