"""Endpoints wait for a place without messages that multiply."""

import json
from collections.abc import Iterator

import pytest

from app.notices import runs, slots
from app.slots import Slots
from tests.app.notices.kit import deliver, endpoint
from tests.queues import queues
from tests.receivers.server import Answer, Receiver
from tests.world import World


@pytest.fixture
def one_place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slots]:
    """One place for healthy endpoints in this process."""
    slots.healthy_slots.cache_clear()
    monkeypatch.setattr(slots, "THREADS_A_SLOT", 1_000)
    yield slots.healthy_slots()
    slots.healthy_slots.cache_clear()


def enqueued() -> list[int]:
    """The endpoints of the messages on the queue."""
    messages = [json.loads(data) for data in queues().waiting("notices")]
    return [message["args"][0] for message in messages if message["actor_name"] == "deliver"]


def test_an_endpoint_waits_once_and_each_freed_place_calls_one() -> None:
    places = Slots(1)
    with places.one(1) as has_slot:
        assert has_slot
        for endpoint_id in (2, 3, 2, 3):
            with places.one(endpoint_id) as also:
                assert not also
        assert places.next_waiting() is None
    assert [places.next_waiting() for _ in range(3)] == [2, 3, None]


def test_an_endpoint_that_got_a_place_no_longer_waits() -> None:
    places = Slots(1)
    with places.one(1), places.one(2):
        pass
    with places.one(2) as has_slot:
        assert has_slot
    assert places.next_waiting() is None


def test_endpoints_without_a_place_enqueue_nothing_and_the_next_run_goes_on_with_them(
    world: World, receiver: Receiver, one_place: Slots
) -> None:
    made = [endpoint(receiver, f"/{number}") for number in range(4)]
    world.spend(world.campaign(world.brand(daily=10)), 10)
    with one_place.one(0):
        deliver(*made[1:], *made[1:])
    assert receiver.received() == []
    deliver(made[0])
    assert [one.path for one in receiver.received() if "campaign" in one.message["data"]] == ["/0", "/1", "/2", "/3"]
    assert enqueued() == []


def test_run_that_is_over_gives_those_that_wait_back_to_the_queue(
    world: World, receiver: Receiver, one_place: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "RUN_SECONDS", -1.0)
    with one_place.one(0):
        deliver(*(endpoint(receiver, f"/{number}") for number in range(3)))
    deliver(endpoint(receiver, "/3"))
    assert enqueued() == [1, 2, 3]


def test_failing_endpoint_waits_apart_from_healthy_ones(world: World, receiver: Receiver, one_place: Slots) -> None:
    receiver.answer("/bad", Answer(500))
    bad = endpoint(receiver, "/bad")
    world.spend(world.campaign(world.brand(daily=10)), 10)
    deliver(bad)
    with one_place.one(0):
        deliver(bad)
        assert one_place.next_waiting() is None
    assert one_place.next_waiting() is None
