"""The processes of the Procfile as deployed: they count every message, stop cleanly and lose nothing."""

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dramatiq
import pytest

from db.repository.access.privileges import DatabaseRole
from runtime import clock, listening
from tests.cli.shell import UNCHANGED, Env, Service, run, serving
from tests.kit import is_empty
from tests.ports import free_port
from tests.queues import USES_NO_BROKER, is_rabbitmq, queues
from tests.roles import UrlOf
from tests.runtime.test_listening import on_ipv6
from tests.world import UNIT, World, eventually

BATCH = 200
JOBS = {
    "apply_dayparting",
    "check_queue",
    "reset_daily_budgets",
    "reset_monthly_budgets",
    "refresh_spend",
    "roll_up_hours",
    "seal_histories",
    "maintain_ledger",
    "generate_monthly_reports",
}
QUEUES = ("spend", "schedule", "enforcement", "reports")
FIRST_SECOND_OF_A_MONTH = datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC)
AT_THE_FIRST_SECOND = f"""
import datetime, sys, time_machine
time_machine.travel(datetime.datetime.fromisoformat("{FIRST_SECOND_OF_A_MONTH.isoformat()}"), tick=True).start()
from workers.scheduler import main
sys.exit(main())
"""
BROKER_AWAY = (
    {"BROKER_URL": "amqp://app:hidden@127.0.0.1:1/%2F"}
    if is_rabbitmq()
    else {"REDIS_URL": "redis://:hidden@127.0.0.1:1/0"}
)
POSTGRES_AWAY = "postgresql://app:hidden@127.0.0.1:1/spendgate"
PERIODIQ = "import sys, periodiq; sys.exit(periodiq.entrypoint())"
SMALL = {"SPENDGATE_WORKER_PROCESSES": "1", "SPENDGATE_WORKER_THREADS": "2"}

Start = Callable[..., AbstractContextManager[Service]]


@pytest.fixture
def start(url_of: UrlOf, tmp_path: Path) -> Start:
    """Returns a function that starts `python ...` on the test's database with its database role and an output file.

    `by_exec`: by an interpreter of its own, as it is deployed, in place of a fork that has imported most modules.
    """
    numbers = iter(range(100))

    def started(*argv: str, env: Env = UNCHANGED, by_exec: bool = False) -> AbstractContextManager[Service]:
        role = DatabaseRole.WEB if argv == ("-m", "web") else DatabaseRole.WORKER
        output = tmp_path / f"output-{next(numbers)}"
        return serving(*argv, output=output, env={"DATABASE_URL": url_of(role), **env}, by_exec=by_exec)

    return started


def enqueue(batches: list[list[dict[str, Any]]]) -> None:
    for events in batches:
        message: dramatiq.Message[None] = dramatiq.Message(
            queue_name="spend", actor_name="ingest_spend", args=(), kwargs={"events": events}, options={}
        )
        dramatiq.get_broker().enqueue(message)


def batches_of(world: World, campaign: int, count: int, micros: int = UNIT) -> list[list[dict[str, Any]]]:
    return [[world.event(campaign, micros) for _ in range(BATCH)] for _ in range(count)]


def waiting_messages() -> int:
    """Returns how many messages of queue `spend` are waiting, in progress or delayed for a retry.

    Delayed ones are counted before and after the others: a message may move between two counts, and counts twice then.
    """
    before, others, after = (queues().count(name) for name in ("spend.DQ", "spend", "spend.DQ"))
    return others + max(before, after)


def queued_actors() -> list[str]:
    """Returns the actor name of each waiting message."""
    return [dramatiq.Message.decode(body).actor_name for name in QUEUES for body in queues().waiting(name)]


def events_in_ledger(world: World) -> int:
    return int(world.one("SELECT count(*) AS events FROM spend_events")["events"])


def is_ready(service: Service) -> bool:
    return any('"worker.ready"' in line for line in service.lines())


def test_worker_counts_enqueued_events_and_logs_json_lines(world: World, start: Start) -> None:
    campaign = world.campaign(world.brand(daily=3 * BATCH * UNIT))
    with start("-m", "workers", env=SMALL, by_exec=True) as worker:
        enqueue([*batches_of(world, campaign, 3), [{"event_id": "rubbish"}]])
        eventually(lambda: world.spent(campaign) == 3 * BATCH * UNIT and len(world.rejected()) == 1)
        eventually(lambda: waiting_messages() == 0)
        worker.send(signal.SIGTERM)
        assert worker.code() == 0
    for name in ("spend.ingested", "spend.rejected", "campaign.paused", "budget.exhausted"):
        assert worker.logged(name), name
        for line in worker.logged(name):
            assert line["actor"] == "ingest_spend"
            assert {"message_id", "message_ids"} & line.keys()
    assert all({"event", "level", "at"} <= line.keys() for line in worker.logged())
    world.verify()


def test_worker_stops_in_time_under_load_and_loses_nothing(world: World, start: Start) -> None:
    campaign = world.campaign(world.brand())
    sent = batches_of(world, campaign, 600)
    enqueue(sent)
    with start("-m", "workers") as worker:
        eventually(lambda: events_in_ledger(world) > 0)
        worker.send(signal.SIGTERM)
        assert worker.code(30) == 0
    counted = events_in_ledger(world) // BATCH
    assert 0 < counted < len(sent), "the worker was not under load"
    assert counted + waiting_messages() == len(sent)
    assert world.spent(campaign) == counted * BATCH * UNIT
    world.verify()


def test_messages_of_a_killed_worker_are_counted_once_by_another(world: World, start: Start) -> None:
    campaign = world.campaign(world.brand())
    sent = batches_of(world, campaign, 300)
    enqueue(sent)
    with start("-m", "workers", by_exec=True) as killed:
        eventually(lambda: events_in_ledger(world) > 0)
        os.killpg(killed.process.pid, signal.SIGKILL)
        killed.code()
    assert waiting_messages() > 0, "the worker was done before it was killed"
    with start("-m", "workers"):
        eventually(lambda: waiting_messages() == 0, 90)
    assert events_in_ledger(world) == len(sent) * BATCH
    assert world.spent(campaign) == len(sent) * BATCH * UNIT
    world.verify()


def test_commands_of_dramatiq_and_periodiq_run_workers_and_scheduler(world: World, start: Start) -> None:
    campaign = world.campaign(world.brand())
    enqueue(batches_of(world, campaign, 1))
    with start("-c", PERIODIQ, "workers.main", by_exec=True) as scheduler:
        eventually(lambda: "apply_dayparting" in queued_actors(), 90)
        assert scheduler.process.poll() is None
        with start("-m", "dramatiq", "workers.main", "--processes", "1", "--threads", "2", by_exec=True):
            eventually(lambda: is_empty(*QUEUES))
    assert world.spent(campaign) == BATCH * UNIT


@USES_NO_BROKER
@pytest.mark.parametrize(
    "argv",
    [
        ("-m", "workers"),
        ("-m", "workers.scheduler"),
        ("-m", "web"),
        ("-m", "cli.service.demo"),
        ("-m", "dramatiq", "workers.main", "--processes", "1"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REDIS_URL", None),
        ("BROKER_URL", "http://u:hidden@h/x"),
        ("DATABASE_URL", "mysql://u:hidden@h/x"),
        ("LOG_LEVEL", "LOUD"),
        ("SPENDGATE_HOST", "http://::1"),
    ],
)
def test_process_with_a_bad_setting_exits_with_2_and_one_line_that_names_it(
    argv: tuple[str, ...], variable: str, value: str | None
) -> None:
    result = run(*argv, env={"BROKER_URL": None, variable: value})
    assert result.code == 2
    assert [line for line in result.err.splitlines() if line.startswith(f"{variable}: ")], result.err
    assert "Traceback" not in result.err + result.out
    assert "hidden" not in result.err + result.out
    if "dramatiq" not in argv:
        assert result.err.count("\n") == 1


@USES_NO_BROKER
@pytest.mark.parametrize(
    "argv",
    [("-m", "workers"), ("-m", "workers.scheduler"), ("-m", "web"), ("-m", "cli.service.demo")]
    + [("-m", "cli", *command) for command in (("up",), ("status",), ("migrate",), ("verify",))],
    ids=" ".join,
)
def test_process_with_an_unreadable_env_file_exits_with_2_and_one_line(argv: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"LOG_LEVEL=DEBUG\xff\n")
    result = run(*argv, folder=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err == ".env: is not UTF-8: byte 16 is invalid\n"


@USES_NO_BROKER
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-host.invalid"])
@pytest.mark.parametrize("argv", [("-m", "web"), ("-m", "cli", "up")], ids=" ".join)
def test_process_refuses_to_listen_on_a_host_of_another_machine(argv: tuple[str, ...], host: str) -> None:
    result = run(*argv, env={"SPENDGATE_HOST": host})
    assert result.code == 2
    assert (
        result.err == f"SPENDGATE_HOST: {host} is not an address of this machine; set one, such as 127.0.0.1 or ::1\n"
    )


@USES_NO_BROKER
@pytest.mark.parametrize(
    ("process", "variable"),
    [("workers", "SPENDGATE_WORKER_METRICS_PORT"), ("workers.scheduler", "SPENDGATE_SCHEDULER_METRICS_PORT")],
)
def test_process_names_the_host_or_port_on_which_it_cannot_show_metrics(process: str, variable: str) -> None:
    result = run("-m", process, env={"SPENDGATE_METRICS_HOST": "192.0.2.1", variable: str(free_port())})
    assert (result.code, result.err.partition(":")[0], result.err.count("\n")) == (2, "SPENDGATE_METRICS_HOST", 1)


@USES_NO_BROKER
@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=on_ipv6), pytest.param("::", marks=on_ipv6)])
@pytest.mark.parametrize("argv", [("-m", "web"), ("-m", "cli", "up")], ids=" ".join)
def test_process_refuses_to_listen_on_a_port_in_use(argv: tuple[str, ...], host: str) -> None:
    sockets = listening.listening_sockets(host, 0)
    port = str(sockets[0].getsockname()[1])
    try:
        result = run(*argv, env={"SPENDGATE_HOST": host, "PORT": port})
    finally:
        listening.close(sockets)
    assert (result.code, result.err) == (2, f"PORT: {port} is in use; set another port\n")


def test_scheduler_sends_every_job_in_the_first_second_of_a_month(start: Start) -> None:
    with start("-c", AT_THE_FIRST_SECOND) as scheduler:
        eventually(lambda: set(queued_actors()) == JOBS)
        scheduler.send(signal.SIGTERM)
        assert scheduler.code() == 0
    assert sorted(queued_actors()) == sorted(JOBS)
    assert all("event" in line for line in scheduler.logged())


def test_two_schedulers_at_once_change_each_status_once(world: World, start: Start) -> None:
    today = clock.now()
    world.set_clock(today - timedelta(days=1))
    campaign = world.campaign(world.brand(daily=UNIT))
    world.spend(campaign, UNIT)
    assert world.holds(campaign) == {"brand_daily_budget"}
    world.set_clock(today)
    with start("-c", AT_THE_FIRST_SECOND) as first, start("-c", AT_THE_FIRST_SECOND) as second:
        eventually(lambda: sorted(queued_actors()) == sorted([*JOBS, *JOBS]))
        with start("-m", "workers", env=SMALL):
            eventually(lambda: is_empty(*QUEUES))
        assert [first.process.poll(), second.process.poll()] == [None, None]
    assert world.is_active(campaign)
    assert len(world.rows("SELECT FROM status_changes WHERE to_status = 'active'")) == 1
    assert world.rejected() == []
    world.verify()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_scheduler_exits_with_0_after_a_signal(start: Start, number: signal.Signals) -> None:
    with start("-m", "workers.scheduler", by_exec=True) as scheduler:
        eventually(lambda: "apply_dayparting" in queued_actors(), 90)
        scheduler.send(number)
        assert scheduler.code() == 0


def test_scheduler_retries_an_unreachable_broker_and_logs_it(start: Start) -> None:
    with start("-c", AT_THE_FIRST_SECOND, env=BROKER_AWAY) as scheduler:
        eventually(lambda: bool(scheduler.logged("scheduler.queue_away")))
        assert scheduler.process.poll() is None
        scheduler.send(signal.SIGTERM)
        assert scheduler.code() == 0
    assert "hidden" not in "".join(scheduler.lines())


def test_worker_waits_for_unreachable_servers(start: Start) -> None:
    away = {"DATABASE_URL": POSTGRES_AWAY, **BROKER_AWAY, **SMALL}
    with start("-m", "workers", env=away) as worker:
        eventually(lambda: any("level" in line and line["level"] != "info" for line in worker.logged()))
        assert worker.process.poll() is None
        worker.send(signal.SIGTERM)
        assert worker.code(30) == 0
    assert "hidden" not in "".join(worker.lines())


OFF_BY_400_SECONDS = """
import datetime, runpy, time_machine
past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=400)
time_machine.travel(past, tick=True).start()
runpy.run_module("workers", run_name="__main__")
"""


def test_worker_with_a_wrong_clock_leaves_its_messages_to_others(world: World, start: Start) -> None:
    campaign = world.campaign(world.brand(daily=10**12))
    with start("-c", OFF_BY_400_SECONDS, env=SMALL) as off:
        eventually(lambda: bool(off.logged("worker.ready")))
        enqueue(batches_of(world, campaign, 3))
        assert [line["offset_seconds"] > 399 for line in off.logged("clock.off")] == [True]
        with start("-m", "workers", env=SMALL) as right:
            eventually(lambda: waiting_messages() == 0)
            assert right.logged("spend.ingested")
        assert not off.logged("spend.ingested")
    assert (world.rejected(), world.spent(campaign)) == ([], 3 * BATCH * UNIT)
    # The process is further off by the time that a loaded machine takes between choosing the wrong time and its start.
    offsets = world.rows("SELECT extract(epoch FROM clock_offset)::int > 399 AS off FROM processes ORDER BY 1")
    assert [row["off"] for row in offsets] == [False, True]
