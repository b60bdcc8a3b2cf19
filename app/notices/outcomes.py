"""Stores outcomes of webhook requests: the attempt, the delivery's state and next try, and the endpoint's circuit.

Adds the notices that an endpoint fails.
"""

import random
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Connection

from app.notices.requests import Outcome
from db.repository.notices import deliveries, endpoints, notices
from db.repository.notices.deliveries import Taken
from db.repository.notices.endpoints import Endpoint, Undelivered
from db.repository.notices.notices import NoticeKind
from domain.notices import retries

log = structlog.get_logger()

REPORTED_AFTER: Final = timedelta(minutes=1)
"""Age of an undelivered pause at which a notice says that its endpoint fails."""

GONE: Final = "it answered 410 Gone"


def note(connection: Connection, endpoint: Endpoint, one: Taken, outcome: Outcome, at: datetime) -> None:
    """Stores the outcome of one request, about the delivery `one`. The caller has locked the endpoint's row."""
    deliveries.note_attempt(connection, one.id, outcome.attempt)
    if outcome.is_success:
        _note_success(connection, endpoint, one, at)
    else:
        _note_failure(connection, endpoint, one, outcome, at)


def _note_success(connection: Connection, endpoint: Endpoint, one: Taken, at: datetime) -> None:
    deliveries.settle(connection, one.id, "delivered", one.attempts + 1, at)
    if retries.is_open(endpoint.failures):
        deliveries.retry_now(connection, endpoint.id, at)
    endpoints.note_success(connection, endpoint.id)


def _note_failure(connection: Connection, endpoint: Endpoint, one: Taken, outcome: Outcome, at: datetime) -> None:
    if outcome.is_gone:
        _end(connection, endpoint, at)
        return
    is_due = one.next_attempt_at <= at
    attempts = one.attempts + is_due
    next_at = retries.next_attempt_at(attempts, at, _jitter()) if is_due else one.next_attempt_at
    if next_at is not None and outcome.retry_after is not None:
        next_at = max(next_at, outcome.retry_after)
    deliveries.settle(connection, one.id, "failed" if next_at is None else "pending", attempts, at, next_at)
    is_open = retries.is_open(endpoint.failures)
    waits = [outcome.retry_after]
    if one.attempts == 0 or is_open:
        failures = endpoints.note_failure(connection, endpoint.id, at)
        waits.append(retries.next_probe_at(failures, at, _jitter()))
    until = max((wait for wait in waits if wait is not None), default=None)
    if until is not None:
        endpoints.wait(connection, endpoint.id, until)


def _end(connection: Connection, endpoint: Endpoint, at: datetime) -> None:
    """Disables an endpoint that answered 410, fails its pending deliveries, and adds a notice about it."""
    if not endpoints.disable(connection, endpoint.id, GONE, at):
        return
    deliveries.fail_all(connection, endpoint.id, at)
    body = {"endpoint_id": endpoint.id, "description": endpoint.description, "reason": "gone", "failing_since": None}
    key = f"{endpoint.id}:gone:{at.isoformat()}"
    notices.add(connection, NoticeKind.ENDPOINT_FAILING, key, endpoint.brand_id, body, at)
    log.error("webhook.endpoint_gone", endpoint_id=endpoint.id)


def report_failing(connection: Connection, at: datetime) -> int:
    """Adds a notice for each endpoint with a pause that has been undelivered for REPORTED_AFTER; returns how many.

    Leaves out endpoints that were reported before and have not recovered since.
    """
    before = at - REPORTED_AFTER
    endpoints.forget_reported(connection, before)
    found = endpoints.unreported(connection, before)
    for one in found:
        endpoints.note_reported(connection, one.id, at)
        log.error("webhook.endpoint_failing", endpoint_id=one.id, brand_id=one.brand_id, campaign_id=one.campaign_id)
    for one in found:
        key = f"{one.id}:{at.isoformat()}"
        notices.add(connection, NoticeKind.ENDPOINT_FAILING, key, one.brand_id, _failing_fields(one), at)
    return len(found)


def _failing_fields(one: Undelivered) -> dict[str, object]:
    return {
        "endpoint_id": one.id,
        "description": one.description,
        "reason": "undelivered_pause",
        "failing_since": one.failing_since and one.failing_since.isoformat(),
        "undelivered_since": one.undelivered_since.isoformat(),
        "campaign_brand_id": one.of_brand_id,
        "campaign_id": one.campaign_id,
        "status_change_id": one.status_change_id,
    }


def _jitter() -> float:
    return random.random()  # noqa: S311 - jitter, no secret
