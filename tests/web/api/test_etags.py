"""Entity tags: an edit with a stale tag is refused; changes by enforcement do not make a tag stale."""

from collections.abc import Callable

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from tests.web.api.conftest import Program, held_up
from tests.world import UNIT, World

Change = Callable[[TestClient, str, dict[str, str]], Response]
DAYPART = {"weekday": 1, "starts_minute": 0, "ends_minute": 60}


def _rename(client: TestClient, here: str, headers: dict[str, str]) -> Response:
    return client.patch(here, json={"name": "Another"}, headers=headers)


def _archive(client: TestClient, here: str, headers: dict[str, str]) -> Response:
    return client.delete(here, headers=headers)


def _limit(client: TestClient, here: str, headers: dict[str, str]) -> Response:
    return client.patch(here, json={"limit_micros": 7 * UNIT}, headers=headers)


def _open(client: TestClient, here: str, headers: dict[str, str]) -> Response:
    return client.put(here, json={"dayparts": [DAYPART]}, headers=headers)


RESOURCES: list[tuple[str, Change, Change]] = [
    ("/api/brands/1/", _rename, _archive),
    ("/api/campaigns/1/", _rename, _archive),
    ("/api/budgets/1/", _limit, _archive),
    ("/api/campaigns/1/schedule/", _open, _open),
]


@pytest.fixture
def things(world: World) -> World:
    """Brand 1 with campaign 1 and budget 1."""
    world.campaign(world.brand(daily=5 * UNIT))
    return world


@pytest.mark.parametrize(("here", "change", "next_change"), RESOURCES)
def test_edit_with_a_stale_tag_is_refused(
    things: World, client: TestClient, here: str, change: Change, next_change: Change
) -> None:
    seen = {"If-Match": client.get(here).headers["ETag"]}
    first = change(client, here, seen)
    assert first.status_code == 200
    refused = next_change(client, here, seen)
    assert (refused.status_code, refused.headers["ETag"]) == (412, first.headers["ETag"])
    assert refused.headers["content-type"] == "application/problem+json"
    assert client.get(here).json() == first.json()
    for match in (first.headers["ETag"], f'"other", {first.headers["ETag"]}', "*"):
        assert change(client, here, {"If-Match": match}).status_code == 200


@pytest.mark.parametrize("match", ["W/{}", '"other"', "{}x", "nonsense", '""'])
def test_other_tags_do_not_match(things: World, client: TestClient, match: str) -> None:
    etag = client.get("/api/brands/1/").headers["ETag"]
    sent = match.format(etag) if match != "{}x" else etag[:-1] + 'x"'
    status = _rename(client, "/api/brands/1/", {"If-Match": sent}).status_code
    assert status == (200 if match == "{}x" else 412)  # edits compare only the first half of a tag


def test_changes_by_enforcement_change_the_tag_but_do_not_make_edits_stale(things: World, client: TestClient) -> None:
    here = "/api/campaigns/1/"
    before = client.get(here).headers["ETag"]
    assert client.get(here, headers={"If-None-Match": before}).status_code == 304
    things.spend(1, 5 * UNIT)
    after = client.get(here, headers={"If-None-Match": before})
    assert (after.status_code, after.json()["effective_status"]) == (200, "inactive")
    assert _rename(client, here, {"If-Match": before}).status_code == 200


@pytest.mark.parametrize("here", [here for here, _, _ in RESOURCES])
def test_matching_if_none_match_gets_304(things: World, client: TestClient, here: str) -> None:
    etag = client.get(here).headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = client.get(here, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    assert client.get(here, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(("here", "change", "next_change"), RESOURCES)
def test_exactly_one_of_two_concurrent_edits_with_one_tag_succeeds(
    things: World, program: Program, here: str, change: Change, next_change: Change
) -> None:
    clients = [program(), program()]
    seen = {"If-Match": clients[0].get(here).headers["ETag"]}
    statuses: list[int] = []

    def edit(client: TestClient, change: Change) -> Callable[[], None]:
        return lambda: statuses.append(change(client, here, seen).status_code)

    held_up(
        things, "SELECT 1 FROM brands WHERE id = 1 FOR UPDATE", edit(clients[0], change), edit(clients[1], next_change)
    )
    won = [status for status in statuses if status in {200, 204}]
    assert len(won) == 1
    assert set(statuses) - set(won) <= {412, 404}  # 404: the budget was removed first
    assert len(things.rows("SELECT 1 FROM audit_entries WHERE changed_by <> 'test'")) == 1
