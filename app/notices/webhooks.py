"""Edits of webhook endpoints, each with its audit entry; a test message, and messages sent again."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

import structlog
from dramatiq.errors import BrokerConnectionError
from sqlalchemy import Connection

from app.notices import feeds, requests
from db.engine import committed, transaction
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from db.repository.notices import deliveries, endpoint_edits, endpoints
from db.repository.notices.deliveries import Attempt, Taken
from db.repository.notices.endpoints import Endpoint
from db.repository.reading import status_feed
from delivery.outgoing import send
from domain.edits.fields import checked_name
from domain.errors import InvalidValue
from domain.notices import signatures
from domain.notices.addresses import checked_url
from domain.notices.message_types import checked_types
from runtime import clock, encryption
from runtime.settings import SettingsError, settings

log = structlog.get_logger()

KEY_BYTES: Final = 32
OLD_SECRET_SIGNS: Final = timedelta(hours=24)
"""How long after a rotation messages are signed with the old secret too.

`web.api.webhooks` and `web.admin.pages.webhooks` have it in words.
"""


class Range(NamedTuple):
    """Messages to send again: the deliveries with ids from `first` to `last` (None: `first` alone), or statuses.

    `since_change`: the id of a status change; sends the present status of each campaign with a later one. Either
    `first` or `since_change` is given.
    """

    first: int | None = None
    last: int | None = None
    since_change: int | None = None


def add(url: str, types: Sequence[str], description: str, brand_id: int | None, edit: Edit) -> tuple[int, str]:
    """Creates an endpoint; returns its id and its secret, which is shown this once.

    `types`: empty for all. Raises InvalidValue for a wrong value, and without an encryption key. `brand_id` None: an
    endpoint of all brands.
    """
    chosen = checked_types(types)
    checked = checked_url(url, allows_http=settings().webhook_allow_http)
    secret = _new_secret()

    kept = _encrypted(secret)

    def work(connection: Connection) -> int:
        if brand_id is not None:
            catalog.brand(connection, brand_id)
        return endpoint_edits.create(connection, brand_id, checked, chosen, _text(description), kept, edit)

    return committed(work), secret


def change(
    endpoint_id: int,
    edit: Edit,
    *,
    types: Sequence[str] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
    only_brand_id: int | None = None,
) -> None:
    """Changes the given fields of an endpoint (None keeps one) and enqueues a message that sends to it at once.

    Ends its delay after failures. Raises InvalidValue for a wrong value or an unknown endpoint. `only_brand_id`: an
    endpoint of another brand counts as unknown; None: any brand.
    """

    def work(connection: Connection) -> None:
        old = endpoints.required_endpoint(connection, endpoint_id, only_brand_id, locks=True)
        new = {
            "types": old.types if types is None else checked_types(types),
            "description": old.description if description is None else _text(description),
            "enabled": old.enabled if enabled is None else enabled,
        }
        last_notice = feeds.read_notices(connection, old, edit.at)
        endpoint_edits.update(connection, old, new, last_notice, edit)

    committed(work)
    _wake(endpoint_id)


def rotate(endpoint_id: int, edit: Edit, only_brand_id: int | None = None) -> str:
    """Gives the endpoint a new secret and returns it; the old one signs for 24 hours more.

    Raises InvalidValue for an unknown endpoint, and without an encryption key. `only_brand_id`: an endpoint of another
    brand counts as unknown; None: any brand.
    """
    secret = _new_secret()
    kept = _encrypted(secret)

    def work(connection: Connection) -> None:
        old = endpoints.required_endpoint(connection, endpoint_id, only_brand_id, locks=True)
        endpoint_edits.rotate(connection, old, kept, edit.at + OLD_SECRET_SIGNS, edit)

    committed(work)
    return secret


def remove(endpoint_id: int, edit: Edit, only_brand_id: int | None = None) -> None:
    """Removes an endpoint with its deliveries. Raises InvalidValue if there is none.

    `only_brand_id`: an endpoint of another brand counts as unknown; None: any brand.
    """

    def work(connection: Connection) -> None:
        old = endpoints.required_endpoint(connection, endpoint_id, only_brand_id, locks=True)
        endpoint_edits.remove(connection, old, edit)

    committed(work)


def send_test(endpoint_id: int, only_brand_id: int | None = None) -> Attempt:
    """Sends one message of type `endpoint.test` now and returns the attempt, which is stored as well.

    Waits for the answer, at most LOOKUP_SECONDS and DEADLINE_SECONDS together. If the endpoint accepts the message, its
    waiting messages are sent at once. Raises InvalidValue for an unknown endpoint, and without a key that decrypts its
    secret. `only_brand_id`: an endpoint of another brand counts as unknown; None: any brand.
    """
    at = clock.now()

    def begin(connection: Connection) -> tuple[Endpoint, Taken]:
        found = endpoints.required_endpoint(connection, endpoint_id, only_brand_id)
        delivery_id = deliveries.add_test(connection, found.id, found.brand_id, at)
        return found, deliveries.taken(connection, delivery_id)

    endpoint, one = committed(begin)
    try:
        outcome = requests.post(requests.target_of(endpoint, at), one)
    except SettingsError as error:
        raise InvalidValue("secret", str(error)) from None

    def end(connection: Connection) -> None:
        endpoints.locked(connection, endpoint_id)
        deliveries.note_attempt(connection, one.id, outcome.attempt)
        state = "delivered" if outcome.is_success else "failed"
        deliveries.settle(connection, one.id, state, 1, clock.now())
        if outcome.is_success:
            deliveries.retry_now(connection, endpoint_id, clock.now())
            endpoints.note_success(connection, endpoint_id)

    committed(end)
    if outcome.is_success:
        _wake(endpoint_id)
    return outcome.attempt


def resend(endpoint_id: int, chosen: Range, only_brand_id: int | None = None) -> int:
    """Makes new deliveries of earlier messages or of campaigns' statuses, and enqueues their sending; returns how many.

    A campaign's status is sent as it is now. Raises InvalidValue for an unknown endpoint, and if `chosen` has neither
    or both of `first` and `since_change`. `only_brand_id`: an endpoint of another brand counts as unknown; None: any
    brand.
    """
    if (chosen.first is None) == (chosen.since_change is None):
        raise InvalidValue("resend", "name one delivery, a range of deliveries, or a status change")
    at = clock.now()

    def work(connection: Connection) -> int:
        found = endpoints.required_endpoint(connection, endpoint_id, only_brand_id, locks=True)
        if chosen.since_change is not None:
            last = status_feed.last_id(connection)
            return endpoint_edits.resend_statuses(connection, found, chosen.since_change, last, at)
        first = chosen.first or 0
        last = first if chosen.last is None else chosen.last
        return endpoint_edits.resend_deliveries(connection, found, first, last, at)

    count = committed(work)
    _wake(endpoint_id)
    return count


def listed(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as fields for people and programs, without its secrets."""
    names = (
        *("id", "brand_id", "url", "types", "description", "enabled", "disabled_because", "failures"),
        *("failing_since", "wait_until", "previous_secret_until", "after_change_id", "created_at"),
    )
    return {name: getattr(endpoint, name) for name in names}


def shown(endpoint_id: int, only_brand_id: int | None = None) -> dict[str, Any]:
    """One endpoint as fields. Raises InvalidValue if there is none.

    `only_brand_id`: an endpoint of another brand counts as unknown; None: any brand.
    """
    with transaction() as connection:
        return listed(endpoints.required_endpoint(connection, endpoint_id, only_brand_id))


def _wake(endpoint_id: int) -> None:
    """Enqueues a message that sends to the endpoint. If the broker is unreachable, the minute's tick does it later."""
    try:
        send("deliver", endpoint_id)
    except BrokerConnectionError as error:
        log.warning("webhook.not_woken", endpoint_id=endpoint_id, error=type(error).__name__)


def _text(description: str) -> str:
    return checked_name(description) if description.strip() else ""


def _encrypted(secret: str) -> str:
    """The secret as it is stored. Raises InvalidValue without an encryption key."""
    try:
        return encryption.encrypted(secret)
    except SettingsError as error:
        raise InvalidValue("secret", str(error)) from None


def _new_secret() -> str:
    return signatures.secret_of(secrets.token_bytes(KEY_BYTES))
