"""Delivers webhooks: finds endpoints with something to send, and sends to one endpoint at a time.

Only the worker with the endpoint's claim reads the feeds for it and sends. A claim ends by itself, later than any
request that its worker began.
"""

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Final
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Connection

from app.notices import feeds, outcomes, requests
from app.notices.address_lookups import LOOKUP_SECONDS
from app.notices.requests import DEADLINE_SECONDS, Outcome, Target
from app.notices.slots import failing_slots, healthy_slots
from app.slots import Slots, take_turns
from db.engine import committed, transaction
from db.repository.notices import deliveries, endpoints
from db.repository.notices.deliveries import Taken
from db.repository.notices.endpoints import Endpoint
from delivery.outgoing import send
from domain.notices import retries
from domain.notices.message_types import OF_CHANGES
from runtime import clock
from runtime.settings import SettingsError

log = structlog.get_logger()

CLAIM: Final = timedelta(seconds=DEADLINE_SECONDS + LOOKUP_SECONDS + 10)
"""The length of a claim after the last request of its worker began."""

AT_ONCE: Final = 8
"""Most requests to one endpoint in progress at once, no two about one campaign; 1 while its circuit is open."""

RUN_SECONDS: Final = 8.0
"""Seconds after which a run begins no request; the next message goes on, so that endpoints take turns."""

POLL_SECONDS: Final = 1.0
"""Seconds between reads of new status changes while requests are in progress."""

PAGES_A_READ: Final = 50
"""Most pages of 2,000 status changes read before requests are chosen: of 100,000 changes, all pauses are sent first."""

WAKE_WITHIN: Final = timedelta(seconds=65)
"""A retry due sooner wakes the endpoint by a delayed message; the minute tick finds later ones."""

NO_KEY_WAIT: Final = timedelta(minutes=1)

UNREAD_FOR: Final = timedelta(seconds=10)
"""Age of a status change at which the minute's tick reads it for an endpoint, because all workers' slots are taken."""


def enqueue_due(at: datetime) -> int:
    """Enqueues a message for each endpoint with something to send, and returns how many; then reports failing ones.

    Also reads the feeds for endpoints that wait for a next try or for a worker, so that a pause which they do not get
    is reported in time.
    """
    due = _due(at)
    for endpoint_id in due:
        send("deliver", endpoint_id)
    with transaction() as connection:
        waiting = endpoints.waiting(connection, sorted(OF_CHANGES), at, at - UNREAD_FOR)
    for endpoint_id in waiting:
        committed(partial(_read_for_waiting, endpoint_id=endpoint_id, at=at))
    committed(partial(outcomes.report_failing, at=at))
    return len(due)


def _read_for_waiting(connection: Connection, endpoint_id: int, at: datetime) -> None:
    endpoint = endpoints.locked(connection, endpoint_id)
    if endpoint is not None and endpoint.enabled:
        _read_pages(connection, endpoint, at)


def _read_pages(connection: Connection, endpoint: Endpoint, at: datetime) -> Endpoint:
    """Makes deliveries of new status changes and notices, PAGES_A_READ pages at most; returns the moved endpoint."""
    for _ in range(PAGES_A_READ):
        endpoint, has_more = feeds.read_page(connection, endpoint, at)
        if not has_more:
            break
    return endpoint


def deliver(endpoint_id: int) -> None:
    """Sends the endpoint's new messages for RUN_SECONDS; if some are left, enqueues a queue message that continues.

    Does nothing if another worker sends to the endpoint. If this process already sends to as many endpoints as
    `app.notices.slots` allows, notes that the endpoint waits: the next call that ends sends to it too or, after
    RUN_SECONDS, enqueues a message for it and each other endpoint that waits.
    """
    take_turns(endpoint_id, _delivered, partial(send, "deliver"), RUN_SECONDS)


def _delivered(endpoint_id: int) -> tuple[Slots, int | None]:
    """Sends to one endpoint if a slot is free.

    Returns the slots of its kind, and the next endpoint that waits for one; None if none waits or no slot was free.
    """
    with transaction() as connection:
        stored = endpoints.endpoint_of(connection, endpoint_id)
    slots = failing_slots() if stored is not None and stored.failures else healthy_slots()
    with slots.one(endpoint_id) as has_slot:
        has_progressed = has_slot and stored is not None and _claimed_run(endpoint_id)
    if has_progressed and _due(clock.now(), endpoint_id):
        send("deliver", endpoint_id)
    return slots, slots.next_waiting() if has_slot else None


def _due(at: datetime, endpoint_id: int | None = None) -> list[int]:
    with transaction() as connection:
        return endpoints.due(connection, sorted(OF_CHANGES), at, endpoint_id)


def _claimed_run(endpoint_id: int) -> bool:
    """Claims the endpoint, sends, and ends the claim; returns whether it sent or read anything."""
    at, by = clock.now(), uuid4()
    claimed = committed(partial(endpoints.claim, endpoint_id=endpoint_id, by=by, at=at, until=at + CLAIM))
    if claimed is None:
        return False
    try:
        run = _Run(requests.target_of(claimed, at), endpoint_id, by)
        run.go()
    except SettingsError as error:
        log.error("webhook.no_key", endpoint_id=endpoint_id, error=str(error))
        committed(partial(endpoints.wait, endpoint_id=endpoint_id, until=at + NO_KEY_WAIT))
        return False
    finally:
        committed(partial(endpoints.end_claim, endpoint_id=endpoint_id, by=by))
    _wake_later(endpoint_id)
    return run.has_progressed


def _wake_later(endpoint_id: int) -> None:
    """Enqueues a delayed message for the endpoint's next retry, if the minute tick would find it too late."""
    with transaction() as connection:
        next_at = endpoints.next_due(connection, endpoint_id)
    pause = None if next_at is None else next_at - clock.now()
    if pause is not None and timedelta(0) < pause <= WAKE_WITHIN:
        send("deliver", endpoint_id, delay_ms=round(pause.total_seconds() * 1000) + 1)


class _Run:
    """One run for one endpoint: requests in progress, no two about one campaign, and their outcomes."""

    def __init__(self, target: Target, endpoint_id: int, by: UUID) -> None:
        self.has_progressed = False
        self._target, self._endpoint_id, self._by = target, endpoint_id, by
        self._in_flight: dict[Future[Outcome], Taken] = {}
        self._ends_at = monotonic() + RUN_SECONDS

    def go(self) -> None:
        """Sends until nothing is due, the run's time is over, or the claim is lost."""
        done: set[Future[Outcome]] = set()
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as pool:
            while True:
                taken = committed(partial(self._step, done=done))
                self._log(done)
                for future in done:
                    self._in_flight.pop(future)
                for one in taken:
                    self._in_flight[pool.submit(requests.post, self._target, one)] = one
                if not self._in_flight:
                    return
                done, _ = wait(self._in_flight, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)

    def _step(self, connection: Connection, done: set[Future[Outcome]]) -> list[Taken]:
        """Stores the outcomes of done requests and returns the next deliveries to send, in one transaction."""
        self._note(connection, done)
        return self._next(connection, [one for future, one in self._in_flight.items() if future not in done])

    def _next(self, connection: Connection, in_flight: Sequence[Taken]) -> list[Taken]:
        """Reads the feeds and returns as many deliveries as may be sent now.

        Returns an empty list if the claim is lost or the time is over.
        """
        at = clock.now()
        endpoint = endpoints.prolong(connection, self._endpoint_id, self._by, at + CLAIM)
        if endpoint is None or monotonic() > self._ends_at:
            return []
        read = _read_pages(connection, endpoint, at)
        self.has_progressed |= read != endpoint
        return self._taken(connection, read, in_flight, at)

    def _taken(
        self, connection: Connection, endpoint: Endpoint, in_flight: Sequence[Taken], at: datetime
    ) -> list[Taken]:
        is_open = retries.is_open(endpoint.failures)
        free = (1 if is_open else AT_ONCE) - len(in_flight)
        if free <= 0 or (endpoint.wait_until is not None and endpoint.wait_until > at):
            return []
        taken = deliveries.take(connection, endpoint.id, at, free, in_flight, is_probe=is_open)
        self.has_progressed |= bool(taken)
        return taken

    def _note(self, connection: Connection, done: set[Future[Outcome]]) -> None:
        """Stores the outcomes of done requests, also if the claim was lost, but not if the endpoint was removed."""
        at = clock.now()
        for future in sorted(done, key=lambda one: self._in_flight[one].id):
            endpoint = endpoints.locked(connection, self._endpoint_id)
            if endpoint is not None:
                outcomes.note(connection, endpoint, self._in_flight[future], future.result(), at)

    def _log(self, done: set[Future[Outcome]]) -> None:
        for future in done:
            one, outcome = self._in_flight[future], future.result()
            fields = {
                "endpoint_id": self._endpoint_id,
                "delivery_id": one.id,
                "type": one.type,
                "brand_id": one.brand_id,
            }
            fields |= {"campaign_id": one.campaign_id, "duration_ms": outcome.attempt.duration_ms}
            if outcome.is_success:
                log.info("webhook.delivered", **fields)
            else:
                log.warning("webhook.failed", status=outcome.attempt.status, error=outcome.attempt.error, **fields)
