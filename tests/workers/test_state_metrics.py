"""The scheduler serves figures of Postgres and of the broker, once for the whole service."""

from pathlib import Path

import httpx2 as httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from db.engine import committed
from db.repository.access.privileges import DatabaseRole
from db.repository.notices import deliveries
from db.repository.shared import watermarks
from delivery.broker import get_broker
from docs.reference import metric_names
from domain.alerts.kinds import AlertKind
from runtime.metrics import registry as of_process
from tests.cli.shell import serving
from tests.kit import put_message
from tests.ports import free_port
from tests.queues import ON_REDIS, is_rabbitmq
from tests.world import UNIT, World, eventually
from web import metrics as web_metrics
from workers import state_metrics
from workers.actors.ingest import ingest_spend
from workers.state_metrics import StateOfService

POSTGRES_AWAY = "postgresql://nobody:hidden@127.0.0.1:1/nothing"
REDIS_AWAY = "redis://:hidden@127.0.0.1:1/0"
BROKER_AWAY = "amqp://:hidden@127.0.0.1:1/%2F" if is_rabbitmq() else REDIS_AWAY
CARRIER = "rabbitmq" if is_rabbitmq() else "redis"
STATES = ("waiting", "delayed", "dead")
REASONS_SEEN = ("malformed", "too_old")
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped() -> str:
    registry = CollectorRegistry()
    registry.register(StateOfService())
    return generate_latest(registry).decode()


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


def test_state_is_read_at_each_scrape(world: World) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand(daily=UNIT)
    world.spend(world.campaign(brand), UNIT)
    world.campaign(world.brand())
    world.ingest([{}, {"event_id": 1}])
    for queue in ("spend", "spend", "schedule"):
        put_message(queue=queue)
    world.tick()
    world.set_clock(at.replace(hour=13))
    found = samples(scraped())
    assert value(found, "spendgate_campaigns", effective_status="active") == 1
    assert value(found, "spendgate_campaigns", effective_status="inactive") == 1
    assert value(found, "spendgate_rejected_events_waiting", reason="malformed") == 2
    assert value(found, "spendgate_queue_messages", queue="spend", state="waiting") == 2
    assert value(found, "spendgate_queue_messages", queue="schedule", state="waiting") == 1
    assert value(found, "spendgate_unfinished_passes") == 0
    for queue in ("spend", "schedule", "enforcement", "reports"):
        for state in ("delayed", "dead"):
            assert value(found, "spendgate_queue_messages", queue=queue, state=state) == 0
    assert value(found, "spendgate_up", part="postgres") == value(found, "spendgate_up", part=CARRIER) == 1


@ON_REDIS
def test_age_and_memory_of_each_queue_are_exported(world: World) -> None:
    empty = samples(scraped())
    assert value(empty, "spendgate_queue_oldest_message_seconds", queue="spend") == 0
    put_message(message_timestamp=1_000_000_000_000, kwargs={"events": [{"source": "x" * 5_000}]})
    put_message(message_timestamp=1_900_000_000_000)
    put_message(queue="schedule", message_timestamp="not a number")
    found = samples(scraped())
    oldest = value(found, "spendgate_queue_oldest_message_seconds", queue="spend")
    assert oldest is not None
    assert oldest > 10 * 365 * 86_400
    assert value(found, "spendgate_queue_oldest_message_seconds", queue="schedule") == 0
    used = value(found, "spendgate_queue_bytes", queue="spend")
    assert used is not None
    assert used > 5_000


def test_open_alerts_and_passes_are_counted(world: World) -> None:
    brand = world.brand()
    world.execute(
        "INSERT INTO alerts (kind, subject, episode, brand_id, state, raised_at)"
        " VALUES ('overspend', 'budget:1', 'a', %s, 'open', now())",
        brand,
    )
    world.execute(
        "INSERT INTO pending_enforcements (brand_id, after_campaign_id, stop_campaign_id, wrapped, done, paused,"
        " activated, cause, total, requested_at) VALUES (%s, 0, 0, false, 0, 0, 0, 'spend', 5000, now())",
        brand,
    )
    found = samples(scraped())
    assert {kind: value(found, "spendgate_open_alerts", kind=kind) for kind in AlertKind} == {
        kind: float(kind == AlertKind.OVERSPEND) for kind in AlertKind
    }
    assert value(found, "spendgate_unfinished_passes") == 1


def test_the_reference_lists_every_metric_with_its_labels(world: World) -> None:
    world.ingest([{}])
    world.campaign(world.brand())
    world.tick()
    web_metrics.note_request("GET", "/", 200, 0.1)
    text = scraped() + generate_latest(of_process).decode()
    families = [one for one in text_string_to_metric_families(text) if not one.name.endswith("_created")]
    described = {name.removesuffix("_total"): metric for name, metric in metric_names.metrics().items()}
    by_workers = {"spendgate_worker_processes", "spendgate_worker_deaths"}
    assert {one.name for one in families} == described.keys() - by_workers
    for family in families:
        metric = described[family.name]
        assert (family.type, family.documentation) == (metric.kind, metric.help_text)
        labels = {label for one in family.samples for label in one.labels} - {"le"}
        assert not family.samples or labels == set(metric.labels), family.name


def test_delayed_and_dead_messages_are_counted(world: World) -> None:
    ingest_spend.send_with_options(kwargs={"events": []}, delay=60_000)
    put_message()
    consumer = get_broker().consume("spend", prefetch=1, timeout=5_000)
    given_up = next(iter(consumer))
    assert given_up is not None
    consumer.nack(given_up)
    consumer.close()
    found = samples(scraped())
    counted = {state: value(found, "spendgate_queue_messages", queue="spend", state=state) for state in STATES}
    assert counted == {"waiting": 0, "delayed": 1, "dead": 1}


def test_age_of_each_watermark_is_exported(world: World) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    committed(lambda connection: watermarks.raise_to(connection, "daily_reset", at))
    world.set_clock(at.replace(minute=1))
    assert value(samples(scraped()), "spendgate_watermark_age_seconds", watermark="daily_reset") == 60


def test_metrics_contain_no_names_and_no_spend(world: World) -> None:
    world.spend(world.campaign(world.brand(name="Hudson Shoes"), name="Secret"), 123_456_789)
    text = scraped()
    for word in ("Hudson", "Secret", "123456789", "1.23456789"):
        assert word not in text


@pytest.mark.parametrize("login", [DatabaseRole.WORKER])  # as the scheduler
def test_stored_data_adds_no_series_and_no_label_values(world: World) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")

    def keep(first: int, count: int) -> None:
        numbers = (first, first + count - 1)
        world.execute(
            "INSERT INTO watermarks (name, reached_at)"
            " SELECT 'export:odd/' || n, now() FROM generate_series(%s::int, %s::int) AS n",
            *numbers,
        )
        world.execute(
            "INSERT INTO rejected_events (source, reason, payload)"
            " SELECT 'odd' || n, 'odd' || n, to_json(n) FROM generate_series(%s::int, %s::int) AS n",
            *numbers,
        )
        for number in range(first, first + count if not is_rabbitmq() else first):
            put_message(queue=f"odd{number}")

    committed(lambda connection: watermarks.raise_to(connection, "daily_reset", at))
    keep(0, 1)
    before = samples(scraped())
    keep(1, 200)
    text = scraped()
    assert samples(text).keys() == before.keys()
    assert "odd" not in text
    assert value(samples(text), "spendgate_rejected_events_waiting", reason="other") == 201


def test_rejected_inputs_and_deliveries_are_counted_up_to_a_bound(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_metrics, "MOST", 2)
    world.execute(
        "INSERT INTO rejected_events (kind, reason, payload)"
        " SELECT kind, reason, to_json(n) FROM generate_series(1, 5) AS n, (VALUES ('spend_event', 'malformed'),"
        " ('message', 'malformed'), ('spend_event', 'too_old')) AS one(kind, reason)"
    )
    world.execute("UPDATE rejected_events SET replayed_at = now() WHERE reason = 'too_old' AND payload::text <> '1'")
    world.execute(
        "WITH made AS (INSERT INTO webhook_endpoints (url, secret, types)"
        " VALUES ('https://one.example', '', '{campaign.paused}') RETURNING id)"
        " INSERT INTO webhook_deliveries (endpoint_id, next_attempt_at, created_at, type, body, state, settled_at)"
        " SELECT id, now(), now(), 'endpoint.test', '{}', state, settled_at FROM made, (VALUES"
        " ('pending', NULL), ('pending', NULL), ('pending', NULL), ('failed', now() - interval '2 days'),"
        " ('delivered', now()), ('failed', now())) AS one(state, settled_at)"
    )
    found = samples(scraped())
    rejected = {reason: value(found, "spendgate_rejected_events_waiting", reason=reason) for reason in REASONS_SEEN}
    assert rejected == {"malformed": 4, "too_old": 1}
    states = {state: value(found, "spendgate_webhook_deliveries", state=state) for state in deliveries.STATES}
    assert states == {"pending": 2, "delivered": 1, "superseded": 0, "failed": 1}


@pytest.mark.parametrize("away", ["postgres", CARRIER])
def test_unreachable_server_is_omitted_and_reported_as_down(world: World, away: str, tmp_path: Path) -> None:
    port = free_port()
    variable = "BROKER_URL" if is_rabbitmq() else "REDIS_URL"
    env = {"DATABASE_URL": POSTGRES_AWAY} if away == "postgres" else {variable: BROKER_AWAY}
    env |= {"SPENDGATE_SCHEDULER_METRICS_PORT": str(port)}

    def text() -> str:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
        except httpx.TransportError:
            return ""

    with serving("-m", "workers.scheduler", output=tmp_path / "log", env=env):
        eventually(lambda: bool(text()), 100)
        found = samples(text())
    names = {name for name, _ in found}
    assert ("spendgate_campaigns" in names) == (away != "postgres")
    assert ("spendgate_queue_messages" in names) == (away != CARRIER)
    for part in ("postgres", CARRIER):
        assert value(found, "spendgate_up", part=part) == (part != away)
