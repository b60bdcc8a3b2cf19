"""Checks the API keys of open streams again; streams with the same key share a result."""

from time import monotonic
from typing import Final

from anyio import to_thread

from app import access
from app.access import Caller
from db.failures import TRANSIENT_ERRORS

SHARED_SECONDS: Final = 20.0
"""Seconds for which streams with the same key share the result of a check."""

_checked: dict[str, tuple[float, Caller | None]] = {}
"""By API key of a stream: when it was last checked (`monotonic`), and its caller then; None: no longer valid."""


async def is_still_valid(key: str, caller: Caller) -> bool:
    """Whether the key still identifies this caller, with its scopes and brand; True also if Postgres fails for now."""
    checked_at, found = _checked.get(key, (0.0, None))
    if monotonic() >= checked_at + SHARED_SECONDS:
        try:
            found = await to_thread.run_sync(access.caller, key)
        except TRANSIENT_ERRORS:
            return True
        _forget_old()
        _checked[key] = monotonic(), found
    return found == caller


def _forget_old() -> None:
    too_old = monotonic() - SHARED_SECONDS
    for key in [key for key, (checked_at, _) in _checked.items() if checked_at < too_old]:
        del _checked[key]
