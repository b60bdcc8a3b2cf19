"""Workers on a real broker process valid messages, and keep invalid and failing ones without delaying the others."""

import gc
import json
import random
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dramatiq
import psycopg
import pytest
import structlog
from dramatiq import Message, Worker
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import InternalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

import delivery.middleware
from db.engine import committed, engine, transaction
from db.repository.ledger import rejected
from delivery import messages
from delivery.broker import get_broker, middleware
from delivery.middleware import MAX_RETRIES, is_retried
from delivery.rabbitmq import consumer as rabbit_consumer
from delivery.redis import consumer as redis_consumer
from delivery.redis.broker import SpendgateBroker
from runtime import clock
from runtime.settings import Settings, SettingsError, settings
from tests.cli.shell import serving
from tests.kit import dead_letters, is_empty, lines, message_of, put, put_message, put_text, queue, working
from tests.queues import ON_REDIS, queues
from tests.world import World, eventually
from workers.actors.ingest import ingest_spend
from workers.actors.schedule import apply_dayparting

broker = get_broker()


@pytest.fixture
def campaign(world: World) -> int:
    """Returns a campaign of a brand without limits."""
    return world.campaign(world.brand())


@pytest.fixture
def worker(world: World) -> Iterator[Worker]:
    """Runs a worker during the test."""
    with working() as running:
        yield running


def send(world: World, campaign: int, micros: int = 1) -> None:
    ingest_spend.send(events=[world.event(campaign, micros)])


def kept(world: World) -> list[tuple[str, Any]]:
    return [(row["reason"], row["payload"]) for row in world.rejected()]


# --- invalid messages


def test_worker_counts_a_valid_message(world: World, campaign: int, worker: Worker) -> None:
    send(world, campaign, 5)
    eventually(lambda: world.spent(campaign) == 5 and is_empty())
    assert kept(world) == []
    assert dead_letters() == set()


RUBBISH: dict[str, bytes] = {
    "undecodable": b"\xff\xfe rubbish \0",
    "no json": b"{'actor_name': 'ingest_spend'}",
    "empty": b"",
    "a number": b"5",
    "null": b"null",
    "an empty list": b"[]",
    "an empty object": b"{}",
    "other fields": b'{"queue_name": "spend", "function": "ingest_spend"}',
    "too many fields": b'{"queue_name": "spend", "actor_name": "ingest_spend", "args": [], "kwargs": {}, "x": 1}',
    "nested beyond reading": b"[" * 100_000,
    "ten megabytes": b'{"padding": "' + b"x" * 10_000_000 + b'"}',
}


def test_worker_keeps_undecodable_bytes_and_does_not_delay_messages(world: World, campaign: int) -> None:
    for data in RUBBISH.values():
        send(world, campaign)
        put(data)
        put(data)
    send(world, campaign)
    with working():
        eventually(lambda: world.spent(campaign) == len(RUBBISH) + 1 and is_empty(), 30)
    assert dead_letters() == set()
    rows = world.rejected()
    assert {row["reason"] for row in rows} == {"undecodable"}
    assert [row["times"] for row in rows] == [2] * len(RUBBISH)
    assert {len(str(row["payload"])) for row in rows} >= {100_000}
    assert all(row["kind"] == "message" for row in rows)


def test_worker_keeps_json_that_is_not_a_message_as_json(world: World, campaign: int) -> None:
    shapes: list[dict[str, Any]] = [
        {"options": [1]},
        {"kwargs": [["events", []]]},
        {"message_id": 17},
        {"queue_name": "schedule"},
        {"queue_name": None},
        {"actor_name": ["ingest_spend"]},
        {"actor_name": None},
    ]
    for fields in shapes:
        put_message(**fields)
    send(world, campaign)
    with working():
        eventually(lambda: world.spent(campaign) == 1 and is_empty(), 10)
    assert dead_letters() == set()
    rows = world.rejected()
    assert [row["payload"] | fields for row, fields in zip(rows, shapes, strict=True)] == [
        row["payload"] for row in rows
    ]


def test_worker_keeps_a_message_for_an_unknown_actor(world: World, campaign: int) -> None:
    put_message("drop_everything", kwargs={"really": True})
    send(world, campaign)
    with working():
        eventually(lambda: world.spent(campaign) == 1 and is_empty(), 10)
    ((reason, payload),) = kept(world)
    assert (reason, payload["kwargs"], dead_letters()) == ("unknown_actor", {"really": True}, set())


def test_worker_processes_a_message_of_ten_megabytes(world: World, campaign: int) -> None:
    put_message(kwargs={"events": [{"padding": "x" * 10_000_000}, world.event(campaign, 5)]})
    send(world, campaign)
    with working():
        eventually(lambda: world.spent(campaign) == 6 and is_empty(), 20)
    ((reason, payload),) = kept(world)
    assert (reason, len(payload["padding"])) == ("malformed", 10_000_000)


def test_input_nested_too_deeply_is_rejected_alone(world: World, campaign: int) -> None:
    depths = [*range(900, 1_000, 6), 50_000]
    for depth in depths:
        nested = "[" * depth + "]" * depth
        put_text(f'{{"events": [{nested}, {json.dumps(world.event(campaign, 1))}]}}')
        send(world, campaign)
    with working():
        eventually(lambda: world.spent(campaign) == 2 * len(depths) and is_empty(), 15)
    assert world.rows("SELECT reason, sum(times) AS times FROM rejected_events GROUP BY reason") == [
        {"reason": "malformed", "times": len(depths)}
    ]
    with transaction() as connection:
        assert rejected.waiting(connection)


def test_failing_message_nested_too_deeply_does_not_end_the_thread(world: World, campaign: int) -> None:
    """Neither the log line of the failure nor the retry can be written at such a depth."""
    depths = [*range(900, 1_000, 6)]
    for depth in depths:
        put_text(f'{{"self": {"[" * depth + "]" * depth}}}')
    with working(threads=2) as worker:
        eventually(lambda: len(world.rejected()) == len(depths), 15)
        assert all(thread.is_alive() for thread in worker.workers)
        send(world, campaign, 5)
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), 15)


@pytest.mark.parametrize("source", ["[{" * 90, "]}" * 90, '"[' * 90])
def test_brackets_within_a_string_do_not_count_as_nesting(world: World, campaign: int, source: str) -> None:
    ingest_spend.send(events=[world.event(campaign, 5, source=source)])
    with working():
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), 15)
    assert world.rejected() == []


def test_message_near_the_size_limit_is_retried_after_a_transient_error(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry is larger than the message, because it adds a traceback."""
    monkeypatch.setenv("SPENDGATE_MAX_MESSAGE_BYTES", "65536")
    settings.cache_clear()
    world.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'starting up' USING ERRCODE = '57P03'; END $$"
    )
    world.execute("CREATE TRIGGER fail BEFORE INSERT ON brand_days FOR EACH ROW EXECUTE FUNCTION fail()")
    event = {**world.event(campaign, 5), "note": "é" * 32_000}
    put(
        json.dumps(
            message_of("ingest_spend", "spend", "large", kwargs={"events": [event]}), ensure_ascii=False
        ).encode()
    )
    with working():
        eventually(lambda: queues().count("spend.DQ") == 1, 15)
        world.execute("DROP TRIGGER fail ON brand_days")
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), 15)
    assert world.rejected() == []


def test_message_is_retried_until_the_database_accepts_writes(world: World, campaign: int) -> None:
    """The database is read-only for a while, as after a failover when connections still reach the old primary."""
    name = world.url.rpartition("/")[2]
    world.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    engine().dispose()
    send(world, campaign, 5)
    with working():
        eventually(lambda: queues().count("spend.DQ") == 1, 15)
        with psycopg.connect(world.url, autocommit=True, options="-c default_transaction_read_only=off") as operator:
            operator.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = off'.encode())
        eventually(lambda: world.spent(campaign) == 5 and is_empty(), 15)
    assert world.rejected() == []


def test_transient_errors_are_retried_beyond_max_retries(database: str) -> None:
    def write_in_a_read_only_transaction(connection: Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql("INSERT INTO brands (name) VALUES ('b')")

    with pytest.raises(InternalError) as read_only:
        committed(write_in_a_read_only_transaction)
    few = create_engine(database, pool_size=1, max_overflow=0, pool_timeout=0.1)
    with few.connect(), pytest.raises(NoConnectionFree) as exhausted:
        few.connect()
    few.dispose()
    for error in (read_only.value, read_only.value.orig, exhausted.value):
        assert error is not None
        assert is_retried(MAX_RETRIES, error)
    assert not is_retried(MAX_RETRIES, ValueError())


FORGED: list[dict[str, object]] = [
    {"redis_message_id": 5},
    {"redelivered": 5},
    {"kept": True},
    {"throws": "x"},
    {"max_retries": "x"},
    {"retries": "x"},
    {"retries": None},
    {"retries": []},
    {"time_limit": "x"},
    {"on_failure": "nobody"},
    {"on_success": "drop_everything"},
    {"on_retry_exhausted": "nobody"},
    {"min_backoff": "x"},
    {"eta": "x"},
    {"eta": {}},
    {"eta": -1},
    {"requeue_timestamp": "x"},
    {"traceback": {"a": 1}},
    {"pipe_target": {"a": 1}},
    {"group_callbacks": 5},
]


@pytest.mark.parametrize("succeeds", [True, False])
def test_forged_options_stop_no_worker_and_lose_no_message(world: World, campaign: int, succeeds: bool) -> None:
    """`succeeds`: whether the actor succeeds; otherwise it fails on the last retry."""
    for forged in FORGED:
        if succeeds:
            put_message(kwargs={"events": [world.event(campaign, 1)]}, options=forged)
        else:
            put_message("failing", "failures", options={"retries": MAX_RETRIES, **forged})
    with working() as worker:
        eventually(lambda: is_empty("spend", "failures"), 30)
        assert world.spent(campaign) + kept_messages(world) == len(FORGED)
        send(world, campaign, 100)
        eventually(lambda: world.spent(campaign) >= 100, 10)
        assert all(thread.is_alive() for thread in worker.workers)
    assert dead_letters() | dead_letters("failures") == set()


def kept_messages(world: World) -> int:
    return sum(row["times"] for row in world.rejected())


@dramatiq.actor(broker=broker, queue_name="failures", min_backoff=1, max_backoff=5)
def failing() -> None:
    """Raises ValueError on every try."""
    raise ValueError("it cannot be done")


# --- failing messages


def test_failing_message_is_retried_and_then_kept_with_its_error(world: World, worker: Worker) -> None:
    tries.clear()
    failing_once_more.send("first")
    eventually(lambda: len(world.rejected()) == 1 and is_empty("failures"))
    assert tries == ["first"] * (MAX_RETRIES + 1)
    row = world.rejected()[0]
    assert (row["reason"], row["kind"], row["payload"]["args"]) == ("dead_letter", "message", ["first"])
    assert row["detail"] == "KeyError: 'it cannot be done'"
    assert dead_letters("failures") == set()


tries: list[str] = []


@dramatiq.actor(broker=broker, queue_name="failures", min_backoff=1, max_backoff=5)
def failing_once_more(name: str) -> None:
    """Records its argument in `tries` and raises KeyError on every try."""
    tries.append(name)
    raise KeyError("it cannot be done")


def test_message_with_wrong_arguments_is_kept_and_does_not_delay_others(
    world: World, campaign: int, worker: Worker
) -> None:
    put_message("apply_dayparting", "schedule", args=[1, 2, 3], options={"retries": MAX_RETRIES})
    apply_dayparting.send()
    send(world, campaign)
    eventually(lambda: world.spent(campaign) == 1 and is_empty("schedule"), 10)
    assert [row["reason"] for row in world.rejected()] == ["dead_letter"]


def test_thread_backs_off_while_postgres_is_unreachable_and_other_messages_wait(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    backs_off, goes_on = threading.Event(), threading.Event()

    def sleep(_seconds: float) -> None:
        backs_off.set()
        goes_on.wait(30)

    monkeypatch.setattr(delivery.middleware, "time", SimpleNamespace(sleep=sleep))
    fail_with(world, "57P03")
    for _ in range(5):
        put_message(kwargs={"events": [world.event(campaign, 5)]}, options={"retries": 1})
    with working(threads=1):
        eventually(backs_off.is_set)
        assert (queues().count("spend"), queues().count("spend.DQ")) == (5, 0)
        world.execute("DROP TRIGGER fail ON brand_days")
        goes_on.set()
        eventually(lambda: world.spent(campaign) == 25 and is_empty(), 15)
    assert world.rejected() == []


def fail_with(world: World, sql_state: str) -> None:
    """Lets counting fail with this SQLSTATE until the trigger `fail` is dropped."""
    world.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'starting up' USING ERRCODE = '{sql_state}'; END $$"
    )
    world.execute("CREATE TRIGGER fail BEFORE INSERT ON brand_days FOR EACH ROW EXECUTE FUNCTION fail()")


def test_message_with_a_transient_error_is_retried_beyond_max_retries(world: World, campaign: int) -> None:
    fail_with(world, "57P03")
    put_message(kwargs={"events": [world.event(campaign, 5)]}, options={"retries": MAX_RETRIES + 3})
    with working():
        eventually(lambda: queues().count("spend.DQ") == 1, 10)
        assert world.rejected() == []


def test_message_whose_transaction_lost_its_connection_is_retried(world: World, campaign: int) -> None:
    """The retry comes after at most half a second; the message is neither lost nor kept as rejected."""
    with psycopg.connect(world.url) as connection:
        connection.execute("LOCK TABLE brand_days IN ACCESS EXCLUSIVE MODE")
        with working():
            send(world, campaign, 5)
            waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            eventually(lambda: bool(world.rows(waiting)))
            world.execute("SELECT pg_terminate_backend(%s)", world.rows(waiting)[0]["pid"])
            eventually(lambda: not world.rows(waiting))
            connection.rollback()
            eventually(lambda: world.spent(campaign) == 5 and is_empty())
    assert world.rejected() == []


def test_invalid_message_stays_a_dead_letter_until_postgres_stores_it(world: World, campaign: int) -> None:
    world.execute("ALTER TABLE rejected_events RENAME TO away")
    redis_id = put(b"rubbish")
    with structlog.testing.capture_logs() as logged, working():
        send(world, campaign)
        eventually(lambda: world.spent(campaign) == 1 and is_empty(), 10)
    assert dead_letters() == {redis_id}
    assert [line["reason"] for line in lines(logged, "message.not_kept")] == ["undecodable"]
    world.execute("ALTER TABLE away RENAME TO rejected_events")
    with working():
        eventually(lambda: dead_letters() == set(), 20)
    assert kept(world) == [("dead_letter", "rubbish")]


@pytest.mark.parametrize("behind_seconds", [0, 1_200])
def test_dead_letter_that_postgres_refuses_blocks_no_other_and_stays(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch, behind_seconds: int
) -> None:
    monkeypatch.setattr("dramatiq.common.time", lambda: clock.read().timestamp() - behind_seconds)
    refused, other = put_dead_letters(world, campaign, b"refused", b"rubbish")
    for module in (redis_consumer, rabbit_consumer):
        monkeypatch.setattr(module, "TIDY_SECONDS", 0.2)
    refuse_to_keep(world, "strpos(NEW.payload::text, 'refused') > 0")
    assert dead_letters() == {refused, other}
    with structlog.testing.capture_logs(), working():
        eventually(lambda: dead_letters() == {refused})
    assert kept(world) == [("dead_letter", "rubbish")]


def put_dead_letters(world: World, campaign: int, *several: bytes) -> list[str]:
    """Lets a worker dead-letter invalid messages while Postgres cannot store them; returns their names."""
    world.execute("ALTER TABLE rejected_events RENAME TO away")
    names = [put(data) for data in several]
    with structlog.testing.capture_logs(), working():
        send(world, campaign)
        eventually(lambda: world.spent(campaign) == 1 and is_empty())
    world.execute("ALTER TABLE away RENAME TO rejected_events")
    return names


def refuse_to_keep(world: World, condition: str) -> None:
    """Lets Postgres refuse rejected inputs that meet the condition."""
    world.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$"
    )
    world.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON rejected_events "
        f"FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refuse()"
    )


@pytest.mark.parametrize("is_refused", [False, True], ids=["too large", "refused"])
def test_only_the_head_of_a_huge_message_is_kept(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch, is_refused: bool
) -> None:
    monkeypatch.setattr(messages, "HEAD_BYTES", 100)
    monkeypatch.setattr(messages, "KEPT_BYTES", 10_000 if is_refused else 1_000)
    if is_refused:
        refuse_to_keep(world, "length(NEW.payload::text) > 1000")
    put(b"x" * 2_000)
    send(world, campaign)
    with structlog.testing.capture_logs(), working():
        eventually(lambda: world.spent(campaign) == 1 and is_empty())
    assert kept(world) == [("undecodable", "x" * 100)]
    assert "cut to 100 of 2000 bytes" in world.rejected()[0]["detail"]
    assert dead_letters() == set()


def test_message_whose_retry_cannot_be_enqueued_is_dead_lettered(world: World) -> None:
    failing_once_more.send("lost?")
    with structlog.testing.capture_logs(), queues().refusing("failures.DQ"), working():
        eventually(lambda: len(world.rejected()) == 1, 10)
    assert [row["reason"] for row in world.rejected()] == ["dead_letter"]


def test_log_lines_of_a_message_have_its_id_and_actor(world: World, campaign: int) -> None:
    seen: list[Any] = []
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, seen_by(seen)])
    try:
        with working(threads=1):
            sent = ingest_spend.send(events=[world.event(campaign, 1)])
            eventually(is_empty)
    finally:
        structlog.reset_defaults()
    (line,) = [line for line in seen if line["event"] == "spend.ingested"]
    assert (line["message_id"], line["actor"]) == (sent.message_id, "ingest_spend")


def seen_by(seen: list[Any]) -> Any:
    def keep(_logger: object, _method: str, event: Any) -> Any:
        seen.append(dict(event))
        raise structlog.DropEvent

    return keep


def test_broker_without_a_url_raises_settings_error_when_it_sends(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.delenv("BROKER_URL", raising=False)
    from runtime.settings import settings  # noqa: PLC0415 - its cache is emptied for this test alone

    settings.cache_clear()
    no_url_broker = SpendgateBroker(None, middleware())
    no_url_broker.declare_queue("spend")
    with pytest.raises(SettingsError, match="REDIS_URL: not set"):
        no_url_broker.enqueue(ingest_spend.message(events=[]))
    assert Settings().redis_url is None


# --- producers that import only Dramatiq


PRODUCER = """
import json, os, sys
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.rabbitmq import RabbitmqBroker

if "BROKER_URL" in os.environ:
    broker = RabbitmqBroker(url=os.environ["BROKER_URL"], confirm_delivery=True)
else:
    broker = RedisBroker(url=os.environ["REDIS_URL"])
broker.declare_queue("spend")
for line in sys.stdin:
    message = dramatiq.Message("spend", "ingest_spend", args=(), kwargs={"events": json.loads(line)}, options={})
    broker.enqueue(message)
assert not {name.partition(".")[0] for name in sys.modules} & {"workers", "db", "domain", "runtime", "cli", "web"}
"""


def test_messages_sent_ten_times_by_four_producers_are_counted_once(world: World, tmp_path: Path) -> None:
    randomness = random.Random(3)
    campaigns = [world.campaign(world.brand(zone, daily=1_000)) for zone in ("UTC", "Asia/Kathmandu")]
    expected = dict.fromkeys(campaigns, 0)
    batches = []
    for size in (1, 2, 37, 400, 5_000, 1):
        batch = []
        for _ in range(size):
            campaign, amount = randomness.choice(campaigns), randomness.randrange(-500, 10**6)
            at = clock.now() - timedelta(days=randomness.randrange(30))
            batch.append(world.event(campaign, amount, at))
            expected[campaign] += amount
        batches.append(batch)
    deliveries = [json.dumps(batch) for batch in batches for _ in range(10)]
    randomness.shuffle(deliveries)
    with serving("-m", "workers", output=tmp_path / "worker", env={"LOG_LEVEL": "ERROR"}) as worker:
        produce(["\n".join(deliveries[place::4]) for place in range(4)])
        eventually(lambda: is_empty() and {campaign: world.spent(campaign) for campaign in campaigns} == expected, 60)
        worker.send(signal.SIGTERM)
        assert worker.code(30) == 0
    assert world.one("SELECT count(*) FROM spend_events")["count"] == sum(map(len, batches))
    assert world.rejected() == []
    world.verify()


def produce(inputs: list[str]) -> None:
    from subprocess import PIPE, Popen  # noqa: PLC0415

    producers = [Popen([sys.executable, "-c", PRODUCER], stdin=PIPE, text=True, cwd="/") for _ in inputs]
    for producer, text in zip(producers, inputs, strict=True):
        producer.communicate(text + "\n")
        assert producer.returncode == 0


def test_messages_of_a_consumer_that_lost_its_connection_are_redelivered(world: World, campaign: int) -> None:
    send(world, campaign)
    lost = broker.consume("spend", prefetch=4, timeout=2_000)
    assert next(iter(lost)) is not None
    assert (queues().waiting("spend"), queues().count("spend")) == ([], 1)
    queues().lose_connections()
    with working():
        eventually(lambda: world.spent(campaign) == 1 and is_empty(), 10)
    lost.close()


# --- memory


def test_idle_threads_do_not_keep_finished_messages(world: World, campaign: int, worker: Worker) -> None:
    event = world.event(campaign, 5)
    ingest_spend.send(events=[event])
    eventually(lambda: world.spent(campaign) == 5 and is_empty())

    def messages_in_memory() -> list[object]:
        gc.collect()
        return [item for item in gc.get_objects() if type(item) is Message and event["event_id"] in str(item.kwargs)]

    eventually(lambda: not messages_in_memory())


# --- the dedicated connection of a consumer


@ON_REDIS
@pytest.mark.parametrize("loss", ["CLIENT KILL TYPE normal", "SCRIPT FLUSH"])
def test_consumer_fetches_after_its_connection_or_scripts_were_lost(world: World, campaign: int, loss: str) -> None:
    server: Any = queue()
    consumer: Any = broker.consume("spend", prefetch=1, timeout=20)
    try:
        assert next(consumer) is None
        server.execute_command(*loss.split())
        send(world, campaign)
        assert next(consumer).actor_name == "ingest_spend"
    finally:
        consumer.close()
