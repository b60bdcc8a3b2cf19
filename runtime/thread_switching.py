"""Shortens, during long work, the interval after which a thread lets the process's other threads run.

Python's default is 5 ms; worker processes raise it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

SHORT_SECONDS: Final = 0.0002
"""The thread switch interval during long work, so that a waiting thread runs almost at once."""

_lock = Lock()
_blocks: list[float] = []
"""For each block that runs now, the switch interval in seconds from before the first of them began."""


@contextmanager
def frequent_switches() -> Iterator[None]:
    """Lets the process's other threads run every SHORT_SECONDS while the block, or another such block, runs."""
    with _lock:
        _blocks.append(_blocks[0] if _blocks else sys.getswitchinterval())
        sys.setswitchinterval(SHORT_SECONDS)
    try:
        yield
    finally:
        with _lock:
            before = _blocks.pop()
            if not _blocks:
                sys.setswitchinterval(before)
