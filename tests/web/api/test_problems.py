"""Every refusal of the API is problem details that name the error."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.web.conftest import Browse
from tests.world import World
from web.http.bodies import MAX_API_BYTES
from web.problems import FIELD_LENGTH, MAX_ERRORS_LISTED

JSON = {"Content-Type": "application/json"}
NINE_MINUTES = '{"weekday": 1, "starts_minute": 0, "ends_minute": 9}'


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
        (b'{"name": "\xff"}', 422),
        (b'{"name": "\\ud800"}', 422),
        (b'{"name": "\\u0000"}', 422),
        (b'{"na\\ud800me\\u0000": 1}', 422),
        (b'{"name": ' + b"9" * 5000 + b"}", 422),
        (b'{"name": "Good", "x": ' + b"9" * 5000 + b"}", 422),
        (b'{"name": "Good", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}", 422),
        (b"[" * 65_536, 400),
        (b'{"name": NaN}', 422),
        (b'{"name": "Good", "name": 7}', 422),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(world: World, client: TestClient, body: bytes, status: int) -> None:
    _is_problem(client, status, "POST", "/api/brands/", content=body, headers=JSON)
    assert world.rows("SELECT 1 FROM brands") == []


def test_body_without_a_json_content_type_is_refused(client: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        _is_problem(client, 422, "POST", "/api/brands/", content=b'{"name": "x"}', headers={"Content-Type": kind})


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", ["/api/spend/", "/api/reported-totals/", "/api/brands/", "/api/nothing/", "/nowhere/"])
def test_a_body_over_its_limit_is_refused_whether_its_length_is_announced_or_not(
    client: TestClient, announced: bool, path: str
) -> None:
    from runtime.settings import settings  # noqa: PLC0415 - after the environment is set

    small = path in {"/api/brands/", "/api/nothing/"}
    limit = MAX_API_BYTES if small else settings().max_body_bytes
    large = b" " * (limit + 1)

    def parts() -> Iterator[bytes]:
        yield large[:100]
        yield large[100:]

    problem = _is_problem(client, 413, "POST", path, content=large if announced else parts(), headers=JSON)
    assert str(limit) in problem["detail"]
    exact = client.post(path, content=large[:-1], headers=JSON)
    assert exact.status_code == 404 if "no" in path else 422


@pytest.mark.parametrize("kind", [{}, {"Authorization": "Basic c2c6c2c="}, {"Authorization": "Bearer "}])
@pytest.mark.parametrize("method", ["POST", "PATCH", "GET"])
def test_body_without_a_key_is_not_read(client: TestClient, method: str, kind: dict[str, str]) -> None:
    read: list[bytes] = []

    def parts() -> Iterator[bytes]:
        for _ in range(3):
            read.append(b" " * 1_000_000)
            yield read[-1]

    class Watching:
        """Notes whether the application asked for the body."""

        asked = 0

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def watched() -> Any:
                self.asked += scope["type"] == "http"
                return await receive()

            await client.app(scope, watched, send)

    watching = Watching()
    stranger = TestClient(watching, raise_server_exceptions=False)
    problem = _is_problem(stranger, 401, method, "/api/spend/", content=parts(), headers=JSON | kind)
    assert watching.asked == 0
    assert "API key" in problem["detail"]
    answer = stranger.request(method, "/api/spend/", content=b"x" * 100, headers=kind)
    assert (answer.status_code, answer.headers["WWW-Authenticate"], watching.asked) == (401, "Bearer", 0)


def test_the_process_answers_without_waiting_for_a_body_that_has_no_key(browse: Browse) -> None:
    with browse() as served:
        address = (served.base_url.host, served.base_url.port or 80)
        with socket.create_connection(address, timeout=30) as caller:
            caller.sendall(b"POST /api/spend/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n[")
            assert caller.recv(100).startswith(b"HTTP/1.1 401 ")


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
def test_malformed_request_is_refused(client: TestClient, method: str, url: str, status: int) -> None:
    if status == 200:
        assert client.request(method, url).status_code == 200
    else:
        _is_problem(client, status, method, url)


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "/api/brands/?colour=red&limit=5&size=1"),
        ("GET", "/api/spend/?brand_id=1&size=2&colour=red"),
        ("POST", "/api/spend/?colour=red&size=1"),
        ("GET", "/api/campaigns/1/explain/?size=1&colour=red&size=2"),
    ],
)
def test_unknown_query_parameters_are_refused(world: World, client: TestClient, method: str, url: str) -> None:
    world.campaign(world.brand())
    problem = _is_problem(client, 422, method, url)
    assert {error["field"] for error in problem["errors"]} == {"colour", "size"}


def test_unknown_query_parameter_without_a_key_gets_401(client: TestClient) -> None:
    _is_problem(client, 401, "GET", "/api/brands/?colour=red", headers={"Authorization": "Bearer none"})


def test_every_invalid_field_is_named(client: TestClient) -> None:
    sent = {"brand_id": 0, "period": "hourly", "limit_micros": -1, "colour": "red"}
    problem = _is_problem(client, 422, "POST", "/api/budgets/", json=sent)
    assert {error["field"] for error in problem["errors"]} == {"brand_id", "period", "limit_micros", "colour"}


@pytest.mark.parametrize(
    ("method", "url", "body", "field", "message"),
    [
        ("POST", "/api/brands/", "{", "body", "is not JSON: Expecting property name enclosed in double quotes"),
        (
            "POST",
            "/api/brands/",
            '{"name": "a", "currency": "XXZ"}',
            "currency",
            "is not an ISO 4217 code such as USD",
        ),
        ("POST", "/api/campaigns/", '{"brand_id": 7, "name": "a"}', "brand_id", "there is no brand 7"),
        ("PATCH", "/api/campaigns/7/", '{"name": "a"}', "campaign_id", "there is no campaign 7"),
        ("GET", "/api/spend/?campaign_id=7", None, "campaign_id", "there is no campaign 7"),
        ("GET", "/api/budgets/7/", None, "budget_id", "there is no budget 7"),
        (
            "POST",
            "/api/rejected-events/7/replay/",
            None,
            "rejected_id",
            "there is no rejected event 7 that waits for a replay",
        ),
        (
            "PUT",
            "/api/campaigns/1/schedule/",
            f'{{"dayparts": [{NINE_MINUTES}, {NINE_MINUTES.replace("0", "9")}]}}',
            "dayparts.1",
            "must end after it starts, in minutes from 0 to 1440: 9 to 9",
        ),
    ],
)
def test_invalid_field_is_named_as_it_was_sent(
    world: World, client: TestClient, method: str, url: str, body: str | None, field: str, message: str
) -> None:
    world.campaign(world.brand())
    answer = client.request(method, url, content=body, headers=JSON).json()
    assert answer["errors"] == [{"field": field, "message": message}]
    assert answer["detail"] == f"{field}: {message}"


def test_errors_list_the_first_invalid_fields_and_cut_long_names(client: TestClient) -> None:
    sent: dict[str, Any] = {f"{number:02}{'x' * 500}": 1 for number in range(30)}
    problem = _is_problem(client, 422, "POST", "/api/brands/", json={"name": "Hats", **sent})
    assert len(problem["errors"]) == MAX_ERRORS_LISTED == 20
    assert {len(error["field"]) for error in problem["errors"]} == {FIELD_LENGTH} == {200}
    assert len(problem["detail"]) < 300


def test_path_without_its_last_slash_redirects(client: TestClient) -> None:
    answer = client.get("/api/brands", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "http://testserver/api/brands/")


def test_constraint_violation_gets_409(world: World, client: TestClient) -> None:
    world.execute("ALTER TABLE brands ADD CONSTRAINT no_hats CHECK (name <> 'Hats')")
    _is_problem(client, 409, "POST", "/api/brands/", json={"name": "Hats"})


def test_lock_timeout_of_postgres_gets_503(world: World, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
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
