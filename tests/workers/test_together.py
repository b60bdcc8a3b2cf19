"""Messages that wait in one process share a transaction: each is told its own outcome, none pays for another."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial

import pytest

from db.engine import committed
from tests.world import UNIT, World, eventually
from workers.counting import Batch, Counted, count_batches, optimistic
from workers.together import CommitAlone, Together

THREADS = 6


class Commits:
    """Stands where a database would: each commit waits until it is let through, and fails where it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.may_end = threading.Semaphore(0)
        self.failing: set[str] = set()

    def __call__(self, items: Sequence[str]) -> list[str]:
        self.groups.append(list(items))
        assert self.may_end.acquire(timeout=30)
        if self.failing & set(items):
            raise RuntimeError("it fails")
        return [item.upper() for item in items]

    def begun(self, number: int) -> Callable[[], bool]:
        return lambda: len(self.groups) == number


@pytest.fixture
def commits() -> Commits:
    return Commits()


@pytest.fixture
def together(commits: Commits) -> Together[str, str]:
    return Together(commits, max_weight=4)


def wait_for_company(together: Together[str, str], count: int) -> None:
    eventually(lambda: len(together._waiting) == count)


def test_what_waits_while_one_commits_is_committed_together(commits: Commits, together: Together[str, str]) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(together.committed, "a", 1)
        eventually(commits.begun(1))
        others = [threads.submit(together.committed, name, 1) for name in "bcd"]
        wait_for_company(together, 3)
        commits.may_end.release(2)
        assert [first.result(), *(other.result() for other in others)] == ["A", "B", "C", "D"]
    assert [sorted(group) for group in commits.groups] == [["a"], ["b", "c", "d"]]


def test_a_transaction_grows_no_heavier_than_it_may(commits: Commits, together: Together[str, str]) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(together.committed, "heavy", 9)
        eventually(commits.begun(1))
        others = [threads.submit(together.committed, name, 2) for name in "bcd"]
        wait_for_company(together, 3)
        commits.may_end.release(3)
        assert first.result() == "HEAVY"
        assert sorted(other.result() for other in others) == ["B", "C", "D"]
    assert [len(group) for group in commits.groups] == [1, 2, 1]


def test_where_it_fails_each_goes_alone_and_the_next_are_not_held_up(
    commits: Commits, together: Together[str, str]
) -> None:
    commits.failing = {"b"}
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(together.committed, "a", 1)
        eventually(commits.begun(1))
        others = [threads.submit(together.committed, name, 1) for name in "bc"]
        wait_for_company(together, 2)
        commits.may_end.release(2)
        for other in others:
            with pytest.raises(CommitAlone):
                other.result()
        commits.may_end.release()
        assert (first.result(), threads.submit(together.committed, "d", 1).result(30)) == ("A", "D")


def test_after_a_failure_transactions_are_lighter_until_they_succeed(
    commits: Commits, together: Together[str, str]
) -> None:
    commits.failing = {"b"}
    with ThreadPoolExecutor(2 * THREADS) as threads:
        first = threads.submit(together.committed, "a", 1)
        eventually(commits.begun(1))
        failing = [threads.submit(together.committed, name, 1) for name in "bcd"]
        wait_for_company(together, 3)
        commits.may_end.release()
        eventually(commits.begun(2))
        others = [threads.submit(together.committed, name, 1) for name in "efghi"]
        wait_for_company(together, 5)
        commits.may_end.release(4)
        assert {first.result(30), *(other.result(30) for other in others)} == set("AEFGHI")
        assert all(isinstance(one.exception(30), CommitAlone) for one in failing)
    assert [len(group) for group in commits.groups] == [1, 3, 1, 2, 2]


def test_a_thread_that_is_interrupted_while_it_waits_leaves_nobody_without_a_leader(
    commits: Commits, together: Together[str, str]
) -> None:
    def interrupt(*_: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGUSR1, interrupt)
    with ThreadPoolExecutor(THREADS) as threads:
        first = threads.submit(together.committed, "a", 1)
        eventually(commits.begun(1))
        others = threads.submit(interrupted_before, together, threads)
        with pytest.raises(InterruptedError):
            together.committed("gone", 9)
        commits.may_end.release(2)
        assert (first.result(30), others.result(30).result(30)) == ("A", "B")
    signal.signal(signal.SIGUSR1, before)
    assert commits.groups == [["a"], ["b"]]


def interrupted_before(together: Together[str, str], threads: ThreadPoolExecutor) -> "Future[str]":
    """Interrupts the main thread, which waits, once another waits behind it; returns what becomes of the other."""
    wait_for_company(together, 1)
    other = threads.submit(together.committed, "b", 1)
    wait_for_company(together, 2)
    os.kill(os.getpid(), signal.SIGUSR1)
    return other


# --- what shares a transaction


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    world.set_clock(noon)
    return world.campaign(world.brand())


def counted(*batches: list[object]) -> list[Counted]:
    read = [Batch.read(batch) for batch in batches]
    return committed(optimistic(partial(count_batches, batches=read, only_brand_id=None)))


def test_each_message_is_told_what_became_of_its_own(world: World, campaign: int) -> None:
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


def test_messages_together_cross_a_limit_once(world: World, campaign: int) -> None:
    world.limit(10 * UNIT, campaign=campaign)
    first, second = counted([world.event(campaign, 6 * UNIT)], [world.event(campaign, 6 * UNIT)])
    assert (first.taken, second.taken) == (1, 1)
    assert [change.holds_after for change in (*first.changes, *second.changes)] == [("campaign_daily_budget",)]
    assert world.holds(campaign) == {"campaign_daily_budget"}


# --- campaigns that are remembered


def rejected_reasons(world: World) -> list[str]:
    return [row["reason"] for row in world.rejected()]


def test_a_currency_changed_before_the_first_spend_is_seen(world: World, campaign: int) -> None:
    world.ingest([world.event(campaign, 1, currency="EUR")])
    assert rejected_reasons(world) == ["wrong_currency"]
    world.execute("UPDATE brands SET currency = 'EUR' WHERE id = %s", world.brand_of(campaign))
    world.ingest([world.event(campaign, 2, currency="EUR")])
    world.ingest([world.event(campaign, 4, currency="USD")])
    assert world.spent(campaign) == 2
    assert rejected_reasons(world) == ["wrong_currency", "wrong_currency"]


def test_a_zone_changed_before_the_first_spend_is_seen(world: World, campaign: int) -> None:
    world.ingest([world.event(campaign, 1, currency="EUR")])
    world.execute("UPDATE brands SET time_zone = 'Pacific/Kiritimati' WHERE id = %s", world.brand_of(campaign))
    event = world.spend(campaign, 2)
    (row,) = world.rows("SELECT day FROM campaign_days WHERE campaign_id = %s", campaign)
    assert row["day"].isoformat() > event["occurred_at"][:10]
    world.verify()


def test_a_campaign_that_moved_to_another_brand_before_its_first_spend_is_seen(world: World, campaign: int) -> None:
    world.execute("INSERT INTO campaigns (brand_id, name) VALUES (%s, 'By SQL')", world.brand_of(campaign))
    world.ingest([world.event(campaign + 1, 1, currency="EUR")])
    other = world.brand()
    world.execute("UPDATE campaigns SET brand_id = %s WHERE id = %s", other, campaign + 1)
    world.spend(campaign + 1, 2)
    assert world.rows("SELECT brand_id FROM campaign_days") == [{"brand_id": other}]


def test_a_campaign_made_after_it_was_unknown_is_seen(world: World, campaign: int) -> None:
    world.ingest([world.event(campaign + 1, 1)])
    assert rejected_reasons(world) == ["unknown_campaign"]
    assert world.campaign(world.brand_of(campaign)) == campaign + 1
    world.spend(campaign + 1, 2)
    assert world.spent(campaign + 1) == 2
