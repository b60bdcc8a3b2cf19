"""What several threads have to commit goes into one transaction, as a database's group commit does."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class CommitAlone(Exception):
    """The common transaction failed: each thread commits its own."""


class _Ticket(Generic[Item, Outcome]):
    def __init__(self, item: Item, weight: int) -> None:
        self.item = item
        self.weight = weight
        self.turn = threading.Lock()
        self.turn.acquire()
        self.outcomes: list[Outcome] = []
        self.leads = False


class Together(Generic[Item, Outcome]):
    """One thread leads: it commits its own item with all that wait meanwhile, and then the next one leads.

    Nobody waits for company: who comes while nothing is being committed commits at once, alone. After a transaction
    that failed, as one does that waited too long for locks, the next are half as heavy, and then grow again.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Outcome]], *, max_weight: int) -> None:
        self._commit = commit
        self._max_weight = max_weight
        self._weight_allowed = max_weight
        self._guard = threading.Lock()
        self._waiting: deque[_Ticket[Item, Outcome]] = deque()
        self._is_led = False

    def committed(self, item: Item, weight: int) -> Outcome:
        """Commits the item, with others where there are any; returns its own outcome. Raises CommitAlone."""
        ticket: _Ticket[Item, Outcome] = _Ticket(item, weight)
        try:
            with self._guard:
                self._waiting.append(ticket)
                ticket.leads = not self._is_led
                self._is_led = True
            if not ticket.leads:
                ticket.turn.acquire()
            if ticket.leads:
                self._lead()
        except BaseException:
            self._abandon(ticket)
            raise
        if not ticket.outcomes:
            raise CommitAlone
        return ticket.outcomes[0]

    def _lead(self) -> None:
        """Commits those in front of the queue, the caller's own first; then lets the next one lead."""
        group = self._group()
        weight = sum(ticket.weight for ticket in group)
        allowed = weight // 2
        try:
            for ticket, outcome in zip(group, self._commit([ticket.item for ticket in group]), strict=True):
                ticket.outcomes.append(outcome)
            allowed = max(2 * weight, self._weight_allowed)
        except Exception as error:
            raise CommitAlone from error
        finally:
            with self._guard:
                self._weight_allowed = min(self._max_weight, allowed)
                self._hand_on()
            for ticket in group:
                ticket.turn.release()

    def _group(self) -> list[_Ticket[Item, Outcome]]:
        with self._guard:
            group = [self._waiting.popleft()]
            weight = group[0].weight
            while self._waiting and weight + self._waiting[0].weight <= self._weight_allowed:
                group.append(self._waiting.popleft())
                weight += group[-1].weight
        return group

    def _hand_on(self) -> None:
        self._is_led = bool(self._waiting)
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].turn.release()

    def _abandon(self, ticket: _Ticket[Item, Outcome]) -> None:
        """Its thread was interrupted: nobody may wait for it to lead."""
        with self._guard:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
                if ticket.leads:
                    self._hand_on()
