"""The event stream of status changes for programs: each toggle once and in order, also after a lost connection."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx2 as httpx

from app import access
from domain.access import KeyScope
from tests.web.conftest import Browse
from tests.web.test_stream import listening
from tests.world import World, eventually

PATH = "/api/status-changes/stream"


class Follower:
    """The changes and event ids that a stream has sent so far."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.changes: list[dict[str, Any]] = []
        self.is_over = False

    def read(self, lines: Iterator[str]) -> None:
        """Reads until the stream ends. A beat has no id and an empty object."""
        for line in lines:
            if line.startswith("id: "):
                self.ids.append(line.removeprefix("id: "))
            if line.startswith("data: ") and line != "data: {}":
                self.changes.append(json.loads(line.removeprefix("data: ")))
        self.is_over = True


def key(brand: int | None = None) -> dict[str, str]:
    """The header of a new key that may read."""
    _, made = access.create_key("follower", [KeyScope.READ], "test", brand_id=brand)
    return {"Authorization": f"Bearer {made}"}


@contextmanager
def following(client: httpx.Client, query: str, headers: dict[str, str]) -> Iterator[Follower]:
    """Reads the stream in a thread until the block ends."""
    follower, connected = Follower(), threading.Event()
    opened: list[httpx.Response] = []

    def follow() -> None:
        with (
            suppress(httpx.StreamError, httpx.TransportError),
            client.stream("GET", f"{PATH}{query}", headers=headers) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream"), answer.read()
            opened.append(answer)
            connected.set()
            follower.read(answer.iter_lines())

    threading.Thread(target=follow, daemon=True).start()
    eventually(connected.is_set)
    yield follower
    opened[0].close()


def test_program_follows_status_changes_and_goes_on_after_the_last_event(world: World, browse: Browse) -> None:
    brand, other = world.brand(), world.brand()
    campaign, elsewhere = world.campaign(brand), world.campaign(other)
    with browse() as client:
        headers = key()
        with following(client, "?after=0", headers) as everything, following(client, "", key(other)) as of_brand:
            for status in ("paused", "enabled"):
                world.set_status(campaign, status)
            world.set_status(elsewhere, "paused")
            eventually(lambda: len(everything.changes) == 3 and len(of_brand.changes) == 1)
        listed = client.get("/api/status-changes/", headers=headers).json()
        assert everything.changes == listed["items"]
        assert everything.ids == [f"{listed['epoch']}.{item['id']}" for item in listed["items"]]
        assert of_brand.changes == listed["items"][2:]
        with following(client, "", {**headers, "Last-Event-ID": everything.ids[0]}) as back:
            eventually(lambda: len(back.changes) == 2)
        assert back.changes == listed["items"][1:]


def test_stream_answers_410_if_ids_have_started_again(world: World, browse: Browse) -> None:
    campaign = world.campaign(world.brand())
    world.set_status(campaign, "paused")
    with browse() as client:
        headers = key()
        epoch = client.get("/api/status-changes/", headers=headers).json()["epoch"]
        for gone in ({"Last-Event-ID": "0123456789abcdef.1"}, {"Last-Event-ID": f"{epoch}.999"}):
            assert client.get(PATH, headers={**headers, **gone}).status_code == 410
        for malformed in ("7", "last", f"{epoch}.{'9' * 19}"):
            assert client.get(PATH, headers={**headers, "Last-Event-ID": malformed}).status_code == 422
        assert client.get(f"{PATH}?after=999", headers=headers).status_code == 410
        assert client.get(PATH).status_code == 401


def test_open_stream_ends_in_a_new_epoch_and_its_position_answers_410(world: World, browse: Browse) -> None:
    campaign = world.campaign(world.brand())
    with browse() as client:
        headers = key()
        with following(client, "?after=0", headers) as follower:
            world.set_status(campaign, "paused")
            eventually(lambda: len(follower.ids) == 1)
            world.execute("UPDATE feed_epoch SET epoch = gen_random_uuid()")
            eventually(lambda: follower.is_over)
        assert client.get(PATH, headers={**headers, "Last-Event-ID": follower.ids[0]}).status_code == 410


def test_open_page_with_an_id_that_was_never_assigned_receives_the_next_changes(world: World, browse: Browse) -> None:
    campaign = world.campaign(world.brand())
    with browse() as client, listening(client, "/changes/stream?after=999") as page:
        world.set_status(campaign, "paused")
        eventually(lambda: len(page.ids) == 1)
