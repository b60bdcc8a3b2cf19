"""Wakes the actors that tell ad platforms, webhooks and alert channels about decisions, right after their commit."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
from sqlalchemy import Connection

from db.engine import transaction
from db.repository.alerts import messages
from db.repository.enforcement.changes import DecidedChange
from db.repository.notices import endpoints
from db.repository.platforms import connections
from delivery.outgoing import send
from domain.notices.message_types import OF_CHANGES

log = structlog.get_logger()

KNOWN_SECONDS: Final = 2.0
"""Seconds for which a process caches which brands have platforms or webhooks, so that not each toggle costs a query."""


@dataclass
class _KnownBrands:
    """A cache of brand ids, valid for KNOWN_SECONDS after they were read; times are monotonic seconds.

    Without a lock: two threads may both read the brands.
    """

    known_until: float = -math.inf
    brand_ids: frozenset[int | None] = frozenset()

    def read_by(self, read: Callable[[Connection], frozenset[int | None]]) -> frozenset[int | None]:
        """Returns the cached brand ids; if the cache has expired, reads them by `read` first."""
        if time.monotonic() >= self.known_until:
            with transaction() as connection:
                self.brand_ids = read(connection)
            self.known_until = time.monotonic() + KNOWN_SECONDS
        return self.brand_ids


@dataclass
class _OfProcess:
    """The brands to wake, as this process read them, and the wakes that it has sent; times are monotonic seconds.

    Without a lock: if two threads change it at the same time, they may send a message too many.
    """

    on_platforms: _KnownBrands = field(default_factory=_KnownBrands)
    with_webhooks: _KnownBrands = field(default_factory=_KnownBrands)
    """The brands of enabled endpoints; with None among them, an endpoint gets the changes of all brands."""
    webhooks_waked_for: float = -math.inf
    """The moment at which the last wake of webhooks is due; it covers the toggles before."""
    alerts_waked_until: float = -math.inf
    """The moment before which this process sends no further wake of the evaluation of alerts."""


_of_process = _OfProcess()


def clear_wakes() -> None:
    """Forgets which brands are on platforms or have webhooks, and which wakes were sent; for tests."""
    global _of_process  # noqa: PLW0603 - one for the process
    _of_process = _OfProcess()


def after_toggles(changes: Iterable[DecidedChange]) -> None:
    """Sends the actors for platforms, webhooks and alerts at most one message each about these committed changes.

    Never raises: a message that is not sent costs latency alone, since each of these actors also runs every minute.
    """
    toggled = {change.brand_id for change in changes if change.is_toggle}
    if not toggled:
        return
    for wake in (_wake_platforms, _deliver_webhooks, _wake_alerts):
        try:
            wake(toggled)
        except Exception as error:  # noqa: BLE001 - a committed decision must not fail for its message
            log.warning("wake.failed", error=type(error).__name__)


def _wake_platforms(toggled: set[int]) -> None:
    """Sends one message to visit the platform accounts of the toggled brands that have a connected account."""
    brand_ids = sorted(toggled & _of_process.on_platforms.read_by(connections.brands_visited))
    if brand_ids:
        send("wake_platforms", brand_ids)


WAKE_SECONDS: Final = 0.25
"""Shortest time in seconds between two wakes of webhooks by a process: each enqueues all endpoints with messages."""


def _deliver_webhooks(toggled: set[int]) -> None:
    """Wakes the delivery of webhooks if an endpoint gets status changes of one of the brands, or of all brands.

    Sends no message while an earlier one, which covers these toggles, is still delayed.
    """
    state = _of_process
    wanted = state.with_webhooks.read_by(partial(endpoints.brands_with_endpoints, of_changes=sorted(OF_CHANGES)))
    now = time.monotonic()
    if state.webhooks_waked_for > now or not (None in wanted or toggled & wanted):
        return
    delay_seconds = max(0.0, state.webhooks_waked_for + WAKE_SECONDS - now)
    state.webhooks_waked_for = now + delay_seconds
    send("deliver_webhooks", delay_ms=round(delay_seconds * 1000) or None)


ALERT_DELAY_SECONDS: Final = 2.0
"""Delay, in seconds, of the message by which a process wakes the evaluation of alerts after a toggle."""

ALERT_PAUSE_SECONDS: Final = 20.0
"""Shortest time, in seconds, between two wakes of the evaluation of alerts by one process.

An evaluation compares the budgets of all brands with new spend, which must not compete with counting. Toggles meanwhile
wait for the next evaluation, at the minute at the latest.
"""


def _wake_alerts(_toggled: set[int]) -> None:
    """Wakes the evaluation of alerts in ALERT_DELAY_SECONDS if some alerts go to a channel.

    Does nothing within ALERT_PAUSE_SECONDS after the last call that was not skipped.
    """
    state = _of_process
    if time.monotonic() < state.alerts_waked_until:
        return
    state.alerts_waked_until = time.monotonic() + ALERT_PAUSE_SECONDS
    with transaction() as connection:
        has_routes = messages.has_routes(connection)
    if has_routes:
        send("send_alerts", delay_ms=round(ALERT_DELAY_SECONDS * 1000))
