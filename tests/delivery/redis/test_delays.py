"""Delayed messages move to their queue in Redis when they are due, whatever else is delayed."""

import json
import os
from datetime import timedelta
from typing import Any

import pytest
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker

from delivery import messages
from delivery.broker import get_broker
from delivery.queues import QUEUE_OF, QUEUES
from delivery.redis.broker import SpendgateBroker
from delivery.redis.consumer import HELD_BYTES
from delivery.redis.delays import LEASE_MS
from runtime import clock
from tests.kit import is_empty, message_of, put, put_message, put_text, queue, working
from tests.queues import is_rabbitmq
from tests.world import World, eventually
from workers.actors.ingest import ingest_spend

broker = get_broker()

pytestmark = pytest.mark.skipif(is_rabbitmq(), reason="is about Redis")
SOON_SECONDS = 10
KWARGS: dict[str, Any] = {
    "ingest_spend": {"events": []},
    "evaluate_budgets": {"brand_ids": [1]},
}
"""The arguments of the actors that need some."""

LARGE_BYTES = 600_000


@pytest.fixture
def campaign(world: World) -> int:
    """Returns a campaign of a brand without limits."""
    return world.campaign(world.brand())


def now_ms() -> int:
    seconds, microseconds = queue().time()
    return int(seconds) * 1_000 + int(microseconds) // 1_000


def later(world: World, campaign: int, milliseconds: int) -> None:
    ingest_spend.send_with_options(kwargs={"events": [world.event(campaign, 5)]}, delay=milliseconds)


def delay_of_the_event(world: World) -> timedelta:
    """Returns the time from the creation of the one event to its counting; an eta is rounded down to a millisecond."""
    delay = world.one("SELECT received_at - occurred_at AS delay FROM spend_events")["delay"]
    assert isinstance(delay, timedelta)
    return delay


def test_delayed_message_is_processed_when_it_is_due_and_not_before(world: World, campaign: int) -> None:
    with working():
        later(world, campaign, 1_500)
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)
    assert delay_of_the_event(world) >= timedelta(milliseconds=1_499)
    assert list(queue().scan_iter("dramatiq:spend.DQ*")) == []


def test_due_retry_does_not_wait_behind_many_messages_with_longer_delays(world: World, campaign: int) -> None:
    for _ in range(HELD_BYTES // LARGE_BYTES + 5):
        large = {"events": [{"padding": "x" * LARGE_BYTES}]}
        put_message(queue="spend.DQ", kwargs=large, options={"eta": now_ms() + 60_000})
    later(world, campaign, 200)
    with working():
        eventually(lambda: world.spent(campaign) == 5, SOON_SECONDS)
    assert world.rejected() == []


def test_delayed_message_that_outgrows_the_limit_when_encoded_does_not_delay_others(
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


def test_message_delayed_by_another_program_is_processed_when_it_is_due(world: World, campaign: int) -> None:
    stock = RedisBroker(url=os.environ["REDIS_URL"])  # type: ignore[no-untyped-call]
    stock.declare_queue("spend")
    message: Message[None] = Message("spend", "ingest_spend", (), {"events": [world.event(campaign, 5)]}, {})
    with working():
        stock.enqueue(message, delay=1_500)
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)
    assert delay_of_the_event(world) >= timedelta(milliseconds=1_499)
    stock.close()


def test_undecodable_delayed_bytes_are_kept_and_do_not_delay_others(world: World, campaign: int) -> None:
    for data in (b"rubbish", b"{}", b"[" * 5_000):
        put(data, "spend.DQ")
    later(world, campaign, 200)
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)
    assert len(world.rejected()) == 3


def test_message_of_a_process_that_died_while_moving_it_is_moved_by_another(world: World, campaign: int) -> None:
    put_message(queue="spend.DQ", kwargs={"events": [world.event(campaign, 5)]}, options={"eta": now_ms() - 1})
    assert [len(part) for part in due(LEASE_MS)] == [0, 1]
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)


def due(lease_ms: int) -> tuple[list[bytes], list[bytes]]:
    """Runs DUE once; returns the ids then waiting on the queue and the messages that it did not move."""
    assert isinstance(broker, SpendgateBroker)
    _, moved, undecided = broker.steps.run("DUE", "spend.DQ", "spend", 10, lease_ms, 10**6, 10**6, 60_000)
    waiting: Any = queue().lrange("dramatiq:spend", 0, -1)
    assert len(waiting) == moved
    return waiting, [data for _, data in undecided]


def test_due_message_moves_with_only_its_queue_name_changed(world: World, campaign: int) -> None:
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


def test_message_with_a_later_eta_does_not_move_after_its_lease_ends(world: World, campaign: int) -> None:
    events = [{**world.event(campaign, 5), "eta": 1}]
    later_ms = now_ms() + 60_000
    sent = message_of("ingest_spend", "spend.DQ", "name", kwargs={"events": events}, options={"eta": later_ms})
    put(json.dumps(sent, separators=(",", ":")).encode(), "spend.DQ", "name")
    for _ in range(3):
        eventually(lambda: len(due(lease_ms=1)[1]) == 1)


ONE_ACTOR_OF = {queue: next(actor for actor, of in QUEUE_OF.items() if of == queue) for queue in QUEUES}


@pytest.mark.parametrize("ahead_ms", [120_000, 10 * 365 * 24 * 3_600_000, 1 << 60])
@pytest.mark.parametrize("queue_name", sorted(QUEUES))
def test_message_with_a_far_eta_comes_after_the_longest_delay(
    world: World, monkeypatch: pytest.MonkeyPatch, queue_name: str, ahead_ms: int
) -> None:
    monkeypatch.setattr(messages, "MAX_DELAY_MS", 300)
    actor = ONE_ACTOR_OF[queue_name]
    put_message(actor, f"{queue_name}.DQ", options={"eta": now_ms() + ahead_ms}, kwargs=KWARGS.get(actor, {}))
    with working():
        eventually(lambda: is_empty(queue_name), SOON_SECONDS)
    assert world.rejected() == []


TWENTY_MINUTES_MS = 20 * 60_000


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets the clock of this process's brokers twenty minutes ahead of Redis's."""
    monkeypatch.setattr("dramatiq.common.time", lambda: clock.read().timestamp() + TWENTY_MINUTES_MS / 1000)


@pytest.mark.usefixtures("ahead")
def test_delay_is_by_the_clock_of_redis(world: World, campaign: int) -> None:
    later(world, campaign, 1_500)
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)
    assert delay_of_the_event(world) >= timedelta(milliseconds=1_499)


@pytest.mark.usefixtures("ahead")
def test_delay_by_another_program_whose_clock_is_ahead_is_cut(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MAX_DELAY_MS", 300)
    put_message(
        queue="spend.DQ",
        kwargs={"events": [world.event(campaign, 5)]},
        options={"eta": now_ms() + TWENTY_MINUTES_MS + 500},
    )
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)


def test_message_of_an_earlier_version_comes_when_it_is_due(world: World, campaign: int) -> None:
    put_with_due_time(world, campaign, now_ms() + 1_500)
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)
    assert delay_of_the_event(world) >= timedelta(milliseconds=1_499)


def test_due_time_from_before_the_clock_of_redis_was_set_back_is_cut(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MAX_DELAY_MS", 300)
    put_with_due_time(world, campaign, now_ms() + TWENTY_MINUTES_MS)
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)


def put_with_due_time(world: World, campaign: int, due_ms: int) -> None:
    """Puts a delayed message as an earlier version enqueued it: its due time in the message and in the sorted set."""
    kwargs, options = {"events": [world.event(campaign, 5)]}, {"eta": due_ms}
    sent = message_of("ingest_spend", "spend.DQ", "name", kwargs=kwargs, options=options)
    queue().hset("dramatiq:spend.DQ.msgs", "name", json.dumps(sent, separators=(",", ":")))
    queue().zadd("dramatiq:spend.DQ.etas", {"name": due_ms})


def test_hastened_messages_come_at_once_and_are_counted_once(world: World, campaign: int) -> None:
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


def test_many_messages_due_at_once_are_moved_once_each(world: World, campaign: int) -> None:
    for _ in range(500):
        later(world, campaign, 100)
    with working(threads=4):
        eventually(lambda: world.spent(campaign) == 2_500 and is_empty(), 30)
    assert world.one("SELECT count(*) AS events FROM spend_events") == {"events": 500}


@pytest.mark.parametrize("is_stock", [False, True], ids=["ours", "encoded otherwise"])
def test_queue_of_a_wrong_type_loses_no_delayed_message(world: World, campaign: int, is_stock: bool) -> None:
    events = {"events": [world.event(campaign, 5)]}
    if is_stock:
        put_message(queue="spend.DQ", kwargs=events, options={"eta": now_ms() - 1})
    else:
        ingest_spend.send_with_options(kwargs=events, delay=0)
    queue().set("dramatiq:spend", "not a list")
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), SOON_SECONDS)
