"""How failed transactions are split: locked brands are left out; contention among our own transactions is retried."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
import structlog.testing

from app.ingest import by_brand, ingest
from app.ingest.by_brand import BatchResult
from app.ingest.locked_brands import locked_brands
from runtime.settings import settings
from tests.app.ingest.test_locked_brands import ROW_OF_ITS_DAY, ROW_OF_THE_BRAND, delayed, locked
from tests.citus import Limit
from tests.kit import at_once, lines, statements
from tests.world import UNIT, World, eventually
from workers.actors.ingest import ingest_reported_totals

BRANDS = 12
ROW_OF_ITS_CAMPAIGN = "SELECT FROM campaigns WHERE brand_id = %s FOR UPDATE"


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    locked_brands.forget()
    yield
    locked_brands.forget()


@pytest.fixture(autouse=True)
def _short_timeouts(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    """Sets lock timeouts of a quarter of a second, so that each test meets many of them."""
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", "250")
    monkeypatch.setenv("SPENDGATE_INGEST_LOCK_TIMEOUT_MS", "100")
    settings.cache_clear()


@pytest.fixture
def campaigns(world: World) -> list[int]:
    """One campaign of each of several brands, all with spend."""
    made = [world.campaign(world.brand(daily=1_000 * UNIT)) for _ in range(BRANDS)]
    world.ingest([world.event(campaign, 1) for campaign in made])
    return made


def commit_group(world: World, messages: Sequence[Sequence[int]]) -> list[BatchResult]:
    """Commits messages as one group, each with an event of 2 micros for each of its campaigns; returns the results."""
    read = [[world.event(campaign, 2) for campaign in message] for message in messages]
    batches = [batch for payloads in read for batch in ingest.EVENTS.of_messages([payloads])]
    return ingest.EVENTS.committer().commit(batches, locked_brands.ids())


def left_brands(results: Sequence[BatchResult]) -> list[list[int]]:
    """The ids of the brands whose events each message left uncounted."""
    return [[one.brand_id for one in result.counted.uncounted] for result in results]


@pytest.mark.on_one_server(Limit.BY_SERVER)
@pytest.mark.parametrize("statement", [ROW_OF_THE_BRAND, ROW_OF_ITS_DAY])
def test_only_events_of_a_locked_brand_are_left_out_of_the_transaction(
    world: World, campaigns: list[int], statement: str
) -> None:
    stuck = world.brand_of(campaigns[3])
    with locked(world, stuck, statement), statements() as sent:
        results = commit_group(world, [campaigns, campaigns[:2], campaigns[2:5]])
    assert left_brands(results) == [[stuck], [], [stuck]]
    assert [result.counted.taken for result in results] == [BRANDS - 1, 2, 2]
    assert [result.error for result in results] == [None] * 3
    assert locked_brands.ids() == {stuck}
    assert transactions(sent) <= 2
    with locked(world, stuck, statement), statements() as sent:
        assert left_brands(commit_group(world, [campaigns])) == [[stuck]]
    assert transactions(sent) == 1, "a known brand costs no other a wait"
    world.verify()


def transactions(sent: Sequence[tuple[str, Any]]) -> int:
    """The number of transactions that wrote counters or tried to."""
    return sum("INSERT INTO brand_days" in statement or "count_spend(" in statement for statement, _ in sent)


def test_locked_campaign_of_a_crossing_brand_leaves_out_the_brand(world: World, campaigns: list[int]) -> None:
    stuck = world.brand_of(campaigns[3])
    world.limit(2, brand=stuck, period="weekly")
    with locked(world, stuck, ROW_OF_ITS_CAMPAIGN):
        assert left_brands(commit_group(world, [campaigns])) == [[stuck]]
    (result,) = commit_group(world, [campaigns])
    assert left_brands([result]) == [[stuck]]
    again, remaining = ingest.EVENTS.committer().try_again([*result.counted.uncounted])
    eventually(lambda: bool(again) or bool(ingest.EVENTS.committer().try_again(remaining)[0]))
    assert not world.is_active(campaigns[3])
    world.verify()


def test_contention_with_own_transactions_splits_nothing_and_marks_no_brand(
    world: World, campaigns: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other transactions update the counters one after the other, each for longer than the lock timeout."""
    monkeypatch.setattr(by_brand, "FIRST_PAUSE_SECONDS", 0.1)
    stop, begun = threading.Event(), threading.Event()

    def contend() -> None:
        with psycopg.connect(world.url) as other:
            while not stop.is_set():
                other.execute("UPDATE brand_days SET spent_micros = spent_micros")
                other.execute("UPDATE brands SET headroom_micros = headroom_micros")
                begun.set()
                stop.wait(0.35)
                other.commit()

    def commit() -> None:
        assert begun.wait(30)
        with structlog.testing.capture_logs() as logged:
            threading.Timer(3, stop.set).start()
            results = commit_group(world, [campaigns, campaigns])
        stop.set()
        assert left_brands(results) == [[], []]
        assert [result.counted.taken for result in results] == [BRANDS] * 2
        assert lines(logged, "brand.locked") == []

    at_once(contend, commit)
    assert locked_brands.ids() == frozenset()
    world.verify()


@pytest.mark.on_one_server(Limit.LOCKS)
def test_brands_of_a_transaction_that_waits_for_a_locked_brand_are_not_locked(
    world: World, campaigns: list[int]
) -> None:
    """Another transaction of ours has locked the brands before the locked one, and waits a second for that."""
    brands = sorted(map(world.brand_of, campaigns[:4]))
    with locked(world, brands[3]), psycopg.connect(world.url) as ours:
        ours.execute("SELECT FROM brands WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE", [brands[:3]])
        timer = threading.Timer(1, ours.cancel)
        timer.start()

        def wait() -> None:
            with pytest.raises(psycopg.errors.QueryCanceled):
                ours.execute("SELECT FROM brands WHERE id = %s FOR NO KEY UPDATE", [brands[3]])
            ours.rollback()

        results: list[BatchResult] = []
        at_once(wait, lambda: results.extend(commit_group(world, [campaigns])))
        timer.join()
    assert left_brands(results) == [[brands[3]]]
    assert locked_brands.ids() == {brands[3]}


@pytest.mark.on_one_server(Limit.LOCKS)
def test_transaction_waits_when_many_of_its_brands_are_locked(
    world: World, campaigns: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine of twelve brands are locked; without them hardly anything would be left to commit."""
    monkeypatch.setattr(by_brand, "FIRST_PAUSE_SECONDS", 0.1)
    brands = [world.brand_of(campaign) for campaign in campaigns[:9]]
    with psycopg.connect(world.url) as stranger:
        stranger.execute("SELECT FROM brands WHERE id = ANY(%s) FOR UPDATE", [brands])
        timer = threading.Timer(1, stranger.rollback)
        timer.start()
        assert left_brands(commit_group(world, [campaigns])) == [[]]
        timer.join()
    assert locked_brands.ids() == frozenset()
    world.verify()


@pytest.mark.on_one_server(Limit.LOCKS)
def test_many_brands_locked_for_long_are_left_out_in_one_step(
    world: World, campaigns: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_brand, "FIRST_PAUSE_SECONDS", 0.01)
    brands = sorted(world.brand_of(campaign) for campaign in campaigns[:9])
    with psycopg.connect(world.url) as stranger, statements() as sent:
        stranger.execute("SELECT FROM brands WHERE id = ANY(%s) FOR UPDATE", [brands])
        (result,) = commit_group(world, [campaigns])
        stranger.rollback()
    assert sorted(one.brand_id for one in result.counted.uncounted) == brands
    assert transactions(sent) <= by_brand.TRIES + 2
    again, remaining = retried(result)
    assert (sum(one.counted.taken for one in again), remaining) == (9, [])
    world.verify()


def retried(result: BatchResult) -> tuple[list[BatchResult], list[Any]]:
    """The results of left-out events at their next try."""
    outcome: list[tuple[list[BatchResult], list[Any]]] = []

    def has_turn() -> bool:
        outcome[:] = [ingest.EVENTS.committer().try_again(result.counted.uncounted)]
        return bool(outcome[0][0])

    eventually(has_turn)
    return outcome[0]


@pytest.mark.on_one_server(Limit.LOCKS)
def test_locked_brands_of_one_message_are_enqueued_as_one_message(world: World, campaigns: list[int]) -> None:
    brands = [world.brand_of(campaign) for campaign in campaigns[:3]]
    with psycopg.connect(world.url) as stranger:
        stranger.execute("SELECT FROM brands WHERE id = ANY(%s) FOR UPDATE", [brands])
        world.ingest([world.event(campaign, 2) for campaign in campaigns])
        stranger.rollback()
    (message,) = delayed()
    assert len(message.kwargs["events"]) == 3


def test_waiting_caller_gets_each_input_that_was_not_counted_because_of_a_lock(
    world: World, campaigns: list[int]
) -> None:
    """One of the locked brand's inputs has an amount that Postgres cannot store."""
    stuck = world.brand_of(campaigns[0])
    world.execute("UPDATE brand_days SET spent_micros = %s WHERE brand_id = %s", 2**63 - 10, stuck)
    inputs = [world.event(campaigns[0], micros) for micros in (1, 100, 2)]
    with locked(world, stuck):
        locked_brands.add([stuck])
        with pytest.raises(by_brand.BrandsTimedOut) as raised:
            ingest.count_events(inputs)
    payloads = [one.payload for one in raised.value.uncounted]
    assert all(one in inputs for one in payloads)
    counted = ingest.count_events(inputs)
    assert (counted.taken, len(counted.rejections)) == (2, 1)
    assert counted.rejections[0].reason == "amount_out_of_range"


def test_message_with_more_totals_than_the_bound_is_counted_in_parts(world: World, campaigns: list[int]) -> None:
    total = {"campaign_id": campaigns[0], "day": "2026-06-01", "total_micros": 1, "as_of": "2026-06-02T00:00:00Z"}
    ingest_reported_totals(totals=[{**total, "source": f"source {number}"} for number in range(5_001)])
    assert world.spent(campaigns[0]) == 1 + 5_001
