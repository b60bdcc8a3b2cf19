"""After an outage, one run of a job does the work of all ticks that wait, and failed ticks are not retried for ever."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import dramatiq
import pytest
from dramatiq import Message
from dramatiq.common import current_millis
from periodiq import cron

from delivery.broker import get_broker
from delivery.ticks import Ticks
from tests.kit import is_empty, working
from tests.queues import queues
from tests.world import World, eventually

broker = get_broker()

DAY_MS = 24 * 3_600_000
MINUTE_MS = 60_000
TICKS = 40

runs: list[str] = []
work: list[Callable[[], object]] = []
"""Each run of either job takes the first entry, if there is one, and calls it."""


def run(name: str) -> None:
    """Records a run of a job."""
    runs.append(name)
    if work:
        work.pop(0)()


@dramatiq.actor(broker=broker, queue_name="ticks", min_backoff=1, max_backoff=5, periodic=cron("* * * * *"))
def each_minute() -> None:
    """A job of each minute."""
    run("each minute")


@dramatiq.actor(broker=broker, queue_name="ticks", min_backoff=1, max_backoff=5, periodic=cron("0 0 1 1 *"))
def each_year() -> None:
    """A job of each year."""
    run("each year")


@pytest.fixture(autouse=True)
def fresh(world: World) -> Iterator[None]:
    """Forgets the runs of other tests."""
    del world
    runs.clear()
    work.clear()
    (ticks,) = (one for one in broker.middleware if isinstance(one, Ticks))
    ticks.__init__()  # type: ignore[misc]
    yield
    runs.clear()
    work.clear()


def put_tick(actor: dramatiq.Actor[[], None], age_ms: int) -> None:
    """Enqueues a tick that was made so long ago."""
    tick: Message[None] = replace(actor.message(), message_timestamp=current_millis() - age_ms)
    broker.enqueue(tick)


def has_run(times: int) -> bool:
    """Whether jobs ran so many times in all, and no tick waits."""
    return len(runs) == times and is_empty("ticks")


def fail() -> None:
    raise OSError("a server is away")


def test_one_run_does_the_work_of_all_ticks_of_an_outage(world: World) -> None:
    for minutes in range(TICKS, 0, -1):
        put_tick(each_minute, minutes * MINUTE_MS)
        put_tick(each_year, minutes * MINUTE_MS)
    with working(threads=4):
        eventually(lambda: is_empty("ticks"))
    assert sorted(runs) == ["each minute", "each year"]
    assert world.rejected() == []


def test_tick_made_after_a_run_began_is_run(world: World) -> None:
    with working():
        for number in (1, 2):
            put_tick(each_minute, 0)
            eventually(partial(has_run, number))
    assert world.rejected() == []


def test_failed_tick_is_retried_until_the_next_one_is_due(world: World) -> None:
    work.extend([fail] * 3)
    put_tick(each_year, 0)
    with working():
        eventually(lambda: len(runs) == 4 and is_empty("ticks"))
    assert world.rejected() == []


def test_failed_tick_of_the_past_is_not_retried(world: World) -> None:
    work.append(fail)
    put_tick(each_minute, DAY_MS)
    with working():
        eventually(lambda: is_empty("ticks"))
    assert (runs, queues().count("ticks.DQ"), world.rejected()) == (["each minute"], 0, [])


def test_failed_run_that_covers_a_younger_tick_is_retried(world: World) -> None:
    began, covers = threading.Event(), threading.Event()

    def fail_later() -> None:
        began.set()
        covers.wait(30)
        fail()

    work.append(fail_later)
    put_tick(each_year, 800 * DAY_MS)
    with working():
        eventually(began.is_set)
        put_tick(each_year, MINUTE_MS)
        eventually(lambda: queues().count("ticks") == 1)
        covers.set()
        eventually(lambda: len(runs) == 2 and is_empty("ticks"))
    assert world.rejected() == []


@pytest.mark.parametrize("made", ["yesterday", None, 1 << 70])
def test_tick_with_a_forged_time_is_run(world: World, made: Any) -> None:
    put_tick(each_minute, 0)
    broker.enqueue(replace(each_minute.message(), message_timestamp=made))
    with working(threads=1):
        eventually(lambda: bool(runs) and is_empty("ticks"))
    assert world.rejected() == []
