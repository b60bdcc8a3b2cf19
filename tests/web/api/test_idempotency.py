"""Repeated creates have one effect and get the same answer."""

from datetime import timedelta
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from tests.kit import at_once
from tests.web.api.conftest import Program, held_up
from tests.world import World

KEY = {"Idempotency-Key": "order 66/a"}
PLACES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("/api/brands/", {"name": "Hudson Shoes"}, {"name": "Other"}),
    ("/api/campaigns/", {"brand_id": 1, "name": "Search"}, {"brand_id": 1, "name": "Other"}),
    (
        "/api/budgets/",
        {"brand_id": 1, "period": "daily", "limit_micros": 5},
        {"brand_id": 1, "period": "daily", "limit_micros": 6},
    ),
]


def _made(world: World) -> int:
    return len(world.rows("SELECT 1 FROM audit_entries WHERE changed_by <> 'test'"))


def _same(first: Response, again: Response) -> None:
    assert (again.status_code, again.json()) == (201, first.json())
    for name in ("Location", "ETag"):
        assert again.headers[name] == first.headers[name]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(("path", "body", "other"), PLACES)
def test_repeated_create_has_one_effect_and_the_same_answer(
    world: World, client: TestClient, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    world.brand()
    first = client.post(path, json=body, headers=KEY)
    assert first.status_code == 201
    client.patch(first.headers["Location"], json={"name": "Changed"})
    made = _made(world)
    _same(first, client.post(path, json=body, headers=KEY))
    refused = client.post(path, json=other, headers=KEY)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert _made(world) == made


def test_idempotency_key_of_another_path_is_refused(world: World, client: TestClient) -> None:
    world.brand()
    client.post("/api/campaigns/", json={"brand_id": 1, "name": "Search"}, headers=KEY)
    assert client.post("/api/brands/", json={"brand_id": 1, "name": "Search"}, headers=KEY).status_code == 422
    assert client.post("/api/brands/", json={"name": "Search"}, headers=KEY).status_code == 422
    assert len(world.rows("SELECT 1 FROM brands")) == 1


def test_idempotency_keys_of_different_programs_are_independent(world: World, program: Program) -> None:
    bodies = [program().post("/api/brands/", json={"name": "Hudson"}, headers=KEY).json() for _ in range(2)]
    assert bodies[0]["id"] != bodies[1]["id"]


def test_refused_create_does_not_use_up_its_idempotency_key(world: World, client: TestClient) -> None:
    campaign = {"brand_id": 1, "name": "Search"}
    assert client.post("/api/campaigns/", json=campaign, headers=KEY).status_code == 404
    world.brand()
    assert client.post("/api/campaigns/", json=campaign, headers=KEY).status_code == 201
    assert len(world.rows("SELECT 1 FROM idempotency_keys")) == 1


def test_idempotency_key_expires_after_a_day(world: World, client: TestClient) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    first = client.post("/api/brands/", json={"name": "Hudson"}, headers=KEY)
    world.set_clock(at + timedelta(hours=24) - timedelta(microseconds=1))
    _same(first, client.post("/api/brands/", json={"name": "Hudson"}, headers=KEY))
    world.set_clock(at + timedelta(hours=24))
    later = client.post("/api/brands/", json={"name": "Another"}, headers=KEY)
    assert (later.status_code, later.json()["id"] != first.json()["id"]) == (201, True)
    _same(later, client.post("/api/brands/", json={"name": "Another"}, headers=KEY))


@pytest.mark.parametrize("key", [b"", b"x" * 201, b"tab\t", b"\xfcmlaut"])
def test_idempotency_key_is_1_to_200_printable_ascii_characters(world: World, client: TestClient, key: bytes) -> None:
    refused = client.post("/api/brands/", json={"name": "Hudson"}, headers={b"Idempotency-Key": key})
    assert refused.status_code == 422
    assert world.rows("SELECT 1 FROM brands") == []


@pytest.mark.parametrize(("path", "body", "other"), PLACES)
def test_second_of_two_concurrent_creates_gets_the_first_answer(
    world: World, client: TestClient, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    world.brand()
    answers: list[Response] = []
    at_once(*[lambda: answers.append(client.post(path, json=body, headers=KEY))] * 4)
    first = [answer for answer in answers if "Idempotent-Replayed" not in answer.headers]
    assert len(first) == 1
    for answer in answers:
        if answer is not first[0]:
            _same(first[0], answer)
    assert _made(world) == 1


def test_second_concurrent_create_waits_for_the_first_to_commit(world: World, client: TestClient) -> None:
    """A lock delays the first create before its commit; the second must not answer earlier."""
    world.brand()
    answers: list[Response] = []

    def send() -> None:
        answers.append(client.post("/api/brands/", json={"name": "Hudson"}, headers=KEY))

    held_up(world, "LOCK TABLE audit_entries IN EXCLUSIVE MODE", send, send)
    assert sorted("Idempotent-Replayed" in answer.headers for answer in answers) == [False, True]
    assert answers[0].json() == answers[1].json()
    assert len(world.rows("SELECT 1 FROM brands")) == 2
