"""Measures events a second from Redis to the commit, beside a plain COPY of the same rows in equal batches."""

import struct
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import psycopg

from benchmarks import workload
from benchmarks.stage import BenchStage
from runtime import clock

Batches = list[list[dict[str, Any]]]
WARM: Final = 40
"""Messages processed before the measurement, to open connections and prepare statements."""

COPY: Final = """
    COPY spend_events (event_id, brand_id, campaign_id, occurred_at, amount_micros, source, received_at)
    FROM STDIN (FORMAT binary)
"""
SUMS: Final = """
    SELECT (SELECT sum(amount_micros) FROM spend_events), (SELECT sum(spent_micros) FROM campaign_days),
        (SELECT sum(spent_micros) FROM brand_days)
"""
OVER_THEIR_LIMIT: Final = """
    SELECT count(*), count(*) FILTER (WHERE EXISTS (
        SELECT FROM campaigns WHERE campaigns.brand_id = brands.id AND effective_status = 'active'
    ))
    FROM brands JOIN budgets ON budgets.brand_id = brands.id AND campaign_id IS NULL AND period = 'daily'
    JOIN brand_days ON brand_days.brand_id = brands.id AND day = (now() AT TIME ZONE time_zone)::date
    WHERE spent_micros >= limit_micros
"""
ROW: Final = struct.Struct("!hi16siqiqiqiqiiq")
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


def rows(batch: Iterable[dict[str, Any]], at: datetime) -> bytes:
    """The rows of a batch in Postgres's binary format for COPY, received at `at`."""
    received = micros_since_2000(at)
    made = [HEADER]
    for event in batch:
        campaign = event["campaign_id"]
        occurred = micros_since_2000(datetime.fromisoformat(event["occurred_at"]))
        event_id = bytes.fromhex(event["event_id"].replace("-", ""))
        values = (16, event_id, 8, 1 + (campaign - 1) % workload.BRANDS, 8, campaign)
        made.append(ROW.pack(7, *values, 8, occurred, 8, event["amount_micros"], 0, 8, received))
    return b"".join([*made, TRAILER])


def micros_since_2000(at: datetime) -> int:
    """Microseconds since 2000-01-01, as Postgres stores timestamps."""
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def copied(stage: BenchStage, batches: Batches) -> float:
    """Measures events a second that one connection COPYs from messages into an empty ledger, with a commit for each."""
    at = clock.now()
    read = (rows(msgspec.json.decode(message)["kwargs"]["events"], at) for message in workload.messages(batches))
    return _copied(stage, read, sum(map(len, batches)))


def copied_ready(stage: BenchStage, batches: Batches) -> float:
    """Measures events a second that one connection COPYs from prepared rows into an empty ledger: Postgres alone."""
    at = clock.now()
    return _copied(stage, [rows(batch, at) for batch in batches], sum(map(len, batches)))


def _copied(stage: BenchStage, ready: Iterable[bytes], events: int) -> float:
    with stage.copied() as observer, psycopg.connect(stage.url()) as connection:
        started = time.perf_counter()
        for data in ready:
            with connection.cursor() as cursor, cursor.copy(COPY) as copy:
                copy.write(data)
            connection.commit()
        seconds = time.perf_counter() - started
        check(observer, events)
    return events / seconds


def ingested(
    stage: BenchStage,
    batches: Batches,
    warm: Batches,
    deliveries: int = 1,
    *,
    must_cross: bool = True,
    prepare: Callable[[psycopg.Connection[Any]], None] = lambda _: None,
    begin: Callable[[psycopg.Connection[Any]], None] = lambda _: None,
) -> float:
    """Measures events a second that the worker processes read from Redis, count and enforce.

    Each message is sent `deliveries` times; all deliveries count. `warm`: messages processed before the measurement.
    `must_cross`: whether the load must take a brand over its limit. `prepare`: called before the workers start,
    `begin`: before the measurement.
    """
    ready = workload.messages(batches * deliveries)
    with stage.copied() as observer:
        prepare(observer)
        return _ingested(stage, observer, batches, warm, ready, must_cross=must_cross, begin=begin)


def _ingested(
    stage: BenchStage,
    observer: psycopg.Connection[Any],
    batches: Batches,
    warm: Batches,
    ready: list[bytes],
    *,
    must_cross: bool,
    begin: Callable[[psycopg.Connection[Any]], None],
) -> float:
    with stage.workers():
        stage.put(workload.messages(warm))
        stage.until_done()
        begin(observer)
        seconds = stage.seconds_for(ready)
        check(observer, sum(map(len, batches)) + sum(map(len, warm)))
        check_enforced(observer, must_cross=must_cross)
    return len(ready) * sum(map(len, batches)) / len(batches) / seconds


def passed_through(stage: BenchStage, batches: Batches) -> float:
    """Measures messages a second that the worker processes read from Redis for an actor that does nothing."""
    with stage.copied(), stage.workers("benchmarks.idle_worker"):
        stage.put(workload.messages(batches[:WARM], "do_nothing"))
        stage.until_done()
        return len(batches) / stage.seconds_for(workload.messages(batches, "do_nothing"))


def counted(connection: psycopg.Connection[Any]) -> int:
    """The number of events in the ledger."""
    ((found,),) = connection.execute("SELECT count(*) FROM spend_events").fetchall()
    return int(found)


def check(connection: psycopg.Connection[Any], events: int) -> None:
    """Raises AssertionError unless the ledger has exactly `events` events."""
    found = counted(connection)
    assert found == events, f"{found} of {events} events are in the ledger"


def check_enforced(connection: psycopg.Connection[Any], *, must_cross: bool = True) -> None:
    """Raises AssertionError unless both counters equal the ledger and every brand over its limit is paused.

    `must_cross`: raises it, too, if no brand went over its limit.
    """
    ((ledger, campaigns, brands),) = connection.execute(SUMS).fetchall()
    assert ledger == campaigns == brands, f"{ledger} micros in the ledger, {campaigns} and {brands} in the counters"
    ((over, running_on),) = connection.execute(OVER_THEIR_LIMIT).fetchall()
    assert over > 0 or not must_cross, "no brand went over its limit"
    assert running_on == 0, f"{running_on} of {over} brands run on over their limit"
