"""A suspect message waits for the process to itself, and delays no other message for long."""

from collections.abc import Sequence
from uuid import uuid4

import pytest
from dramatiq import Message, MessageProxy
from dramatiq.middleware import SkipMessage

from delivery import suspects
from delivery.broker import get_broker
from delivery.broker import suspects as middleware
from tests import rabbitmq
from tests.kit import is_empty, put_message, queue, working
from tests.queues import USES_NO_BROKER, is_rabbitmq
from tests.world import World, eventually

broker = get_broker()

SOON_SECONDS = 60


def put_suspects(*batches: Sequence[object]) -> None:
    """Puts spend messages on the queue that a worker had fetched when it died."""
    names = [put_message(kwargs={"events": events}) for events in batches]
    if is_rabbitmq():
        (server,) = rabbitmq.servers
        consumer = broker.consume("spend", prefetch=len(names))
        for _ in names:
            eventually(lambda: next(consumer) is not None)
        server.close_connections()
        consumer.close()
    else:
        queue().hset("dramatiq:spend.suspects", mapping=dict.fromkeys(names, "0"))


def test_suspect_delays_no_message_while_another_one_holds_the_process(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects, "EXCLUSIVE_SECONDS", 0.1, raising=False)
    suspect, *others = (world.campaign(world.brand()) for _ in range(4))
    middleware._lock.acquire_shared()  # as a job does that takes minutes
    try:
        put_suspects(*([world.event(suspect, 1)] for _ in range(3)))
        with working(threads=2):
            for campaign in others:
                put_message(kwargs={"events": [world.event(campaign, 5)]})
                eventually(lambda: world.spent(campaign) == 5, SOON_SECONDS)  # noqa: B023 - called at once
            assert world.spent(suspect) == 0
            middleware._lock.release()
            eventually(lambda: world.spent(suspect) == 3 and is_empty(), SOON_SECONDS)
    finally:
        middleware._lock = suspects.SharedLock()
    assert world.rejected() == []
    assert world.rows("SELECT * FROM suspect_messages") == []
    if not is_rabbitmq():
        assert queue().exists("dramatiq:spend.suspects") == 0


@USES_NO_BROKER
def test_exclusive_request_that_timed_out_blocks_no_shared_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "EXCLUSIVE_SECONDS", 0.01)
    lock = suspects.SharedLock()
    lock.acquire_shared()
    assert [lock.acquire_exclusive(), lock.acquire_exclusive()] == [False, False]
    lock.acquire_shared()
    lock.release()
    lock.release()
    assert lock.acquire_exclusive()
    lock.release()


@USES_NO_BROKER
def test_message_that_waits_for_the_process_is_not_recorded_as_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspects, "EXCLUSIVE_SECONDS", 0.01)
    waiting = suspects.SuspectMessages()
    recorded: list[object] = []
    monkeypatch.setattr(waiting, "_record", recorded.append)
    waiting._lock.acquire_shared()
    options = {"redelivered": 0, "redis_message_id": str(uuid4())}
    message = MessageProxy(Message("spend", "ingest_spend", (), {"events": []}, options))
    with pytest.raises(SkipMessage):
        waiting.before_process_message(broker, message)
    waiting.after_skip_message(broker, message)
    assert recorded == []
