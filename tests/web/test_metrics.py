"""The metrics that Prometheus scrapes."""

from http import HTTPStatus

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from docs.reference import metric_names
from tests.kit import put_message
from tests.queues import is_rabbitmq
from tests.web.conftest import Browse
from tests.web.test_pages import POSTGRES_AWAY, REDIS_AWAY
from tests.world import UNIT, World

BROKER_AWAY = "amqp://:hidden@127.0.0.1:1/%2F" if is_rabbitmq() else REDIS_AWAY
CARRIER = "rabbitmq" if is_rabbitmq() else "redis"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

SERVED_BY_WORKERS = {"spendgate_worker_processes", "spendgate_worker_deaths"}


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def client(world: World) -> TestClient:
    """An app in this process."""
    from web.app import create_app  # noqa: PLC0415 - after the environment is set

    return TestClient(create_app(), raise_server_exceptions=False)


def test_metrics_read_the_state_at_each_scrape(world: World, client: TestClient) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand(daily=UNIT)
    world.spend(world.campaign(brand), UNIT)
    world.campaign(world.brand())
    world.ingest([{}, {"event_id": 1}])
    for queue in ("spend", "spend", "schedule"):
        put_message(queue=queue)
    world.tick()
    world.set_clock(at.replace(hour=13))
    found = samples(client.get("/metrics").text)
    assert value(found, "spendgate_campaigns", effective_status="active") == 1
    assert value(found, "spendgate_campaigns", effective_status="inactive") == 1
    assert value(found, "spendgate_rejected_events_waiting", reason="malformed") == 2
    assert value(found, "spendgate_queue_messages", queue="spend", state="waiting") == 2
    assert value(found, "spendgate_queue_messages", queue="schedule", state="waiting") == 1
    for queue in ("spend", "schedule", "enforcement", "reports"):
        for state in ("delayed", "dead"):
            assert value(found, "spendgate_queue_messages", queue=queue, state=state) == 0
    assert value(found, "spendgate_up", part="postgres") == value(found, "spendgate_up", part=CARRIER) == 1


def test_the_reference_lists_every_metric_with_its_labels(world: World, client: TestClient) -> None:
    world.ingest([{}])
    world.campaign(world.brand())
    world.tick()
    assert client.get("/metrics").status_code == HTTPStatus.OK
    families = [
        one for one in text_string_to_metric_families(client.get("/metrics").text) if not one.name.endswith("_created")
    ]
    described = {name.removesuffix("_total"): metric for name, metric in metric_names.metrics().items()}
    assert {one.name for one in families} == described.keys() - SERVED_BY_WORKERS
    for family in families:
        metric = described[family.name]
        assert (family.type, family.documentation) == (metric.kind, metric.help_text)
        labels = {label for one in family.samples for label in one.labels} - {"le"}
        assert not family.samples or labels == set(metric.labels), family.name


def test_delayed_and_dead_messages_are_counted(world: World, client: TestClient) -> None:
    from delivery.broker import get_broker  # noqa: PLC0415

    broker = get_broker()
    from workers.actors.ingest import ingest_spend  # noqa: PLC0415

    ingest_spend.send_with_options(kwargs={"events": []}, delay=60_000)
    put_message()
    consumer = broker.consume("spend", prefetch=1, timeout=5_000)
    given_up = next(iter(consumer))
    assert given_up is not None
    consumer.nack(given_up)
    consumer.close()
    found = samples(client.get("/metrics").text)
    counted = {state: value(found, "spendgate_queue_messages", queue="spend", state=state) for state in STATES}
    assert counted == {"waiting": 0, "delayed": 1, "dead": 1}


STATES = ("waiting", "delayed", "dead")


def test_age_of_each_watermark_is_exported(world: World, client: TestClient) -> None:
    from db.engine import committed  # noqa: PLC0415
    from db.repository.shared import watermarks  # noqa: PLC0415

    at = world.set_clock("2026-06-17T12:00:00Z")
    committed(lambda connection: watermarks.raise_to(connection, "daily_reset", at))
    world.set_clock(at.replace(minute=1))
    found = samples(client.get("/metrics").text)
    assert value(found, "spendgate_watermark_age_seconds", job="daily_reset") == 60


def test_requests_are_counted_by_the_template_of_their_route(world: World, client: TestClient) -> None:
    def counted(method: str, route: str, status: int) -> float:
        found = samples(client.get("/metrics").text)
        requests = value(found, "spendgate_http_requests_total", method=method, route=route, status=str(status)) or 0
        timed = value(found, "spendgate_http_request_seconds_count", method=method, route=route) or 0
        assert timed >= requests
        return requests

    before = [counted("GET", "/api/campaigns/{campaign_id}/", 401), counted("other", "unmatched", 404)]
    for number in range(3):
        client.get(f"/api/campaigns/{number}/")
    client.request("BREW", "/coffee/7")
    after = [counted("GET", "/api/campaigns/{campaign_id}/", 401), counted("other", "unmatched", 404)]
    assert [after[0] - before[0], after[1] - before[1]] == [3, 1]


def test_metrics_contain_no_names_and_no_spend(world: World, client: TestClient) -> None:
    world.spend(world.campaign(world.brand(name="Hudson Shoes"), name="Secret"), 123_456_789)
    text = client.get("/metrics").text
    for word in ("Hudson", "Secret", "123456789", "1.23456789"):
        assert word not in text


def test_request_data_adds_no_series_and_no_label_values(world: World, client: TestClient) -> None:
    from db.engine import committed  # noqa: PLC0415
    from db.repository.shared import watermarks  # noqa: PLC0415

    at = world.set_clock("2026-06-17T12:00:00Z")

    def throw(number: int) -> None:
        odd = f"odd{number}"
        paths = (odd, f"static/{odd}", f"admin/{odd}/list", f"admin/static/{odd}", f"brands/{odd}", f"api/{odd}/")
        for path in paths if number == 0 else [paths[number % len(paths)]]:
            client.get(f"/{path}", follow_redirects=False, headers={"X-Request-ID": odd, "User-Agent": odd})
        client.request(f"ODD{number}", f"/api/campaigns/{number}/")

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
    throw(0)
    keep(0, 1)
    client.get("/metrics")  # a scrape counts itself in the next one
    before = samples(client.get("/metrics").text)
    keep(1, 200)
    for number in range(1, 201):
        throw(number)
    text = client.get("/metrics").text
    assert samples(text).keys() == before.keys()
    assert "odd" not in text
    assert value(samples(text), "spendgate_rejected_events_waiting", reason="other") == 201


@pytest.mark.parametrize("away", ["postgres", CARRIER])
def test_unreachable_server_is_omitted_and_reported_as_down(browse: Browse, away: str) -> None:
    variable = "BROKER_URL" if is_rabbitmq() else "REDIS_URL"
    env = {"DATABASE_URL": POSTGRES_AWAY} if away == "postgres" else {variable: BROKER_AWAY}
    with browse(**env) as client:
        found = samples(client.get("/metrics").text)
    names = {name for name, _ in found}
    assert ("spendgate_campaigns" in names) == (away != "postgres")
    assert ("spendgate_queue_messages" in names) == (away != CARRIER)
    for part in ("postgres", CARRIER):
        assert value(found, "spendgate_up", part=part) == (part != away)
