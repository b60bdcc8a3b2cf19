"""How many accounts one process reads and changes at once, so that a slow platform leaves threads to all other work."""

from collections.abc import Callable
from functools import partial
from typing import Final

from app.platforms import spend, statuses, visits
from app.slots import Slots, take_turns
from delivery.outgoing import send
from runtime.once import Once
from runtime.settings import settings

THREADS_A_PLACE: Final = 10
"""Worker threads of a process for each place at a healthy account, for each kind of work (spend, statuses).

A kind has at least one place. With THREADS_A_FAILING_PLACE, all places are a quarter of 32 threads.
"""

THREADS_A_FAILING_PLACE: Final = 32
"""Worker threads of a process for each place at a failing account, for each kind of work; at least one place."""

RUN_SECONDS: Final = 8.0
"""Seconds after which a message works for no further account: it enqueues a message for each account that waits."""


class Turns:
    """The places of this process for one kind of work, some for healthy accounts and some for failing ones.

    An account fails if its last request did.
    """

    def __init__(self, actor: str, work: Callable[[int], None]) -> None:
        """`actor`: the name of the actor that does `work` for one account."""
        self._actor, self._work = actor, work
        self.healthy = Slots(max(1, settings().worker_threads // THREADS_A_PLACE))
        self.failing = Slots(max(1, settings().worker_threads // THREADS_A_FAILING_PLACE))

    def take(self, account: int) -> None:
        """Works for the account, then for those that waited meanwhile. Without a free place, the account waits, once.

        After RUN_SECONDS it enqueues a message for each account that still waits.
        """
        take_turns(account, self._done, partial(send, self._actor), RUN_SECONDS)

    def _done(self, account: int) -> tuple[Slots, int | None]:
        """Works for one account if a place is free.

        Returns the places of its kind, and the next account that waits; None if none waits or no place was free.
        """
        stored = visits.stored_connection(account)
        slots = self.failing if stored is not None and stored.failures else self.healthy
        with slots.one(account) as has_slot:
            if has_slot:
                self._work(account)
        return slots, slots.next_waiting() if has_slot else None


@Once
def reads() -> Turns:
    """The places in which this process reads the spend of accounts; created at the first call."""
    return Turns("pull_spend", spend.pull)


@Once
def changes() -> Turns:
    """The places in which this process reads and changes the statuses of accounts; created at the first call."""
    return Turns("reconcile_account", statuses.reconcile_account)
