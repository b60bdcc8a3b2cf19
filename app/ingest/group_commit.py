"""Group commit: commits the work of several threads in one transaction, as databases do for their clients."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, Generic, TypeVar

from db.failures import is_transient
from runtime import tracing

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class CommitAlone(Exception):
    """The common transaction failed, perhaps because of one item: each thread must commit its own item alone."""


class _Ticket(Generic[Item, Outcome]):
    def __init__(self, item: Item, weight: int) -> None:
        self.item = item
        self.weight = weight
        self.traceparent = tracing.traceparent()
        self.turn = threading.Lock()
        self.turn.acquire()
        self.outcomes: list[Outcome] = []
        self.error: BaseException = CommitAlone()
        self.leads = False
        self.group: list[_Ticket[Item, Outcome]] = []


class GroupCommit(Generic[Item, Outcome]):
    """One thread at a time is the leader: it commits its own item with all waiting ones, then the next thread leads.

    An item that arrives while no commit is running is committed at once, alone. `max_weight` bounds the sum of a
    group's weights; a heavier item is committed alone.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Outcome]], *, max_weight: int) -> None:
        self._commit = commit
        self._max_weight = max_weight
        self._guard = threading.Lock()
        self._waiting: deque[_Ticket[Item, Outcome]] = deque()
        self._is_led = False

    def committed(self, item: Item, weight: int) -> Outcome:
        """Commits the item, together with waiting ones, and returns its own outcome.

        Raises the commit's error if it is transient or the item was alone in its group, else CommitAlone.
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
        """Commits the leader's item with those that wait behind it, and stores each one's outcome or error."""
        with self._guard:
            leader.group = list(islice(self._waiting, self._group_size()))
            for _ in leader.group:
                self._waiting.popleft()
        try:
            with _span_of(leader):
                outcomes = self._commit([ticket.item for ticket in leader.group])
        except Exception as error:  # noqa: BLE001 - raised again in the thread of each ticket
            for ticket in leader.group:
                ticket.error = error if len(leader.group) == 1 or is_transient(error) else CommitAlone()
        else:
            for ticket, outcome in zip(leader.group, outcomes, strict=True):
                ticket.outcomes.append(outcome)

    def _group_size(self) -> int:
        """The number of tickets at the front of the queue that share the next transaction; at least one."""
        weight = 0
        for number, ticket in enumerate(self._waiting):
            weight += ticket.weight
            if number and weight > self._max_weight:
                return number
        return len(self._waiting)

    def _leave(self, ticket: _Ticket[Item, Outcome]) -> None:
        """Ends a ticket whose thread is done or was interrupted; releases the leader's group and the next leader."""
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


def _span_of(leader: _Ticket[Any, Any]) -> AbstractContextManager[object]:
    """The span of a group's transaction, linked to the spans of the other threads; none if no thread has a span."""
    others = [ticket.traceparent for ticket in leader.group if ticket is not leader and ticket.traceparent]
    if leader.traceparent is None and not others:
        return tracing.NOTHING
    parents = () if leader.traceparent is not None else others[:1]
    return tracing.span("group commit", parents=parents, links=others[len(parents) :])
