"""Repeated, malformed, huge, forged and deadly messages: valid events are counted once, the others are kept."""

import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from dramatiq import Message

from delivery.messages import MessageTooLarge
from delivery.middleware import MAX_RETRIES
from delivery.suspects import DEATHS_ALLOWED
from tests.faults.kit import FaultStage, children, is_ready, progress, size, until

DELIVERIES = 10
PRODUCERS = 4
MEGABYTE = 1_000_000
COPIES_ALLOWED = 10
"""Bound on the memory that a rejected 64 MB message may take in its process, in multiples of the message's size."""

FORGED: tuple[dict[str, Any], ...] = (
    {"throws": "x"},
    {"max_retries": 0, "retries": "x"},
    {"time_limit": 1},
    {"on_failure": "nobody", "on_success": "ingest_spend"},
    {"eta": 1 << 60},
    {"pipe_target": {"actor_name": "ingest_spend"}},
    {"redelivered": 99},
    {"kept": True},
    {"retries": -5, "traceback": 17, "requeue_timestamp": None},
    {"group_callbacks": [5]},
)


def put(
    stage: FaultStage, actor: str, kwargs: dict[str, Any], options: dict[str, Any], queue_name: str = "spend"
) -> None:
    """Puts a message into Redis as any program with write access can."""
    redis_id = str(uuid4())
    message = {
        "queue_name": queue_name,
        "actor_name": actor,
        "args": [],
        "kwargs": kwargs,
        "options": {"redis_message_id": redis_id, **options},
        "message_id": str(uuid4()),
        "message_timestamp": 1_700_000_000_000,
    }
    put_bytes(stage, json.dumps(message).encode(), redis_id, queue_name)


def put_bytes(stage: FaultStage, data: bytes, redis_id: str, queue_name: str = "spend") -> None:
    stage.queue.hset(f"dramatiq:{queue_name}.msgs", redis_id, data)
    stage.queue.rpush(f"dramatiq:{queue_name}", redis_id)


def test_batches_sent_ten_times_in_any_order_by_several_senders_count_once(stage: FaultStage) -> None:
    load = stage.load(size(50, 1_000))
    batches = load.batches(size(30, 200))
    deliveries = [batch for batch in batches for _ in range(DELIVERIES)]
    stage.draw.shuffle(deliveries)
    with stage.workers(), ThreadPoolExecutor(PRODUCERS) as producers:
        for sent in [producers.submit(send_shuffled, stage, part) for part in parts(deliveries, PRODUCERS)]:
            sent.result()
        stage.wait_for_recovery()
    stage.add_to_table("every batch delivered 10 times, shuffled", len(deliveries), stage.checked(load))


def parts(deliveries: list[Any], count: int) -> list[list[Any]]:
    return [deliveries[number::count] for number in range(count)]


def send_shuffled(stage: FaultStage, batches: list[list[dict[str, Any]]]) -> None:
    draw = Random(f"{stage.seed} {len(batches)}")
    for batch in batches:
        stage.send([draw.sample(batch, len(batch))])


def test_malformed_events_among_many_are_kept_and_the_others_counted(stage: FaultStage) -> None:
    load = stage.load(size(100, 1_000))
    batches: list[list[Any]] = list(load.batches(size(20, 100)))
    bad: list[Any] = []
    for batch in batches:
        for place in range(0, len(batch), 100):
            bad.append(malformed(stage.draw, len(bad), batch[place]))
            batch.insert(stage.draw.randrange(len(batch)), bad[-1])
    stage.draw.shuffle(batches)
    with stage.workers():
        stage.send(batches)
        stage.wait_for_recovery()
    figures = stage.checked(load, rejected=len(bad))
    kept = sorted(json.dumps(row["payload"], sort_keys=True) for row in stage.world.rejected())
    assert kept == sorted(json.dumps(payload, sort_keys=True) for payload in bad)
    stage.add_to_table("1 % malformed events, by worker processes", len(bad), figures)


def malformed(draw: Random, number: int, good: dict[str, Any]) -> Any:
    """A malformed event; each number gives a different one."""
    field, value = draw.choice(
        (
            ("event_id", f"not an id {number}"),
            ("amount_micros", f"{number}.5"),
            ("amount_micros", number + 0.5),
            ("amount_micros", None),
            ("occurred_at", f"yesterday {number}"),
            ("campaign_id", [number]),
            ("currency", number),
        )
    )
    return {**good, "event_id": str(uuid4()), "number": number, field: value}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read from /proc")
def test_huge_messages_are_counted_or_kept_whole_and_delay_no_others(stage: FaultStage) -> None:
    load = stage.load(100)
    with stage.workers() as master:
        until(lambda: is_ready(master), "the workers are ready")
        stage.send(load.batches(10))
        until(stage.is_done, "small messages are counted")
        before = peak_bytes(master.process.pid)
        for megabytes in (1, 10):
            assert stage.is_sent([{**load.event(), "padding": "x" * megabytes * MEGABYTE}])
        stage.wait_for_recovery()
        after_taken = peak_bytes(master.process.pid)
        huge = [{"padding": "x" * 64 * MEGABYTE}]
        with pytest.raises(MessageTooLarge):
            stage.is_sent(huge)
        put(stage, "ingest_spend", {"events": huge}, {})
        stage.send(load.batches(20))
        stage.wait_for_recovery()
        copies = (peak_bytes(master.process.pid) - before) / (64 * MEGABYTE)
        progress(f"10 MB: {(after_taken - before) / MEGABYTE:.0f} MB more; 64 MB: {copies:.1f} copies at most\n")
        assert copies < COPIES_ALLOWED
        assert not master.logged("worker.died")
    figures = stage.checked(load, rejected=1)
    (row,) = stage.world.rows("SELECT reason, payload->'kwargs'->'events' AS events FROM rejected_events")
    assert row == {"reason": "too_large", "events": huge}
    stage.add_to_table("messages of 1, 10 and 64 MB", 3, figures)


def peak_bytes(master: int) -> int:
    """The largest peak memory, in bytes, of the master's worker processes."""
    peaks = []
    for pid in children(master):
        (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
        peaks.append(int(line.split()[1]) * 1024)
    return max(peaks)


def test_forged_options_and_unknown_actors_stop_nothing(stage: FaultStage) -> None:
    rounds = size(3, 100)
    load = stage.load(size(100, 1_000))
    bad = 0
    for number in range(rounds):
        for options in FORGED:
            put(stage, "ingest_spend", {"events": load.batches(1)[0]}, options)
        put(stage, f"drop_table_{number}", {}, stage.draw.choice(FORGED))
        put(stage, "apply_dayparting", {"no_such_argument": number}, {"retries": MAX_RETRIES}, "schedule")
        put_bytes(stage, f"\xff rubbish {number}".encode("latin-1"), str(uuid4()))
        bad += 3
    with stage.workers() as master:
        stage.wait_for_recovery()
        until(lambda: len(stage.world.rejected()) == bad, "invalid messages are kept")
        until(lambda: not stage.queue.exists("dramatiq:schedule.msgs"), "the queue is empty")
        assert not master.logged("worker.died")
    figures = stage.checked(load, rejected=bad)
    reasons = [row["reason"] for row in stage.world.rejected()]
    assert {reason: reasons.count(reason) for reason in reasons} == dict.fromkeys(
        ("unknown_actor", "dead_letter", "undecodable"), rounds
    )
    stage.add_to_table("forged options, unknown actors, rubbish", rounds * (len(FORGED) + 3), figures)


def test_message_that_kills_its_process_is_rejected_and_all_others_are_counted(stage: FaultStage) -> None:
    deadly = size(2, 20)
    load = stage.load(size(20, 1_000))
    with stage.started("-m", "tests.faults.worker") as master:
        until(lambda: is_ready(master), "the workers are ready")
        kinds = ["signal", "exit"] * (deadly // 2)
        for how in kinds:
            stage.send(load.batches(20))
            message: Message[None] = Message(
                queue_name="spend", actor_name="kill_the_process", args=(how,), kwargs={}, options={}
            )
            stage.producer.enqueue(message)
            stage.send(load.batches(20))
        stage.wait_for_recovery()
        until(lambda: len(stage.world.rejected()) == deadly, "the deadly messages are rejected")
        deaths = [line["exit_code"] for line in master.logged("worker.died")]
        assert DEATHS_ALLOWED * deadly <= len(deaths) <= (DEATHS_ALLOWED + 1) * deadly
        assert set(deaths) == {-signal.SIGKILL, 3}
        stage.send(load.batches(20))
        until(stage.is_done, "the service continues")
        assert len(master.logged("worker.died")) == len(deaths)
    figures = stage.checked(load, rejected=deadly)
    given_up = [(row["reason"], row["payload"]["actor_name"]) for row in stage.world.rejected()]
    assert given_up == [("kills_its_worker", "kill_the_process")] * deadly
    # a row stays if another message killed the process before it was deleted; maintenance deletes it after a week
    left = stage.world.rows("SELECT deaths FROM suspect_messages")
    assert all(row["deaths"] >= DEATHS_ALLOWED for row in left)
    stage.add_to_table("message that kills its process, among others", deadly, figures)
