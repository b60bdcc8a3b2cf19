"""Whatever is sent, a refusal is problem details that name what is wrong."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.world import World

JSON = {"Content-Type": "application/json"}


def _is_problem(client: TestClient, status: int, method: str, url: str, **sent: Any) -> dict[str, Any]:
    answer = client.request(method, url, **sent)
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (problem["type"], problem["status"]) == ("about:blank", status)
    assert problem["title"]
    assert problem["detail"]
    return problem


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[]", 422),
        (b"null", 422),
        (b"\xff\xfe\x00", 400),
        (b'"\xed\xa0\x80"', 422),
        (b'{"name": "\xff"}', 400),
        (b'{"name": "\\ud800"}', 422),
        (b'{"name": "\\u0000"}', 422),
        (b'{"na\\ud800me\\u0000": 1}', 422),
        (b'{"name": ' + b"9" * 5000 + b"}", 400),
        (b"[" * 100_000, 400),
        (b'{"name": NaN}', 422),
        (b'{"name": "Good", "name": 7}', 422),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(world: World, client: TestClient, body: bytes, status: int) -> None:
    _is_problem(client, status, "POST", "/api/brands/", content=body, headers=JSON)
    assert world.rows("SELECT 1 FROM brands") == []


def test_a_body_that_does_not_say_that_it_is_json_is_refused(client: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        _is_problem(client, 422, "POST", "/api/brands/", content=b'{"name": "x"}', headers={"Content-Type": kind})


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", ["/api/spend/", "/api/brands/", "/nowhere/"])
def test_a_body_over_the_limit_is_refused_whether_its_length_is_announced_or_not(
    client: TestClient, announced: bool, path: str
) -> None:
    from runtime.settings import settings  # noqa: PLC0415

    large = b" " * (settings().max_body_bytes + 1)

    def parts() -> Iterator[bytes]:
        yield large[:100]
        yield large[100:]

    answer = client.post(path, content=large if announced else parts(), headers=JSON)
    reads_it = announced or path != "/nowhere/"
    assert (answer.status_code, answer.headers["content-type"]) == (
        413 if reads_it else 404,
        "application/problem+json",
    )
    assert answer.headers["X-Request-ID"]
    exact = client.post("/api/brands/", content=large[:-1], headers=JSON)
    assert exact.status_code == 422


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/api/nothing/", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/api/brands/", 405),
        ("GET", "/api/campaigns/?limit=0", 422),
        ("GET", "/api/campaigns/?limit=501", 422),
        ("GET", "/api/campaigns/?after=-1", 422),
        ("GET", "/api/campaigns/?after=9223372036854775808", 422),
        ("GET", "/api/campaigns/?platform=%00", 422),
        ("GET", "/api/campaigns/?external_id=%F0%9F%98", 200),
        ("GET", "/api/brands/?time_zone=%ED%A0%80", 200),
        ("GET", "/api/rejected-events/?reason=a%00b", 422),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(client: TestClient, method: str, url: str, status: int) -> None:
    if status == 200:
        assert client.request(method, url).status_code == 200
    else:
        _is_problem(client, status, method, url)


def test_every_field_at_fault_is_named(client: TestClient) -> None:
    sent = {"brand_id": 0, "period": "hourly", "limit_micros": -1, "colour": "red"}
    problem = _is_problem(client, 422, "POST", "/api/budgets/", json=sent)
    assert {error["field"] for error in problem["errors"]} == {"brand_id", "period", "limit_micros", "colour"}


def test_the_address_without_its_last_slash_leads_to_it(client: TestClient) -> None:
    answer = client.get("/api/brands", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "http://testserver/api/brands/")


def test_what_the_tables_refuse_is_no_fault_of_ours(world: World, client: TestClient) -> None:
    world.execute("ALTER TABLE brands ADD CONSTRAINT no_hats CHECK (name <> 'Hats')")
    _is_problem(client, 409, "POST", "/api/brands/", json={"name": "Hats"})


def test_while_postgres_keeps_us_waiting_it_is_a_503(
    world: World, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg  # noqa: PLC0415

    from db.engine import engine  # noqa: PLC0415
    from runtime.settings import settings  # noqa: PLC0415

    brand = world.brand()
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", "100")
    settings.cache_clear()
    engine().dispose()
    engine.cache_clear()
    with psycopg.connect(world.url) as other:
        other.execute("SELECT 1 FROM brands WHERE id = %s FOR UPDATE", (brand,))
        _is_problem(client, 503, "PATCH", f"/api/brands/{brand}/", json={"name": "Late"})
    assert client.patch(f"/api/brands/{brand}/", json={"name": "Late"}).status_code == 200
