"""Sums of micros, which may be beyond a bigint although each amount is within one."""

from typing import Final

MAX_MICROS: Final = 2**63 - 1
"""The largest bigint; its negative is the smallest amount that statements return."""


def bounded(expression: str) -> str:
    """SQL for the amount as a bigint, cut off at MAX_MICROS and its negative; `expression` is numeric, or null.

    So one brand with absurd spend fails no statement that reads other brands' too.
    """
    return f"least(greatest({expression}, -{MAX_MICROS}), {MAX_MICROS})::bigint"
