"""Bundles: plain spend messages share a transaction and an acknowledgement, and one that fails harms no other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Event
from typing import Any

import pytest
import structlog
from dramatiq import Message, MessageProxy

from db.repository.ledger import new_events
from db.repository.ledger.spend import FEW_EVENTS
from delivery import bundles
from delivery.broker import get_broker
from delivery.bundles import (
    MAX_EVENTS,
    MAX_ID_LENGTH,
    MAX_MESSAGES,
    Bundle,
    EventsOfSeveral,
)
from delivery.redis.consumer import SpendgateConsumer
from tests.kit import is_empty, lines, put_message, queue, working
from tests.queues import ON_REDIS
from tests.world import World, eventually

broker = get_broker()

RECEIPT = f"{'0' * 32}/{'1' * 32}"


def plain(name: str = "a", events: object = (), **fields: Any) -> Message[Any]:
    facts: dict[str, Any] = {"kwargs": {"events": list(events) if isinstance(events, tuple) else events}, "args": ()}
    facts |= {"options": {"redis_message_id": name}, **fields}
    return Message(queue_name="spend", actor_name=facts.pop("actor_name", "ingest_spend"), **facts)


def test_bundle_has_the_events_and_ids_of_all_its_messages() -> None:
    bundle = Bundle(plain("a", (1, 2)))
    assert bundle.add(plain("b", ()))
    assert bundle.add(plain("c", (3,)))
    message = bundle.message()
    assert message.kwargs == {"events": [[1, 2], [], [3]]}
    assert isinstance(message.kwargs["events"], EventsOfSeveral)
    assert (bundles.is_bundle(message), bundles.redis_ids(message)) == (True, ["a", "b", "c"])


def test_bundle_of_one_returns_its_message_unchanged() -> None:
    message = plain("a", (1,))
    assert Bundle(message).message() is message
    assert (bundles.is_bundle(message), bundles.redis_ids(message)) == (False, ["a"])


@pytest.mark.parametrize(
    "other",
    [
        plain(actor_name="ingest_reported_totals"),
        plain(args=([],)),
        plain(kwargs={"events": [], "receipt": RECEIPT}),
        plain(kwargs={"events": [], "only_brand_id": 1}),
        plain(kwargs={}),
        plain(events={"event_id": "no list"}),
        plain(events=EventsOfSeveral()),
        plain(options={"redis_message_id": "a", "retries": 1}),
        plain(options={"redis_message_id": "a", "redelivered": 0}),
        plain(name="a" * (MAX_ID_LENGTH + 1)),
    ],
)
def test_message_with_options_or_another_shape_is_not_bundled(other: Message[Any]) -> None:
    assert bundles.kind_of(plain()) is not None
    assert bundles.kind_of(other) is None


def test_messages_of_few_events_have_their_own_kind() -> None:
    few, more = plain(events=(1,) * FEW_EVENTS), plain(events=(1,) * (FEW_EVENTS + 1))
    assert (
        bundles.kind_of(plain())
        == bundles.kind_of(few)
        != bundles.kind_of(more)
        == bundles.kind_of(plain(events=(1,) * 999))
    )


def test_bundle_limits_the_number_of_its_messages_and_events() -> None:
    many = Bundle(plain())
    assert [many.add(plain()) for _ in range(MAX_MESSAGES)] == [True] * (MAX_MESSAGES - 1) + [False]
    heavy = Bundle(plain(events=(1,) * (MAX_EVENTS - 1)))
    assert (heavy.add(plain(events=(1, 1))), heavy.add(plain(events=(1,)))) == (False, True)
    assert not Bundle(plain(events=(1,) * (MAX_EVENTS + 1))).add(plain(events=()))


# --- consumer


@pytest.fixture
def consumer(world: World) -> Iterator[SpendgateConsumer]:
    del world
    consumer = broker.consume("spend", prefetch=8, timeout=20)
    assert isinstance(consumer, SpendgateConsumer)
    yield consumer
    consumer.close()


def put_events(count: int, **more: object) -> list[str]:
    return [put_message(kwargs={"events": [], **more}) for _ in range(count)]


def handed_out(consumer: SpendgateConsumer) -> list[list[str]]:
    return [bundles.redis_ids(message) for message in iter(consumer.__next__, None)]


@ON_REDIS
def test_consumer_without_room_waits_until_a_message_is_finished(world: World) -> None:
    for _ in range(7):
        put_message("evaluate_budgets", "enforcement", kwargs={"brand_ids": []})
    consumer: Any = broker.consume("enforcement", prefetch=8, timeout=20)
    first, *_ = [next(consumer) for _ in range(7)]
    consumer.ack(first)
    assert [next(consumer) for _ in range(3)] == [None] * 3
    assert not consumer.freed.is_set(), "the consumer would not wait before its next attempt"
    consumer.close()


@ON_REDIS
def test_consumer_bundles_neighbouring_messages_and_acknowledges_them_in_one_step(consumer: SpendgateConsumer) -> None:
    names = put_events(3)
    bundle = next(consumer)
    assert bundle is not None
    assert bundles.redis_ids(bundle) == names
    assert not is_empty()
    consumer.ack(bundle)
    assert (is_empty(), consumer.held, next(consumer)) == (True, {}, None)


@ON_REDIS
def test_bundles_keep_the_order_around_a_message_that_is_not_bundled(consumer: SpendgateConsumer) -> None:
    first, alone, last = put_events(2), put_events(2, receipt=RECEIPT), put_events(2)
    assert handed_out(consumer) == [first, [alone[0]], [alone[1]], last]


@ON_REDIS
def test_consumer_bundles_messages_of_few_and_many_events_separately(consumer: SpendgateConsumer) -> None:
    events: list[object] = [{}] * (FEW_EVENTS + 1)
    few, many = put_events(1), [put_message(kwargs={"events": events})]
    few, many = few + put_events(1), [*many, put_message(kwargs={"events": events})]
    assert handed_out(consumer) == [few, many]


@ON_REDIS
def test_message_of_few_events_does_not_wait_for_heavy_messages_behind_it(consumer: SpendgateConsumer) -> None:
    few = put_events(1)
    heavy = [put_message(kwargs={"events": [0] * (MAX_EVENTS // 2 + 1)}) for _ in range(2)]
    assert handed_out(consumer) == [few, [heavy[0]], [heavy[1]]]


@ON_REDIS
def test_stopping_worker_returns_messages_that_it_has_not_begun(
    consumer: SpendgateConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, waiting = put_events(2, receipt=RECEIPT), put_events(3)
    begun = next(consumer)
    assert begun is not None
    monkeypatch.setattr(consumer.steps, "is_ending", True)
    assert next(consumer) is None
    assert set(consumer.held) == {alone[0]}
    monkeypatch.setattr(consumer.steps, "is_ending", False)
    assert sorted(handed_out(consumer)) == sorted([[alone[1]], waiting])


@ON_REDIS
def test_consumer_keeps_an_invalid_message_and_bundles_its_neighbours(
    world: World, consumer: SpendgateConsumer
) -> None:
    first = put_events(1)
    put_message(actor="nobody")
    last = put_events(1)
    assert handed_out(consumer) == [[*first, *last]]
    assert [row["reason"] for row in world.rejected()] == ["unknown_actor"]


@ON_REDIS
def test_messages_of_a_failed_bundle_come_back_one_by_one(consumer: SpendgateConsumer) -> None:
    names = put_events(3)
    bundle = next(consumer)
    assert bundle is not None
    consumer.nack(bundle)
    returned: list[MessageProxy] = list(iter(consumer.__next__, None))
    assert [bundles.redis_ids(message) for message in returned] == [[name] for name in names]
    for message in returned:
        consumer.ack(message)
    assert (is_empty(), consumer.never_bundled) == (True, set())


@ON_REDIS
def test_messages_are_bundled_again_after_a_transient_error(
    consumer: SpendgateConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("delivery.redis.consumer.RETURNS_BUNDLED", 2)
    names = put_events(3)
    for _ in range(2):
        (bundle,) = iter(consumer.__next__, None)
        bundle.options[bundles.IS_TRANSIENT] = True
        consumer.nack(bundle)
    (bundle,) = iter(consumer.__next__, None)
    assert bundles.redis_ids(bundle) == names
    bundle.options[bundles.IS_TRANSIENT] = True
    consumer.nack(bundle)
    single = list(iter(consumer.__next__, None))
    assert [bundles.redis_ids(message) for message in single] == [[name] for name in names]
    for message in single:
        consumer.ack(message)
    assert (is_empty(), consumer.never_bundled, +consumer.returned) == (True, set(), {})


@ON_REDIS
def test_consumer_closed_by_another_thread_raises_nothing_and_returns_its_messages(world: World) -> None:
    for _ in range(20):
        consumer = broker.consume("spend", prefetch=8, timeout=20)
        names = put_events(40)
        begun, taken = Event(), list[str]()

        def take(consumer: Any = consumer, begun: Event = begun, taken: list[str] = taken) -> None:
            while not consumer.is_closed:
                message = next(consumer)
                taken.extend(bundles.redis_ids(message) if message else [])
                begun.set()

        with ThreadPoolExecutor(1) as threads:
            taking = threads.submit(take)
            assert begun.wait(30)
            consumer.close()
            taking.result(30)
        assert next(consumer) is None
        held: Any = queue().smembers(f"dramatiq:__acks__.{broker.broker_id}.spend")
        assert {redis_id.decode() for redis_id in held} == set(taken)
        queue().flushdb()
        assert len(names) == 40


@ON_REDIS
def test_closed_consumer_returns_messages_that_no_thread_finished(consumer: SpendgateConsumer) -> None:
    names = [*put_events(2), *put_events(1, receipt=RECEIPT), *put_events(1)]
    bundle = next(consumer)
    assert bundle is not None
    consumer.requeue([bundle])
    consumer.close()
    waiting: Any = queue().lrange("dramatiq:spend", 0, -1)
    assert sorted(name.decode() for name in waiting) == sorted(names)
    assert consumer.held == {}


# --- counting


@pytest.fixture
def campaign(world: World) -> int:
    return world.campaign(world.brand())


@ON_REDIS
def test_bundle_is_counted_in_one_transaction_and_logged_in_one_line(world: World, campaign: int) -> None:
    for micros in (1, 2, 4):
        put_message(kwargs={"events": [world.event(campaign, micros)]})
    put_message(kwargs={"events": ["nonsense"]})
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logged, working():
        eventually(is_empty)
    (line,) = lines(logged, "spend.ingested")
    assert (line["taken"], line["rejected"], line["messages"], len(line["message_ids"])) == (3, 1, 4, 4)
    assert world.spent(campaign) == 7
    assert [row["reason"] for row in world.rejected()] == ["malformed"]
    world.verify()


@ON_REDIS
def test_message_that_cannot_be_counted_does_not_delay_the_others_of_its_bundle(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_new_events, poisonous = new_events.find_new_events, 4
    tried: list[int] = []

    def fail(connection: Any, events: Any, *arguments: Any, **options: Any) -> Any:
        if poisonous in events.amounts_micros:
            tried.append(len(events.amounts_micros))
            raise ZeroDivisionError("it fails")
        return find_new_events(connection, events, *arguments, **options)

    monkeypatch.setattr(new_events, "find_new_events", fail)
    for micros in (1, 2, poisonous, 8):
        put_message(kwargs={"events": [world.event(campaign, micros)]})
    with structlog.testing.capture_logs() as logged, working():
        eventually(lambda: world.spent(campaign) == 11 and len(tried) >= 4)
        assert not is_empty("spend")
        monkeypatch.setattr(new_events, "find_new_events", find_new_events)
        eventually(is_empty)
    assert lines(logged, "bundle.parted") == [{"error": "ZeroDivisionError"}]
    assert (tried[0], world.spent(campaign), world.rejected()) == (4, 15, [])
    world.verify()


@ON_REDIS
def test_bundled_messages_reach_a_limit_as_single_messages_do(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    campaign, other = world.campaign(brand), world.campaign(world.brand())
    for spender in (campaign, other, campaign):
        put_message(kwargs={"events": [world.event(spender, 5)]})
    with working():
        eventually(is_empty)
    assert (world.holds(campaign), world.holds(other)) == ({"brand_daily_budget"}, set())
    world.verify()
