"""The metrics of a web process: its requests, in a bounded number of series."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from tests.world import World

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


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


def test_requests_add_no_series_beyond_a_bound(world: World, client: TestClient) -> None:
    def throw(number: int) -> None:
        odd = f"odd{number}"
        paths = (odd, f"static/{odd}", f"admin/{odd}/list", f"admin/static/{odd}", f"brands/{odd}", f"api/{odd}/")
        for path in paths if number == 0 else [paths[number % len(paths)]]:
            client.get(f"/{path}", follow_redirects=False, headers={"X-Request-ID": odd, "User-Agent": odd})
        client.request(f"ODD{number}", f"/api/campaigns/{number}/")

    throw(0)
    client.get("/metrics")  # a scrape counts itself in the next one
    before = samples(client.get("/metrics").text)
    for number in range(1, 201):
        throw(number)
    text = client.get("/metrics").text
    assert samples(text).keys() == before.keys()
    assert "odd" not in text


def test_web_process_reads_no_server_for_a_scrape(world: World, client: TestClient) -> None:
    names = {name for name, _ in samples(client.get("/metrics").text)}
    assert not names & {"spendgate_campaigns", "spendgate_queue_messages", "spendgate_up"}
