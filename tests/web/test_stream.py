"""Each status change reaches every open page once, also after a lost connection."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx2 as httpx

from tests.web.conftest import Browse
from tests.world import World, eventually


class Listener:
    """The ids and rows that a stream has sent so far."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.rows: list[str] = []

    def read(self, lines: Iterator[str]) -> None:
        for line in lines:
            if line.startswith("id: "):
                self.ids.append(int(line.removeprefix("id: ")))
            if line.startswith("data: "):
                self.rows.append(line.removeprefix("data: "))


@contextmanager
def listening(client: httpx.Client, address: str, **headers: str) -> Iterator[Listener]:
    """Reads the stream in a thread until the block ends; like a browser, connects again after a lost connection."""
    listener, is_over = Listener(), threading.Event()
    opened: list[httpx.Response] = []
    connected = threading.Event()

    def listen() -> None:
        while not is_over.is_set():
            seen = {"Last-Event-ID": str(listener.ids[-1])} if listener.ids else headers
            with (
                suppress(httpx.StreamError, httpx.TransportError),
                client.stream("GET", address, headers=seen) as answer,
            ):
                assert answer.headers["content-type"].startswith("text/event-stream")
                opened[:] = [answer]
                connected.set()
                listener.read(answer.iter_lines())

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    eventually(connected.is_set)
    yield listener
    is_over.set()
    opened[0].close()


def test_a_toggle_reaches_every_open_page_once_and_in_order(world: World, browse: Browse) -> None:
    brand, other = world.brand(name="Hudson Shoes"), world.brand()
    campaign, elsewhere = world.campaign(brand, name="Brand search"), world.campaign(other)
    with (
        browse() as client,
        listening(client, "/changes/stream?after=0") as everything,
        listening(client, f"/changes/stream?after=0&brand_id={brand}") as of_brand,
        listening(client, f"/changes/stream?after=0&campaign_id={elsewhere}") as of_campaign,
    ):
        for _ in range(3):
            world.set_status(campaign, "paused")
            world.set_status(elsewhere, "paused")
            world.set_status(campaign, "enabled")
            world.set_status(elsewhere, "enabled")
        ids = [row["id"] for row in world.rows("SELECT id FROM status_changes ORDER BY id")]
        eventually(lambda: everything.ids == ids)
        eventually(lambda: of_brand.ids == ids[0::2])
        eventually(lambda: of_campaign.ids == ids[1::2])
        assert "paused by a person" in "".join(of_brand.rows)
        assert "Brand search" in "".join(of_brand.rows)


def test_reconnected_page_receives_the_changes_it_missed(world: World, browse: Browse) -> None:
    campaign = world.campaign(world.brand())
    for status in ("paused", "enabled", "paused"):
        world.set_status(campaign, status)
    first, *missed = [row["id"] for row in world.rows("SELECT id FROM status_changes ORDER BY id")]
    with (
        browse() as client,
        listening(client, "/changes/stream", **{"Last-Event-ID": str(first)}) as back,
        listening(client, f"/changes/stream?after={first}") as opened,
        listening(client, "/changes/stream?after=0") as from_the_start,
        listening(client, "/changes/stream", **{"Last-Event-ID": "9" * 5_000}) as fresh,
    ):
        eventually(lambda: (back.ids, opened.ids) == (missed, missed))
        eventually(lambda: from_the_start.ids == [first, *missed])
        assert fresh.ids == []


def test_a_page_of_one_campaign_misses_nothing_behind_many_changes_of_others(world: World, browse: Browse) -> None:
    brand = world.brand()
    mine = world.campaign(brand)
    world.set_status(mine, "paused")
    world.execute(
        "INSERT INTO campaigns (brand_id, name) SELECT 1, 'Campaign ' || number FROM generate_series(1, 450) AS number"
    )
    world.tick()
    with browse() as client, listening(client, f"/changes/stream?campaign_id={mine}&after=0") as listener:
        eventually(lambda: listener.ids == [1])
        world.execute("UPDATE brands SET configured_status = 'paused'")
        from workers.actors.enforcement import evaluate_budgets  # noqa: PLC0415 - after the environment is set

        evaluate_budgets([brand])
        world.execute("UPDATE brands SET configured_status = 'enabled'")
        evaluate_budgets([brand])
        world.set_status(mine, "enabled")
        last = world.one("SELECT max(id) AS id FROM status_changes")["id"]
        assert last == 902
        eventually(lambda: listener.ids == [1, last])


def test_page_receives_all_changes_after_an_outage_of_postgres(world: World, browse: Browse) -> None:
    campaign = world.campaign(world.brand())
    with browse() as client, listening(client, "/changes/stream?after=0") as listener:
        world.set_status(campaign, "paused")
        eventually(lambda: len(listener.ids) == 1)
        world.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
        world.set_status(campaign, "enabled")
        eventually(lambda: len(listener.ids) == 2)
