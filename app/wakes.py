"""Wakes the actors that carry decisions out of Spendgate, right after the decisions are committed."""

import math
import time
from collections.abc import Iterable
from typing import Final

import structlog

from db.engine import transaction
from db.repository.alerts import messages
from db.repository.enforcement.changes import DecidedChange
from db.repository.notices import endpoints
from db.repository.platforms import connections
from delivery.outgoing import send
from domain.notices.message_types import OF_CHANGES

log = structlog.get_logger()

KNOWN_SECONDS: Final = 2.0
"""A process reads again after this time which brands have platforms or webhooks, so toggles cost no query each."""


def after_toggles(changes: Iterable[DecidedChange]) -> None:
    """Sends each actor that carries decisions out at most one message about these committed changes.

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
    """Wakes the accounts of toggled brands that are on a connected platform."""
    brand_ids = sorted(toggled & _brands_on_platforms())
    if brand_ids:
        send("wake_platforms", brand_ids)


_known: tuple[float, frozenset[int]] = (0.0, frozenset())
"""The brands on connected platforms, and until when (monotonic) this process takes them for known."""


def _brands_on_platforms() -> frozenset[int]:
    global _known  # noqa: PLW0603 - a cache of the process; two threads that both renew it agree
    known_until, brand_ids = _known
    if time.monotonic() >= known_until:
        with transaction() as connection:
            brand_ids = connections.brands_visited(connection)
        _known = time.monotonic() + KNOWN_SECONDS, brand_ids
    return brand_ids


WAKE_SECONDS: Final = 0.25
"""A process wakes webhooks at most once in this time: each wake enqueues every endpoint with something to send."""

_webhooks_waked_for: float = -math.inf
"""The moment (monotonic) at which this process's last wake of webhooks is due; it covers the toggles before."""


def _deliver_webhooks(toggled: set[int]) -> None:
    """Wakes the delivery of webhooks if an endpoint gets status changes of one of the brands, or of all."""
    global _webhooks_waked_for  # noqa: PLW0603 - of the process; two threads that both wake cost one message more
    wanted = _brands_of_webhooks()
    now = time.monotonic()
    if _webhooks_waked_for > now or not (None in wanted or toggled & wanted):
        return
    delay_seconds = max(0.0, _webhooks_waked_for + WAKE_SECONDS - now)
    _webhooks_waked_for = now + delay_seconds
    send("deliver_webhooks", delay_ms=round(delay_seconds * 1000) or None)


_known_webhooks: tuple[float, frozenset[int | None]] = (0.0, frozenset())
"""The brands of enabled endpoints (None: of all brands), and until when (monotonic) they are taken for known."""


def _brands_of_webhooks() -> frozenset[int | None]:
    global _known_webhooks  # noqa: PLW0603 - a cache of the process; two threads that both renew it agree
    known_until, brand_ids = _known_webhooks
    if time.monotonic() >= known_until:
        with transaction() as connection:
            brand_ids = endpoints.brands_told(connection, sorted(OF_CHANGES))
        _known_webhooks = time.monotonic() + KNOWN_SECONDS, brand_ids
    return brand_ids


ALERT_DELAY_SECONDS: Final = 2.0
ALERT_PAUSE_SECONDS: Final = 20.0
"""A process wakes the evaluation of alerts so long after a toggle, and at most once in ALERT_PAUSE_SECONDS: it compares
the budgets of all brands with new spend, which must not compete with counting. Toggles meanwhile wait for the next
evaluation, at the minute at the latest."""

_alerts_waked_until: float = -math.inf
"""Until when (monotonic) this process has waked the evaluation of alerts, or found that no channel sends them."""


def _wake_alerts(_toggled: set[int]) -> None:
    """Wakes the evaluation of alerts in ALERT_DELAY_SECONDS if some alerts go to a channel."""
    global _alerts_waked_until  # noqa: PLW0603 - a cache of the process; two threads that both renew it agree
    if time.monotonic() < _alerts_waked_until:
        return
    _alerts_waked_until = time.monotonic() + ALERT_PAUSE_SECONDS
    with transaction() as connection:
        has_routes = messages.has_routes(connection)
    if has_routes:
        send("send_alerts", delay_ms=round(ALERT_DELAY_SECONDS * 1000))
