"""The serving feed's example follower through kills of the web process and Postgres, and a cut network."""

import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from selectors import EVENT_READ, DefaultSelector
from typing import Any

import pytest

from examples.serving_follower import GO_ON, STOP, Follower
from tests.faults.kit import FaultStage, size, until
from tests.faults.servers import Proxy
from tests.faults.table import add_line
from tests.ports import free_port
from tests.world import World

FOLLOWERS = size(200, 1_000)
KILLS_OF_WEB, KILLS_OF_POSTGRES = size(2, 50), size(1, 20)


def _add_line(fault: str, times: int) -> None:
    add_line({"fault": fault, "times": times, "events": 0, "lost": 0, "doubled": 0, "recovery_seconds": None})


class Web:
    """A web process on a port of its own, and a key for it."""

    def __init__(self, stage: FaultStage) -> None:
        from app import access  # noqa: PLC0415 - after the environment is set
        from domain.access import KeyScope  # noqa: PLC0415

        self._stage = stage
        self.port = free_port()
        self.key = access.create_key("bidder", [KeyScope.READ], "test")[1]

    def running(self) -> Any:
        return self._stage.started("-m", "web", env={"PORT": str(self.port)})

    def follower(self, port: int = 0, **options: Any) -> Follower:
        return Follower(f"http://127.0.0.1:{port or self.port}", self.key, **options)


def may_serve(world: World) -> set[int]:
    return {row["id"] for row in world.rows("SELECT id FROM campaigns WHERE effective_status = 'active'")}


def wait_until_followed(stage: FaultStage, follower: Follower) -> None:
    until(
        lambda: follower.serving().keys() == may_serve(stage.world) and not follower.is_stale(),
        f"the follower has what may serve; its last error: {follower.last_error}",
    )


def toggle_some(stage: FaultStage, campaigns: list[int]) -> None:
    for campaign in stage.draw.sample(campaigns, 3):
        stage.world.set_status(campaign, stage.draw.choice(["paused", "enabled"]))
    campaigns.append(stage.world.campaign(stage.world.brand_of(campaigns[0])))


def test_follower_catches_up_after_each_kill_of_the_web_process(stage: FaultStage) -> None:
    brand = stage.world.brand()
    campaigns = [stage.world.campaign(brand) for _ in range(5)]
    web = Web(stage)
    with web.follower() as follower:
        for _ in range(KILLS_OF_WEB):
            with web.running() as process:
                wait_until_followed(stage, follower)
                toggle_some(stage, campaigns)
                process.send(signal.SIGKILL)
                process.code()
            toggle_some(stage, campaigns)
        with web.running():
            wait_until_followed(stage, follower)
    _add_line("web process: kill -9; a follower catches up", KILLS_OF_WEB)


@pytest.mark.usefixtures("own_postgres")
def test_follower_knows_its_age_and_catches_up_after_each_kill_of_postgres(stage: FaultStage) -> None:
    brand = stage.world.brand()
    campaigns = [stage.world.campaign(brand) for _ in range(5)]
    web = Web(stage)
    with web.running(), web.follower(max_stale_seconds=8) as follower:
        for _ in range(KILLS_OF_POSTGRES):
            wait_until_followed(stage, follower)
            stage.close_connections()
            stage.servers.postgres.end(signal.SIGKILL)
            until(follower.is_stale, "the copy is stale, although the web process sends heartbeats")
            assert follower.serving() == {}
            stage.servers.postgres.start()
            toggle_some(stage, campaigns)
        wait_until_followed(stage, follower)
    _add_line("Postgres: kill -9; a follower stops when stale, then catches up", KILLS_OF_POSTGRES)


def test_policies_act_when_the_network_falls_silent_and_end_with_it(stage: FaultStage) -> None:
    campaign = stage.world.campaign(stage.world.brand(), platform="google_ads", external_id="7")
    web, proxy = Web(stage), None
    with ExitStack() as stack:
        stack.enter_context(web.running())
        proxy = Proxy(web.port)
        stack.callback(proxy.close)
        stops, goes_on = (
            stack.enter_context(web.follower(proxy.port, max_stale_seconds=8, policy=policy))
            for policy in (STOP, GO_ON)
        )
        for follower in (stops, goes_on):
            until(lambda follower=follower: follower.may_serve("google_ads", "7"), "the campaign may serve")  # type: ignore[misc]  # bound now
        proxy.is_swallowing = True
        until(lambda: stops.is_stale() and goes_on.is_stale(), "both copies are stale")
        assert not stops.may_serve("google_ads", "7")
        assert goes_on.may_serve("google_ads", "7")
        stage.world.set_status(campaign, "paused")
        proxy.cut()
        proxy.is_swallowing = False
        until(lambda: not stops.is_stale() and not goes_on.is_stale(), "both copies are fresh")
        assert not goes_on.may_serve("google_ads", "7")
    _add_line("network falls silent; followers act by their policies", 1)


def test_many_followers_of_one_web_process_get_each_pause(stage: FaultStage) -> None:
    campaign = stage.world.campaign(stage.world.brand())
    web = Web(stage)
    with web.running() as process:
        until(lambda: bool(process.logged("web.listening")), "the web process listens")
        with many_followers(web, FOLLOWERS) as followers:
            followers.wait_for(b"event: snapshot")
            stage.world.set_status(campaign, "paused")
            followers.wait_for(b'"removed":[{"campaign_id":%d' % campaign)
            stage.world.set_status(campaign, "enabled")
            followers.wait_for(b'"added":[{"campaign_id":%d' % campaign)


class Followers:
    """Plain connections to the stream, and all that each has received."""

    def __init__(self) -> None:
        self.received: dict[socket.socket, bytes] = {}

    def wait_for(self, words: bytes) -> None:
        """Waits until every connection has received the words."""
        with DefaultSelector() as selector:
            for one in self.received:
                selector.register(one, EVENT_READ)
            until(lambda: self._read(selector, words) == len(self.received), f"all {len(self.received)} got {words!r}")

    def _read(self, selector: DefaultSelector, words: bytes) -> int:
        for key, _ in selector.select(0.1):
            one: Any = key.fileobj
            part = one.recv(65_536)
            assert part, f"closed: {self.received[one][:300]!r}"
            self.received[one] += part
        return sum(words in received for received in self.received.values())


@contextmanager
def many_followers(web: Web, count: int) -> Iterator[Followers]:
    """So many streams, opened a hundred at a time: one address may have 200 connections that wait for their head."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * count + 500)), hard))
    request = f"GET /api/serving/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {web.key}\r\n\r\n"
    with ExitStack() as stack:
        followers = Followers()
        for number in range(1, count + 1):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", web.port)))
            one.sendall(request.encode())
            followers.received[one] = b""
            if number % 100 == 0:
                followers.wait_for(b"event: snapshot")
        yield followers
