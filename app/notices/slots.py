"""How many endpoints one process sends to at once, so that hanging ones leave worker threads to all other work."""

from typing import Final

from app.slots import Slots
from runtime.once import Once
from runtime.settings import settings

SHARE: Final = 4
FAILING_SHARE: Final = 16
"""One of so many worker threads may send to endpoints; of those that fail, one of FAILING_SHARE, at least one each."""


@Once
def healthy_slots() -> Slots:
    """The places of this process for endpoints that answered last."""
    return Slots(max(1, settings().worker_threads // SHARE))


@Once
def failing_slots() -> Slots:
    """The places of this process for endpoints that fail."""
    return Slots(max(1, settings().worker_threads // FAILING_SHARE))
