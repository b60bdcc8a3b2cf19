"""Figures of Postgres and of the broker for Prometheus, without spend or names: served once, by the scheduler.

The values of every label come from a fixed list; any other value of a table or queue counts as `other` or is left out,
so that the number of series is bounded.
"""

from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import Any, Final

from dramatiq.errors import BrokerConnectionError
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.platforms.registry import ADAPTERS
from app.platforms.seen import age, quota_left
from db.engine import snapshot
from db.repository.health import processes, state_counts
from db.repository.health.processes import Process
from db.repository.ledger import rejected
from db.repository.notices import deliveries
from db.repository.platforms import seen
from db.repository.platforms.seen import Tally
from db.repository.reading import listing, overview
from delivery.broker import get_broker
from delivery.queues import QUEUES
from domain.alerts.kinds import AlertKind
from domain.campaigns import EffectiveStatus
from domain.inputs.reasons import Reason
from runtime import clock
from runtime.metrics import OTHER
from runtime.settings import settings
from workers.paced import Paced

REASONS: Final = frozenset(Reason)
MOST: Final = 10_000
"""Rows of one kind that a scrape counts at most: there may be very many rejected inputs and deliveries."""


class StateOfService(Collector):
    """Reads gauges from Postgres and the broker at each scrape; leaves out the gauges of an unreachable one.

    `spendgate_up` says which of them answered. Serves one scrape at a time, so that it needs one connection. `Paced`
    caches figures whose queries read a whole table.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._campaigns: Paced[Mapping[str, int]] = Paced()
        self._alerts: Paced[Mapping[str, int]] = Paced()
        self._platforms: Paced[Sequence[Tally]] = Paced()

    def describe(self) -> list[GaugeMetricFamily]:
        """Returns an empty list; otherwise the registry would read the servers when this collector is registered."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Reads Postgres and the broker, and yields all gauges; waits until another scrape has ended."""
        with self._guard:
            yield from self._collected()

    def _collected(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily("spendgate_up", "1 if the server answered this scrape, else 0", labels=["part"])
        carrier = "rabbitmq" if settings().queue_is_rabbitmq else "redis"
        sources: tuple[Source, ...] = (
            ("postgres", self._postgres, (DBAPIError, PoolTimeout)),
            (carrier, _queues, (BrokerConnectionError,)),
        )
        for source, read, faults in sources:
            try:
                families = list(read())
            except faults:
                families = []
            up.add_metric([source], bool(families))
            yield from families
        yield up

    def _postgres(self) -> Iterator[GaugeMetricFamily]:
        at = clock.read()
        with snapshot() as connection:
            tally = self._campaigns.read(lambda: overview.tally(connection))
            alerts = self._alerts.read(lambda: state_counts.open_alerts(connection))
            tallies = self._platforms.read(lambda: seen.tally(connection, at))
            waiting = rejected.counts_up_to(connection, MOST)
            reached, live = listing.watermarks(connection), processes.live(connection)
            passes = state_counts.unfinished_passes(connection)
            others = [*_platforms(connection, tallies, at), *_webhooks(connection, at)]
        yield from _campaigns_and_rejected(tally, waiting)
        yield _gauge(
            "spendgate_watermark_age_seconds",
            "Seconds since the moment up to which a scheduled job is done",
            "watermark",
            {name: (at - reached_at).total_seconds() for name, reached_at in reached.items()},
        )
        yield from _processes(live)
        yield _gauge(
            "spendgate_open_alerts",
            "Open alerts by kind",
            "kind",
            {kind.value: float(alerts.get(kind, 0)) for kind in AlertKind},
        )
        yield GaugeMetricFamily(
            "spendgate_unfinished_passes",
            "Brands with very many campaigns whose enforcement is under way, in parts",
            passes,
        )
        yield from others


Source = tuple[str, Callable[[], Iterator[GaugeMetricFamily]], tuple[type[Exception], ...]]
"""A server's name, the function that reads its gauges, and the errors that mean it is unreachable."""


def _campaigns_and_rejected(tally: Mapping[str, int], waiting: Mapping[str, int]) -> Iterator[GaugeMetricFamily]:
    """Yields the number of campaigns by effective status, and of waiting rejected inputs by reason."""
    yield _gauge(
        "spendgate_campaigns",
        "Campaigns by effective status",
        "effective_status",
        {status.value: float(tally.get(status, 0)) for status in EffectiveStatus},
    )
    yield _gauge(
        "spendgate_rejected_events_waiting",
        "Rejected events not yet replayed, by reason; of one kind and reason 10,000 are counted at most",
        "reason",
        _by_reason(waiting),
    )


def _processes(live: Sequence[Process]) -> Iterator[GaugeMetricFamily]:
    """Yields the number of live processes, and their largest clock offset in seconds, never negative, by kind."""
    kinds = Counts(one.kind for one in live)
    yield _gauge("spendgate_processes", "Processes that reported within three minutes", "kind", dict(kinds))
    yield _gauge(
        "spendgate_clock_offset_seconds",
        "Largest offset of a live process's clock from Postgres's, in seconds",
        "kind",
        {kind: max(_offset_seconds(one) for one in live if one.kind == kind) for kind in kinds},
    )


def _offset_seconds(process: Process) -> float:
    return 0.0 if process.clock_offset is None else abs(process.clock_offset.total_seconds())


def _platforms(connection: Connection, tallies: Sequence[Tally], at: datetime) -> Iterator[GaugeMetricFamily]:
    """Yields figures of connected ad platform accounts. Without accounts, gauges by platform have no samples."""
    by_state = Counts(dict.fromkeys(seen.STATES, 0))
    oldest: dict[str, float] = {}
    for one in tallies:
        by_state[one.state] += one.accounts
        name = one.platform if one.platform in ADAPTERS else OTHER
        waits = age(one.oldest_unconfirmed_at, at)
        oldest[name] = max(oldest.get(name, 0.0), 0.0 if waits is None else waits.total_seconds())
    yield _gauge("spendgate_platform_accounts", "Connected ad platform accounts by state", "state", dict(by_state))
    yield _gauge(
        "spendgate_platform_oldest_unconfirmed_pause_seconds",
        "Age of the oldest pause that an ad platform has not confirmed, 0 if there is none",
        "platform",
        oldest,
    )
    yield _gauge(
        "spendgate_platform_quota_left",
        "Operations left in the 24-hour quota of an ad platform",
        "platform",
        dict(quota_left(connection, [one.platform for one in tallies if one.platform in ADAPTERS], at)),
    )
    yield _gauge(
        "spendgate_platform_usage_percent",
        "Highest percentage that an account has used of a quota of its own, as the ad platform said in the last hour",
        "platform",
        {platform: percent for platform, percent in seen.usages(connection, at).items() if platform in ADAPTERS},
    )


def _webhooks(connection: Connection, at: datetime) -> Iterator[GaugeMetricFamily]:
    """Yields figures of webhooks, by three queries that are small without endpoints."""
    counts, oldest = deliveries.counts_up_to(connection, MOST), deliveries.oldest_pause(connection)
    states = {state: float(counts.get(state, 0)) for state in deliveries.STATES}
    yield _gauge(
        "spendgate_webhook_deliveries",
        "Deliveries of webhooks by state: of those that wait 10,000 at most, and the latest 10,000 that are settled",
        "state",
        states,
    )
    waits = 0.0 if oldest is None else (at - oldest).total_seconds()
    yield GaugeMetricFamily(
        "spendgate_webhook_oldest_undelivered_pause_seconds",
        "Age of the oldest pause that an endpoint has not got, 0 if there is none",
        waits,
    )
    yield GaugeMetricFamily(
        "spendgate_webhook_failing_endpoints",
        "Enabled endpoints with a failed attempt since their last success",
        deliveries.failing(connection),
    )


def _by_reason(waiting: Mapping[str, int]) -> dict[str, float]:
    by_reason: Counts[str] = Counts()
    for reason, inputs in waiting.items():
        by_reason[reason if reason in REASONS else OTHER] += inputs
    return dict(by_reason)


def _gauge(name: str, help_text: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, help_text, labels=[label])
    for value_of, value in values.items():
        gauge.add_metric([value_of], value)
    return gauge


def _queues() -> Iterator[GaugeMetricFamily]:
    broker = get_broker()
    messages = GaugeMetricFamily("spendgate_queue_messages", "Messages by queue and state", labels=["queue", "state"])
    for (queue, state), count in broker.lengths().items():
        if queue in QUEUES:
            messages.add_metric([queue, state], count)
    yield messages
    yield _gauge(
        "spendgate_queue_bytes", "Memory of a queue's messages, in bytes", "queue", _of_queues(broker.bytes_held())
    )
    yield _gauge(
        "spendgate_queue_oldest_message_seconds",
        "Age of the oldest message that waits, in seconds, 0 if none waits",
        "queue",
        _of_queues(broker.oldest_waiting()),
    )
    yield _memory_share(broker.info())


def _memory_share(info: Mapping[str, Any]) -> GaugeMetricFamily:
    """Returns Redis's memory as a share of `maxmemory`, 0 to 1; no sample without that limit, and for RabbitMQ."""
    limit = int(info.get("maxmemory", 0))
    return GaugeMetricFamily(
        "spendgate_redis_memory_share",
        "Memory that Redis uses, as a share of maxmemory",
        int(info["used_memory"]) / limit if limit else None,
    )


def _of_queues(values: Mapping[str, float]) -> dict[str, float]:
    return {queue: value for queue, value in values.items() if queue in QUEUES}
