"""Two schedulers, restarts, an outage over midnight and failing ticks: each campaign is toggled once and is right."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from runtime import clock
from runtime.settings import settings
from tests.cli.shell import Service
from tests.faults.kit import FaultStage, progress, size, until
from tests.faults.load import Figures
from tests.world import UNIT, World
from workers.actors.schedule import apply_dayparting, reset_daily_budgets

EVENING = "2026-10-30T23:00:00+00:00"
MIDNIGHT = datetime.fromisoformat("2026-10-31T00:00:00+00:00")
A_RESTART_SECONDS = 0.6
WATCHED = timedelta(hours=size(8, 24))
"""Time after midnight during which two schedulers run: each schedule opens or closes in it."""

SCHEDULES = ("mon-sun 06:00-18:00", "mon-sun 00:00-03:00, mon-sun 12:00-20:00", "")


@pytest.fixture
def drive(stage: FaultStage, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns `drive(start, speed)`, which starts a simulated clock for this process and its child processes."""

    def driven(start: str, speed: float) -> None:
        (stage.servers.home / "clock.json").unlink(missing_ok=True)
        monkeypatch.setenv("SPENDGATE_CLOCK_START", start)
        monkeypatch.setenv("SPENDGATE_CLOCK_SPEED", str(speed))
        settings.cache_clear()
        clock.reset()

    return driven


@contextmanager
def clock_stopped_at(stage: FaultStage, at: str) -> Iterator[World]:
    """The world while this process's clock stands still, so that setup takes no simulated time."""
    with pytest.MonkeyPatch.context() as patch:
        world = World(stage.world.url, patch)
        world.set_clock(at)
        yield world
        world.disconnect()


def changes(stage: FaultStage, campaign: int) -> list[tuple[str, str]]:
    """The campaign's toggles, oldest first."""
    rows = stage.world.rows("SELECT * FROM status_changes WHERE campaign_id = %s ORDER BY id", campaign)
    return [(row["from_status"], row["to_status"]) for row in rows]


def check_at_rest(stage: FaultStage) -> Figures:
    """Runs the jobs and checks that each campaign follows the rules and none was toggled twice in one direction."""
    stage.world.set_clock(clock.now())
    for job in (apply_dayparting, reset_daily_budgets):
        job()
    stage.world.verify()
    rows = stage.world.rows("SELECT campaign_id, from_status, to_status FROM status_changes ORDER BY id")
    last: dict[int, str] = {}
    doubled = 0
    for row in rows:
        is_next = row["from_status"] == last.get(row["campaign_id"], row["from_status"]) != row["to_status"]
        doubled += not is_next
        last[row["campaign_id"]] = row["to_status"]
    assert doubled == 0, rows
    assert stage.world.rejected() == []
    return Figures(len(rows), 0, doubled)


def scheduler(stage: FaultStage, running: ExitStack, name: str) -> Service:
    """A scheduler that registers in Redis under its name."""
    env = {"REDIS_URL": f"{stage.servers.redis_url}?client_name={name}"}
    return running.enter_context(stage.started("-m", "workers.scheduler", env=env))


def test_two_schedulers_restarted_repeatedly_toggle_each_campaign_once(stage: FaultStage, drive: Any) -> None:
    restarts = size(6, 100)
    with clock_stopped_at(stage, EVENING) as world:
        brand = world.brand(daily=UNIT)
        campaigns = [world.campaign(brand, schedule=schedule) for schedule in SCHEDULES]
        world.spend(campaigns[-1], UNIT)
    drive(EVENING, 3_600)
    before = {campaign: len(changes(stage, campaign)) for campaign in campaigns}
    with stage.workers(processes=1) as workers, ExitStack() as running:
        pair = [scheduler(stage, running, f"scheduler-{number}") for number in range(2)]
        for number in range(restarts):
            place = number % 2
            until(lambda number=number: has_sent(stage, f"scheduler-{number}"), "it sets something off")  # type: ignore[misc]  # bound now
            ended = stage.draw.choice((signal.SIGKILL, signal.SIGTERM))
            pair[place].send(ended)
            assert pair[place].code() == (0 if ended is signal.SIGTERM else -signal.SIGKILL)
            pair[place] = scheduler(stage, running, f"scheduler-{number + 2}")
            progress(f"seed {stage.seed}: {number + 1} of {restarts}, {clock.now():%d %b %H:%M}")
        until(lambda: clock.now() > MIDNIGHT + WATCHED, "the night passes")
        until(lambda: len(changes(stage, campaigns[0])) > before[campaigns[0]], "it was toggled")
        assert all(one.process.poll() is None for one in pair)
        assert not workers.logged("worker.died")
    figures = check_at_rest(stage)
    assert changes(stage, campaigns[-1])[before[campaigns[-1]] :] == [("inactive", "active")]
    stage.add_to_table("two schedulers, restarted (events are toggles)", restarts, figures, [])


def test_a_hundred_restarts_in_one_minute_toggle_each_campaign_once(stage: FaultStage, drive: Any) -> None:
    restarts = size(6, 100)
    with clock_stopped_at(stage, EVENING) as world:
        limited = world.campaign(world.brand(daily=UNIT))
        scheduled = world.campaign(world.brand(), schedule="mon-sun 00:05-23:00")
        world.spend(limited, UNIT)
    drive(EVENING, 600)
    before = len(changes(stage, limited)), len(changes(stage, scheduled))
    with stage.workers(processes=1) as workers, ExitStack() as running:
        pair = [scheduler(stage, running, f"scheduler-{number}") for number in range(2)]
        began = time.monotonic()
        for number in range(restarts):
            pair[number % 2].send(signal.SIGKILL)
            pair[number % 2].code()
            pair[number % 2] = scheduler(stage, running, f"scheduler-{number + 2}")
            time.sleep(max(0.0, began + (number + 1) * A_RESTART_SECONDS - time.monotonic()))
        progress(
            f"seed {stage.seed}: {restarts} restarts in {time.monotonic() - began:.1f} s, {clock.now():%d %b %H:%M}"
        )
        until(lambda: clock.now() > MIDNIGHT + timedelta(hours=1), "midnight passes")
        until(lambda: stage.world.is_active(limited) and stage.world.is_active(scheduled), "the new day is seen")
        assert not workers.logged("worker.died")
    figures = check_at_rest(stage)
    assert changes(stage, limited)[before[0] :] == [("inactive", "active")]
    assert changes(stage, scheduled)[before[1] :] == [("inactive", "active")]
    stage.add_to_table("two schedulers, killed within a minute (events are toggles)", restarts, figures, [])


def has_sent(stage: FaultStage, name: str) -> bool:
    """Whether the scheduler of that name has sent scheduled messages."""
    clients = stage.queue.client_list()
    return any(client["name"] == name and client["cmd"].startswith("evalsha") for client in clients)


def test_midnight_without_a_scheduler_is_caught_up_once(stage: FaultStage, drive: Any) -> None:
    with clock_stopped_at(stage, EVENING) as world:
        limited = world.campaign(world.brand(daily=UNIT))
        scheduled = world.campaign(world.brand(), schedule="mon-sun 00:05-24:00")
        world.spend(limited, UNIT)
    drive(EVENING, 1_200)
    assert not stage.world.is_active(limited)
    before = len(changes(stage, limited)), len(changes(stage, scheduled))
    with stage.workers(processes=1):
        until(lambda: clock.now() > MIDNIGHT + timedelta(minutes=30), "midnight passes")
        assert (len(changes(stage, limited)), len(changes(stage, scheduled))) == before
        with stage.started("-m", "workers.scheduler"):
            until(lambda: stage.world.is_active(limited), "the new day is seen")
    figures = check_at_rest(stage)
    assert changes(stage, limited)[before[0] :] == [("inactive", "active")]
    stage.add_to_table("scheduler away over a midnight (events are toggles)", 1, figures, [])


@pytest.mark.parametrize(
    ("sql_state", "log_event"),
    [("P0001", "enforcement.failed"), ("57P03", "enforcement.postponed")],
    ids=["bad", "passing"],
)
def test_ticks_that_fail_three_times_toggle_once(stage: FaultStage, drive: Any, sql_state: str, log_event: str) -> None:
    with clock_stopped_at(stage, EVENING) as world:
        # closed for long: a tick that succeeds late must still find something to toggle
        campaign = world.campaign(world.brand(), schedule="mon-sun 22:00-23:02")
    drive(EVENING, 120)
    before = len(changes(stage, campaign))
    stage.world.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'it fails' USING ERRCODE = '{sql_state}'; END $$"
    )
    stage.world.execute("CREATE TRIGGER fail BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION fail()")
    with stage.workers(processes=1) as workers, stage.started("-m", "workers.scheduler"):
        until(lambda: len(workers.logged(log_event)) >= 3, "ticks fail")
        assert len(changes(stage, campaign)) == before
        stage.world.execute("DROP TRIGGER fail ON campaigns")
        until(lambda: len(changes(stage, campaign)) > before, "a tick succeeds")
    figures = check_at_rest(stage)
    assert changes(stage, campaign)[before] == ("active", "inactive")
    stage.add_to_table(f"ticks that fail three times, {sql_state} (events are toggles)", 1, figures, [])
