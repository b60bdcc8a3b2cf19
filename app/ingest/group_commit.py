"""Group commit: what several threads have to commit goes into one transaction, as a database does for its clients."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Generic, TypeVar

from db.engine import is_transient

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class CommitAlone(Exception):
    """The common transaction failed for a reason that may be one item's: each thread commits its own item."""


class _Ticket(Generic[Item, Outcome]):
    def __init__(self, item: Item, weight: int) -> None:
        self.item = item
        self.weight = weight
        self.turn = threading.Lock()
        self.turn.acquire()
        self.outcomes: list[Outcome] = []
        self.error: BaseException = CommitAlone()
        self.leads = False
        self.group: list[_Ticket[Item, Outcome]] = []


class GroupCommit(Generic[Item, Outcome]):
    """One thread leads: it commits its own item with all that wait meanwhile, and then the next one leads.

    No thread waits for company: an item that comes while nothing is being committed is committed at once, alone.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Outcome]], *, max_weight: int) -> None:
        self._commit = commit
        self._max_weight = max_weight
        self._guard = threading.Lock()
        self._waiting: deque[_Ticket[Item, Outcome]] = deque()
        self._is_led = False

    def committed(self, item: Item, weight: int) -> Outcome:
        """Commits the item, with others where there are any; returns its own outcome.

        Raises the error of a commit that a later try may get past, and of an item that was committed alone;
        CommitAlone for any other error of a group.
        """
        ticket: _Ticket[Item, Outcome] = _Ticket(item, weight)
        try:
            with self._guard:
                self._waiting.append(ticket)
                ticket.leads = not self._is_led
                self._is_led = True
            if not ticket.leads:
                ticket.turn.acquire()
            if ticket.leads:
                self._lead(ticket)
        finally:
            self._leave(ticket)
        if not ticket.outcomes:
            raise ticket.error
        return ticket.outcomes[0]

    def _lead(self, leader: _Ticket[Item, Outcome]) -> None:
        """Commits the leader's item with those behind it, and gives each its outcome or error."""
        with self._guard:
            leader.group = list(islice(self._waiting, self._group_size()))
            for _ in leader.group:
                self._waiting.popleft()
        try:
            outcomes = self._commit([ticket.item for ticket in leader.group])
        except Exception as error:  # noqa: BLE001 - raised again in the thread of each ticket
            for ticket in leader.group:
                ticket.error = error if len(leader.group) == 1 or is_transient(error) else CommitAlone()
        else:
            for ticket, outcome in zip(leader.group, outcomes, strict=True):
                ticket.outcomes.append(outcome)

    def _group_size(self) -> int:
        """How many tickets from the front of the queue share the next transaction; at least one."""
        weight = 0
        for number, ticket in enumerate(self._waiting):
            weight += ticket.weight
            if number and weight > self._max_weight:
                return number
        return len(self._waiting)

    def _leave(self, ticket: _Ticket[Item, Outcome]) -> None:
        """Ends a ticket wherever its thread is, interrupted or done: a leader's group and its successor go on."""
        with self._guard:
            for one in (ticket, *ticket.group):
                if one in self._waiting:
                    self._waiting.remove(one)
            if ticket.leads:
                ticket.leads = False
                self._is_led = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].leads = True
                    self._waiting[0].turn.release()
            for one in ticket.group:
                if one is not ticket:
                    one.turn.release()
            ticket.group = []
