"""Group commit: messages that wait in one process share a transaction, and each gets its own result."""

import ctypes
import linecache
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from types import FrameType
from typing import Any

import pytest
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from app.ingest import group_commit as group_commit_module
from app.ingest.batches import Batch
from app.ingest.count import Counted, count_batches, optimistic
from app.ingest.group_commit import CommitAlone, GroupCommit
from db.engine import committed
from tests.citus import Limit
from tests.world import UNIT, World, eventually

THREADS = 6


class Interrupted(BaseException):
    """Raised in a thread from outside, as Dramatiq raises its time limit; no error handler catches it."""


class Commits:
    """Replaces the database: each commit waits until the test lets it end, and fails for chosen items."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.may_end = threading.Semaphore(0)
        self.failing: set[str] = set()
        self.passing: set[str] = set()

    def __call__(self, items: Sequence[str]) -> list[str]:
        self.groups.append(list(items))
        assert self.may_end.acquire(timeout=30)
        if self.failing & set(items):
            raise RuntimeError("it fails")
        if self.passing & set(items):
            raise NoConnectionFree("for now")
        return [item.upper() for item in items]

    def begun(self, number: int) -> Callable[[], bool]:
        return lambda: len(self.groups) == number


@pytest.fixture
def commits() -> Commits:
    return Commits()


@pytest.fixture
def group_commit(commits: Commits) -> GroupCommit[str, str]:
    return GroupCommit(commits, max_weight=4)


def wait_until_waiting(group_commit: GroupCommit[str, str], count: int) -> None:
    eventually(lambda: len(group_commit._waiting) == count)


def test_waiting_items_share_the_next_transaction(commits: Commits, group_commit: GroupCommit[str, str]) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(group_commit.committed, "a", 1)
        eventually(commits.begun(1))
        others = [threads.submit(group_commit.committed, name, 1) for name in "bcd"]
        wait_until_waiting(group_commit, 3)
        commits.may_end.release(2)
        assert [first.result(), *(other.result() for other in others)] == ["A", "B", "C", "D"]
    assert [sorted(group) for group in commits.groups] == [["a"], ["b", "c", "d"]]


def test_transaction_has_at_most_the_maximum_weight(commits: Commits, group_commit: GroupCommit[str, str]) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(group_commit.committed, "heavy", 9)
        eventually(commits.begun(1))
        others = [threads.submit(group_commit.committed, name, 2) for name in "bcd"]
        wait_until_waiting(group_commit, 3)
        commits.may_end.release(3)
        assert first.result() == "HEAVY"
        assert sorted(other.result() for other in others) == ["B", "C", "D"]
    assert [len(group) for group in commits.groups] == [1, 2, 1]


def test_items_of_a_failed_group_are_committed_alone_and_delay_no_others(
    commits: Commits, group_commit: GroupCommit[str, str]
) -> None:
    commits.failing = {"b"}
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(group_commit.committed, "a", 1)
        eventually(commits.begun(1))
        others = [threads.submit(group_commit.committed, name, 1) for name in "bc"]
        wait_until_waiting(group_commit, 2)
        commits.may_end.release(2)
        for other in others:
            with pytest.raises(CommitAlone):
                other.result()
        commits.may_end.release()
        assert (first.result(), threads.submit(group_commit.committed, "d", 1).result(30)) == ("A", "D")


def test_transient_error_is_raised_in_each_thread(commits: Commits, group_commit: GroupCommit[str, str]) -> None:
    """If each thread then committed alone, an unreachable server would only get more requests."""
    commits.passing = {"b"}
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(group_commit.committed, "a", 1)
        eventually(commits.begun(1))
        others = [threads.submit(group_commit.committed, name, 1) for name in "bc"]
        wait_until_waiting(group_commit, 2)
        commits.may_end.release(2)
        assert [type(other.exception(30)) for other in others] == [NoConnectionFree] * 2
        assert first.result() == "A"


@pytest.mark.parametrize("steps", range(1, 26))
def test_leader_interrupted_at_any_step_leaves_no_thread_waiting(steps: int) -> None:
    """Dramatiq's time limit may interrupt a thread between any two lines."""
    may_begin = threading.Event()

    def commit(items: Sequence[str]) -> list[str]:
        assert may_begin.wait(30)
        return [item.upper() for item in items]

    group_commit = GroupCommit(commit, max_weight=4)
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(group_commit.committed, "a", 1)
        eventually(lambda: group_commit._is_led and not group_commit._waiting)
        interrupted = threads.submit(interrupted_after, steps, group_commit)
        wait_until_waiting(group_commit, 1)
        others = [threads.submit(group_commit.committed, name, 1) for name in "cd"]
        wait_until_waiting(group_commit, 3)
        may_begin.set()
        assert first.result(30) == "A"
        assert interrupted.result(30) in {"B", "interrupted"}
        for name, other in zip("CD", others, strict=True):
            assert other.exception(30) is not None or other.result() == name
        assert threads.submit(group_commit.committed, "e", 1).result(30) == "E"


def interrupted_after(steps: int, group_commit: GroupCommit[str, str]) -> str:
    """Commits "b" in this thread and interrupts it after so many lines of `_lead` and the functions it calls."""
    seen = 0
    thread = ctypes.c_ulong(threading.get_ident())

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal seen
        code = frame.f_code
        if code.co_filename == group_commit_module.__file__ and code.co_name in {"_lead", "_group_size"}:
            # on leaving a `with`, only a tracer can interrupt between its last statement and the release of its lock
            is_with = linecache.getline(code.co_filename, frame.f_lineno).strip().startswith("with ")
            seen += event == "line" and not is_with
            if seen == steps and not is_with:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(Interrupted))
        return trace

    sys.settrace(trace)
    try:
        return group_commit.committed("b", 1)
    except Interrupted:
        return "interrupted"
    finally:
        sys.settrace(None)


def test_thread_interrupted_while_it_waits_leaves_no_thread_without_a_leader(
    commits: Commits, group_commit: GroupCommit[str, str]
) -> None:
    def interrupt(*_: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGUSR1, interrupt)
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(group_commit.committed, "a", 1)
        eventually(commits.begun(1))
        others = threads.submit(interrupted_before, group_commit, threads)
        with pytest.raises(InterruptedError):
            group_commit.committed("gone", 9)
        commits.may_end.release(2)
        assert (first.result(30), others.result(30).result(30)) == ("A", "B")
    signal.signal(signal.SIGUSR1, before)
    assert commits.groups == [["a"], ["b"]]


def interrupted_before(group_commit: GroupCommit[str, str], threads: ThreadPoolExecutor) -> "Future[str]":
    """Interrupts the waiting main thread once another thread waits behind it; returns the other's future."""
    wait_until_waiting(group_commit, 1)
    other = threads.submit(group_commit.committed, "b", 1)
    wait_until_waiting(group_commit, 2)
    os.kill(os.getpid(), signal.SIGUSR1)
    return other


# --- shared transactions


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    world.set_clock(noon)
    return world.campaign(world.brand())


def counted(*batches: list[object]) -> list[Counted]:
    read = [Batch.read(batch) for batch in batches]
    return committed(optimistic(partial(count_batches, batches=read, only_brand_id=None)))


def test_each_message_gets_its_own_counts_and_rejections(world: World, campaign: int) -> None:
    known, fresh = world.event(campaign, 1), world.event(campaign, 2)
    world.ingest([known])
    contradicting = {**known, "amount_micros": 9}
    nowhere = world.event(10**9, 4)
    first, second, third = counted(
        [known, fresh], ["rubbish", nowhere, contradicting], [fresh, world.event(campaign, 8)]
    )
    assert (first.taken, first.known, first.rejections) == (1, 1, ())
    assert (second.taken, second.known) == (0, 0)
    assert [rejection.reason for rejection in second.rejections] == [
        "malformed",
        "unknown_campaign",
        "conflicting_duplicate",
    ]
    assert [rejection.payload for rejection in second.rejections] == ["rubbish", nowhere, contradicting]
    assert (third.taken, third.known, third.rejections) == (1, 1, ())
    assert world.spent(campaign) == 1 + 2 + 8
    world.verify()


def test_messages_of_one_group_cross_a_limit_once(world: World, campaign: int) -> None:
    world.limit(10 * UNIT, campaign=campaign)
    first, second = counted([world.event(campaign, 6 * UNIT)], [world.event(campaign, 6 * UNIT)])
    assert (first.taken, second.taken) == (1, 1)
    assert [change.holds_after for change in (*first.changes, *second.changes)] == [("campaign_daily_budget",)]
    assert world.holds(campaign) == {"campaign_daily_budget"}


# --- cached campaigns


def rejected_reasons(world: World) -> list[str]:
    return [row["reason"] for row in world.rejected()]


def test_currency_changed_before_the_first_spend_is_noticed(world: World, campaign: int) -> None:
    world.ingest([world.event(campaign, 1, currency="EUR")])
    assert rejected_reasons(world) == ["wrong_currency"]
    world.execute("UPDATE brands SET currency = 'EUR' WHERE id = %s", world.brand_of(campaign))
    world.ingest([world.event(campaign, 2, currency="EUR")])
    world.ingest([world.event(campaign, 4, currency="USD")])
    assert world.spent(campaign) == 2
    assert rejected_reasons(world) == ["wrong_currency", "wrong_currency"]


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_zone_changed_before_the_first_spend_is_noticed(world: World, campaign: int) -> None:
    world.ingest([world.event(campaign, 1, currency="EUR")])
    world.execute("UPDATE brands SET time_zone = 'Pacific/Kiritimati' WHERE id = %s", world.brand_of(campaign))
    event = world.spend(campaign, 2)
    (row,) = world.rows("SELECT day FROM campaign_days WHERE campaign_id = %s", campaign)
    assert row["day"].isoformat() > event["occurred_at"][:10]
    world.verify()


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_campaign_moved_to_another_brand_before_its_first_spend_is_noticed(world: World, campaign: int) -> None:
    world.execute("INSERT INTO campaigns (brand_id, name) VALUES (%s, 'By SQL')", world.brand_of(campaign))
    world.ingest([world.event(campaign + 1, 1, currency="EUR")])
    other = world.brand()
    world.execute("UPDATE campaigns SET brand_id = %s WHERE id = %s", other, campaign + 1)
    world.spend(campaign + 1, 2)
    assert world.rows("SELECT brand_id FROM campaign_days") == [{"brand_id": other}]


def test_campaign_created_after_it_was_unknown_is_noticed(world: World, campaign: int) -> None:
    world.ingest([world.event(campaign + 1, 1)])
    assert rejected_reasons(world) == ["unknown_campaign"]
    assert world.campaign(world.brand_of(campaign)) == campaign + 1
    world.spend(campaign + 1, 2)
    assert world.spent(campaign + 1) == 2
