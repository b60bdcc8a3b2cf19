"""Limits how many endpoints one process sends to at once, so that hanging ones leave worker threads to other work."""

from typing import Final

from app.slots import Slots
from runtime.once import Once
from runtime.settings import settings

THREADS_A_SLOT: Final = 4
"""Worker threads of a process for each endpoint without failures that it sends to at once; at least one endpoint."""

THREADS_A_FAILING_SLOT: Final = 16
"""Worker threads of a process for each failing endpoint that it sends to at once; at least one endpoint."""


@Once
def healthy_slots() -> Slots:
    """The slots of this process for endpoints without failures since their last success."""
    return Slots(max(1, settings().worker_threads // THREADS_A_SLOT))


@Once
def failing_slots() -> Slots:
    """The slots of this process for endpoints with failures since their last success."""
    return Slots(max(1, settings().worker_threads // THREADS_A_FAILING_SLOT))
