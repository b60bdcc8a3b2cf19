"""The size of the batches in which old rows are deleted."""

from typing import Final

ROWS_A_BATCH: Final = 5_000
"""Rows that one transaction deletes, at most."""
