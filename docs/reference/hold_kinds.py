"""Holds and causes of status changes, as the rules name them."""

from domain.causes import Cause
from domain.holds import KINDS, HoldKind


def holds() -> str:
    """A table of every hold, in the order in which holds are shown."""
    rows = [
        f"| `{hold}` | {kind.because} | {_lifted(kind)} | {'stored' if kind.is_set else 'derived'} |"
        for hold, kind in KINDS.items()
    ]
    return "\n".join(["| hold | the campaign does not serve, because | until | kind |", "|---|---|---|---|", *rows])


def _lifted(kind: HoldKind) -> str:
    return f"its time comes, or {kind.released_by}" if kind.lifts_by_clock else kind.released_by


def causes() -> str:
    """The names of all causes of status changes, in one line."""
    return ", ".join(f"`{cause}`" for cause in Cause) + "."
