"""Wrong API keys are throttled by address; valid keys keep working."""

from collections import Counter
from typing import Any

import pytest
from starlette.testclient import TestClient

from domain.access import KeyScope
from tests.world import World
from web.api.request import wrong_keys

HERE = "/api/brands/"
WRONG = f"sg_{'0' * 12}_{'x' * 43}"


@pytest.fixture
def app(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The application of a process that has not seen any key yet."""
    from web.api.request import keys  # noqa: PLC0415 - after the environment is set
    from web.app import create_app  # noqa: PLC0415

    monkeypatch.setattr(keys, "throttle", wrong_keys.Throttle())
    return create_app()


def asked(app: Any, address: str, key: str) -> int:
    client = TestClient(app, client=(address, 50_000))
    return client.get(HERE, headers={"Authorization": f"Bearer {key}"}).status_code


@pytest.mark.parametrize("wrong", [WRONG, "nonsense"])
def test_address_with_many_wrong_keys_is_throttled_without_a_query(
    app: Any, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    from app import access  # noqa: PLC0415 - after the environment is set

    assert Counter(asked(app, "2001:db8::1", wrong) for _ in range(100)) == {401: 60, 429: 40}
    monkeypatch.setattr(access, "caller", None)
    assert asked(app, "2001:db8::2", wrong) == 429


def test_other_addresses_and_recently_valid_keys_are_not_throttled(app: Any) -> None:
    from app import access  # noqa: PLC0415 - after the environment is set

    _, known = access.create_key("known", [KeyScope.READ], "test")
    _, new = access.create_key("new", [KeyScope.READ], "test")
    assert asked(app, "203.0.113.7", known) == 200
    assert 429 in {asked(app, "203.0.113.7", WRONG) for _ in range(61)}
    assert asked(app, "203.0.113.7", known) == 200
    assert asked(app, "203.0.113.7", new) == 429
    assert asked(app, "203.0.113.8", new) == 200


def test_throttled_request_gets_retry_after(app: Any) -> None:
    client = TestClient(app, client=("203.0.113.7", 50_000))
    answers = [client.get(HERE, headers={"Authorization": f"Bearer {WRONG}"}) for _ in range(62)]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers[-2:])


def test_revoked_key_loses_its_exemption_from_the_throttle(app: Any) -> None:
    from app import access  # noqa: PLC0415 - after the environment is set

    key_id, key = access.create_key("program", [KeyScope.READ], "test")
    assert asked(app, "203.0.113.7", key) == 200
    access.revoke_key(key_id, "test")
    assert asked(app, "203.0.113.7", key) == 401
    assert 429 in {asked(app, "203.0.113.7", WRONG) for _ in range(61)}
    assert asked(app, "203.0.113.7", key) == 429


@pytest.mark.parametrize("path", ["/api/spend/", "/api/reported-totals/", "/api/brands/", "/api/alerts/routes/"])
@pytest.mark.parametrize("body", [b"no JSON", b"[" * 60_000], ids=["no JSON", "deep"])
def test_wrong_key_is_refused_before_its_body_is_decoded(app: Any, path: str, body: bytes) -> None:
    from app import access  # noqa: PLC0415 - after the environment is set

    _, known = access.create_key("known", list(KeyScope), "test")
    client = TestClient(app, headers={"Content-Type": "application/json"})
    statuses = [
        client.post(path, content=body, headers={"Authorization": f"Bearer {key}"}).status_code
        for key in (WRONG, known)
    ]
    assert statuses[0] == 401
    assert statuses[1] in {400, 422}


def test_request_with_a_body_is_counted_once(app: Any) -> None:
    from app import access  # noqa: PLC0415 - after the environment is set

    _, known = access.create_key("known", list(KeyScope), "test")
    client = TestClient(app, headers={"Authorization": f"Bearer {known}"})
    answer = client.post("/api/spend/", json=[1])
    assert answer.status_code == 202
    assert int(answer.headers["X-RateLimit-Remaining"]) == int(answer.headers["X-RateLimit-Limit"]) - 1
