"""Workers hold a bounded number of RabbitMQ's delayed messages, and send each to its queue when it is due."""

import json

import pytest
from dramatiq.common import current_millis

from delivery import messages
from delivery.broker import get_broker
from delivery.rabbitmq import delays
from runtime import clock
from tests.kit import is_empty, message_of, put, put_message, working
from tests.queues import ON_RABBITMQ, queues
from tests.world import World, eventually
from workers.actors.ingest import ingest_spend

broker = get_broker()

pytestmark = ON_RABBITMQ

MESSAGES = 12
KILOBYTE = 1_000


@pytest.fixture
def campaign(world: World) -> int:
    """Returns a campaign of a brand without limits."""
    return world.campaign(world.brand())


def unfetched() -> int:
    """Returns how many delayed messages no worker holds."""
    return broker.lengths()["spend", "delayed"]


def put_delayed(world: World, campaign: int, delay_ms: int) -> None:
    """Puts MESSAGES delayed messages on the queue."""
    for _ in range(MESSAGES):
        event = {**world.event(campaign, 5), "padding": "x" * KILOBYTE}
        put_message(queue="spend.DQ", kwargs={"events": [event]}, options={"eta": current_millis() + delay_ms})


BOUNDS = pytest.mark.parametrize(("bound", "value"), [("HELD_BYTES", 3 * KILOBYTE), ("HELD_MESSAGES", 3)])


@BOUNDS
def test_worker_holds_few_messages_of_a_long_delay(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(delays, bound, value)
    put_delayed(world, campaign, 60_000)
    with working():
        eventually(lambda: unfetched() == MESSAGES - 3)
        ingest_spend.send(events=[world.event(campaign, 7)])
        eventually(lambda: world.spent(campaign) == 7)
        assert unfetched() == MESSAGES - 3
    assert queues().count("spend.DQ") == MESSAGES


@BOUNDS
def test_messages_beyond_the_bound_come_when_they_are_due(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    monkeypatch.setattr(delays, bound, value)
    put_delayed(world, campaign, 500)
    with working():
        eventually(lambda: world.spent(campaign) == 5 * MESSAGES and is_empty())
    assert world.rejected() == []


def test_short_delay_does_not_wait_for_a_longer_one_that_came_before(world: World, campaign: int) -> None:
    ingest_spend.send_with_options(kwargs={"events": [world.event(campaign, 5)]}, delay=60_000)
    ingest_spend.send_with_options(kwargs={"events": [world.event(campaign, 7)]}, delay=200)
    with working():
        eventually(lambda: world.spent(campaign) == 7)
    assert queues().count("spend.DQ") == 1


def test_message_with_a_far_eta_comes_after_the_longest_delay(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MAX_DELAY_MS", 300)
    put_message(queue="spend.DQ", kwargs={"events": [world.event(campaign, 5)]}, options={"eta": 1 << 60})
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty())
    assert world.rejected() == []


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["as Dramatiq encodes", "otherwise"])
def test_due_message_of_another_program_is_counted(world: World, campaign: int, separators: tuple[str, str]) -> None:
    events = [{**world.event(campaign, 5), "note": '\u00e9 {"queue_name":"spend.DQ",'}]
    sent = message_of("ingest_spend", "spend.DQ", "name", kwargs={"events": events}, options={"eta": current_millis()})
    put(json.dumps(sent, separators=separators).encode(), "spend.DQ", "name")
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty())
    assert world.rejected() == []


def test_undecodable_delayed_bytes_are_kept_and_do_not_delay_others(world: World, campaign: int) -> None:
    for data in (b"rubbish", b"{}", b"[" * 5_000):
        put(data, "spend.DQ")
    ingest_spend.send_with_options(kwargs={"events": [world.event(campaign, 5)]}, delay=200)
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty())
    assert len(world.rejected()) == 3


def test_worker_whose_clock_is_off_returns_delayed_messages(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest_spend.send_with_options(kwargs={"events": [world.event(campaign, 5)]}, delay=60_000)
    with working():
        eventually(lambda: unfetched() == 0)
        monkeypatch.setattr(clock.guard, "is_off", True)
        eventually(lambda: unfetched() == 1)
        assert queues().count("spend.DQ") == 1
