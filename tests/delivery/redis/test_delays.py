"""What is delayed in Redis goes to its queue when its time has come, whatever else is delayed there."""

import json
import os
from datetime import timedelta
from typing import Any

import pytest
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from delivery.broker import get_broker
from delivery.redis.broker import SpendgateBroker
from delivery.redis.consumer import HELD_BYTES
from delivery.redis.delays import LEASE_MS
from tests.kit import is_empty, message_of, put, put_message, put_text, queue, working
from tests.queues import is_rabbitmq
from tests.world import World, eventually
from workers.actors.ingest import ingest_spend

broker = get_broker()

pytestmark = pytest.mark.skipif(is_rabbitmq(), reason="is about Redis")
SOON_SECONDS = 10
LARGE_BYTES = 600_000


@pytest.fixture
def campaign(world: World) -> int:
    """A campaign of a brand with no limits, in real time."""
    return world.campaign(world.brand())


def now_ms() -> int:
    seconds, microseconds = queue().time()
    return int(seconds) * 1_000 + int(microseconds) // 1_000


def later(world: World, campaign: int, milliseconds: int) -> None:
    ingest_spend.send_with_options(kwargs={"events": [world.event(campaign, 5)]}, delay=milliseconds)


def delay_of_the_event(world: World) -> timedelta:
    """From the making of the one event to its counting. An eta is in whole milliseconds, rounded down."""
    delay = world.one("SELECT received_at - occurred_at AS delay FROM spend_events")["delay"]
    assert isinstance(delay, timedelta)
    return delay


def test_it_is_worked_on_at_its_time_and_not_before(world: World, campaign: int) -> None:
    with working():
        later(world, campaign, 1_500)
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)
    assert delay_of_the_event(world) >= timedelta(milliseconds=1_499)
    assert list(queue().scan_iter("dramatiq:spend.DQ*")) == []


def test_no_retry_waits_behind_what_is_delayed_for_longer(world: World, campaign: int) -> None:
    for _ in range(HELD_BYTES // LARGE_BYTES + 5):
        large = {"events": [{"padding": "x" * LARGE_BYTES}]}
        put_message(queue="spend.DQ", kwargs=large, options={"eta": now_ms() + 60_000})
    later(world, campaign, 200)
    with working():
        eventually(lambda: world.spent(campaign) == 5, SOON_SECONDS)
    assert world.rejected() == []


def test_what_grows_beyond_the_limit_as_it_is_written_anew_holds_up_no_other(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.settings import settings  # noqa: PLC0415 - its cache is emptied for this test alone

    monkeypatch.setenv("SPENDGATE_MAX_MESSAGE_BYTES", "65536")
    settings.cache_clear()
    grows = f'{{"events": [[{", ".join(["1e15"] * 12_000)}]]}}'
    put_text(grows, "spend.DQ", options={"eta": now_ms() - 1_000})
    later(world, campaign, 200)
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)
    assert len(world.rejected()) == 1


def test_what_another_program_delays_waits_for_its_time(world: World, campaign: int) -> None:
    stock = RedisBroker(url=os.environ["REDIS_URL"])  # type: ignore[no-untyped-call]
    stock.declare_queue("spend")
    message: Message[None] = Message("spend", "ingest_spend", (), {"events": [world.event(campaign, 5)]}, {})
    with working():
        stock.enqueue(message, delay=1_500)
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)
    assert delay_of_the_event(world) >= timedelta(milliseconds=1_499)
    stock.close()


def test_rubbish_among_it_is_kept_and_holds_up_no_other(world: World, campaign: int) -> None:
    for data in (b"rubbish", b"{}", b"[" * 5_000):
        put(data, "spend.DQ")
    later(world, campaign, 200)
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)
    assert len(world.rejected()) == 3


def test_what_a_process_had_begun_to_move_when_it_died_is_moved_by_another(world: World, campaign: int) -> None:
    put_message(queue="spend.DQ", kwargs={"events": [world.event(campaign, 5)]}, options={"eta": now_ms() - 1})
    assert [len(found) for found in due(LEASE_MS)] == [0, 1]
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)


def due(lease_ms: int) -> tuple[list[bytes], list[bytes]]:
    """The ids that wait on the queue after one look for what is due, and the messages that look was not sure of."""
    assert isinstance(broker, SpendgateBroker)
    _, moved, found = broker.steps.run("DUE", "spend.DQ", "spend", 10, lease_ms, 10**6, 10**6)
    waiting: Any = queue().lrange("dramatiq:spend", 0, -1)
    assert len(waiting) == moved
    return waiting, [data for _, data in found]


def test_what_is_due_moves_as_it_was_written_but_for_its_queue(world: World, campaign: int) -> None:
    strange = {**world.event(campaign, 5), "note": '\u00e9 \ud83d\ude00 {"queue_name":"spend.DQ",'}
    sent = message_of("ingest_spend", "spend.DQ", "name", kwargs={"events": [strange]}, options={"eta": now_ms() - 1})
    data = json.dumps(sent, separators=(",", ":"))
    put(data.encode(), "spend.DQ", "name")
    assert due(LEASE_MS) == ([b"name"], [])
    moved: Any = queue().hget("dramatiq:spend.msgs", "name")
    assert moved.decode() == data.replace("spend.DQ", "spend", 1)
    assert list(queue().scan_iter("dramatiq:spend.DQ*")) == []
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)
    assert world.rejected() == []


def test_what_names_a_later_time_does_not_move_when_whoever_looked_at_it_died(world: World, campaign: int) -> None:
    events = [{**world.event(campaign, 5), "eta": 1}]
    later_ms = now_ms() + 60_000
    sent = message_of("ingest_spend", "spend.DQ", "name", kwargs={"events": events}, options={"eta": later_ms})
    put(json.dumps(sent, separators=(",", ":")).encode(), "spend.DQ", "name")
    for _ in range(3):
        eventually(lambda: len(due(lease_ms=1)[1]) == 1)


def test_what_is_hastened_comes_at_once_and_what_was_done_stays_done(world: World, campaign: int) -> None:
    sent = [
        ingest_spend.send_with_options(kwargs={"events": [world.event(campaign, 5)]}, delay=60_000) for _ in range(3)
    ]
    names = [message.options["redis_message_id"] for message in sent]
    with working():
        broker.hasten("spend", names[:2])
        eventually(lambda: world.spent(campaign) == 10, SOON_SECONDS)
        broker.hasten("spend", [*names, "nobody's"])
        eventually(lambda: world.spent(campaign) == 15 and is_empty(), SOON_SECONDS)
    assert list(queue().scan_iter("dramatiq:spend.DQ*")) == []


def test_many_that_are_due_at_once_are_moved_once_each(world: World, campaign: int) -> None:
    for _ in range(500):
        later(world, campaign, 100)
    with working(threads=4):
        eventually(lambda: world.spent(campaign) == 2_500 and is_empty(), 30)
    assert world.one("SELECT count(*) AS events FROM spend_events") == {"events": 500}


@pytest.mark.parametrize("is_stock", [False, True], ids=["ours", "spelt otherwise"])
def test_a_queue_of_the_wrong_type_costs_no_delayed_message(world: World, campaign: int, is_stock: bool) -> None:
    events = {"events": [world.event(campaign, 5)]}
    if is_stock:
        put_message(queue="spend.DQ", kwargs=events, options={"eta": now_ms() - 1})
    else:
        ingest_spend.send_with_options(kwargs=events, delay=0)
    queue().set("dramatiq:spend", "no list")
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)
