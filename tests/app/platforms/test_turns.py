"""Accounts of platforms take turns on some of a process's threads."""

import json
import threading
from collections.abc import Iterator

import pytest

from app.platforms import turns
from app.platforms.turns import Turns
from app.slots import Slots
from tests.app.platforms.kit import Connected
from tests.queues import queues
from tests.world import World, eventually
from workers.actors import platforms


@pytest.fixture(autouse=True)
def new_places() -> Iterator[None]:
    """Makes the process's places anew."""
    for made in (turns.reads, turns.changes):
        made.cache_clear()
    yield
    for made in (turns.reads, turns.changes):
        made.cache_clear()


class Work:
    """Work for accounts, which hangs until it is let go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.may_end = threading.Event()

    def __call__(self, account: int) -> None:
        self.begun.append(account)
        self.may_end.wait(60)


@pytest.fixture
def work(world: World) -> Work:
    """Work in a process of an empty database."""
    assert world.url
    return Work()


@pytest.fixture
def hanging(work: Work, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    """Turns with one place for healthy accounts, which account 1 has. Its parameter sets RUN_SECONDS."""
    monkeypatch.setattr(turns, "RUN_SECONDS", getattr(request, "param", 60.0))
    made = Turns("pull_spend", work)
    made.healthy = Slots(1)
    thread = threading.Thread(target=made.take, args=[1])
    thread.start()
    eventually(lambda: work.begun == [1])
    yield made
    work.may_end.set()
    thread.join()


def test_accounts_that_wait_take_no_thread_and_are_worked_for_next(hanging: Turns, work: Work) -> None:
    for account in (2, 3, 2):
        hanging.take(account)
    assert work.begun == [1]
    work.may_end.set()
    eventually(lambda: work.begun == [1, 2, 3])


@pytest.mark.parametrize("hanging", [-1.0], indirect=True)
def test_accounts_that_wait_too_long_get_messages_of_their_own(hanging: Turns, work: Work) -> None:
    for account in (2, 3):
        hanging.take(account)
    work.may_end.set()
    eventually(lambda: queues().count("platforms") == 2)
    messages = [json.loads(data) for data in queues().waiting("platforms")]
    assert sorted((one["actor_name"], one["args"]) for one in messages) == [("pull_spend", [2]), ("pull_spend", [3])]
    assert work.begun == [1]


@pytest.mark.parametrize("threads", [16, 32, 64])
def test_places_are_a_quarter_of_the_threads(threads: int) -> None:
    assert 2 * (threads // turns.THREADS_A_PLACE + threads // turns.THREADS_A_FAILING_PLACE) <= threads // 4


@pytest.mark.parametrize("failures", [0, 1])
def test_actors_leave_accounts_without_a_place_waiting(connected: Connected, world: World, failures: int) -> None:
    campaign = connected.campaign("11")
    connected.reconcile()
    world.set_status(campaign, "paused")
    for kind, actor in ((turns.reads(), platforms.pull_spend), (turns.changes(), platforms.reconcile_account)):
        kind.healthy, kind.failing = (Slots(1), Slots(0)) if failures else (Slots(0), Slots(1))
        world.execute("UPDATE platform_connections SET failures = %s", failures)
        requests = len(connected.fake.received)
        actor.fn(connected.account)
        assert len(connected.fake.received) == requests
        kind.healthy, kind.failing = Slots(1), Slots(1)
        actor.fn(connected.account)
        assert len(connected.fake.received) > requests
    assert connected.there("11") == "paused"
