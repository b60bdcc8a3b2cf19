"""Sequence numbers through the real actor: gaps are found, logged once, and removed when numbers arrive late."""

import random
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
import structlog

from app import sequences
from app.ingest.http_batches import keep_invalid_events
from db.engine import transaction
from db.repository.ledger import sequences as repository
from db.repository.ledger.sequences import (
    ALL_BRANDS,
    Gap,
    Numbering,
    Source,
    gaps,
    numberings,
)
from tests.kit import at_once, lines
from tests.world import World
from workers.actors.ingest import ingest_spend
from workers.actors.schedule import refresh_spend

GRACE = timedelta(minutes=5)


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    """A campaign of a brand with no limits, at noon."""
    world.set_clock(noon)
    return world.campaign(world.brand())


def arrive(world: World, campaign: int, *numbers: int, source: str = "bidder", **fields: Any) -> None:
    world.ingest([world.event(campaign, 1, source=source, sequence=number, **fields) for number in numbers])


def runs(world: World, source: str = "bidder") -> list[tuple[int, int]]:
    rows = world.rows("SELECT first, last FROM sequence_runs WHERE source = %s ORDER BY first, id", source)
    return [(row["first"], row["last"]) for row in rows]


def gaps_until(until: datetime, source: str | None = None) -> list[tuple[int, int]]:
    with transaction() as connection:
        return [(gap.first, gap.last) for gap in gaps(connection, until, source=source)]


def logged_gaps() -> list[dict[str, Any]]:
    with structlog.testing.capture_logs() as logged:
        refresh_spend()
    return lines(logged, "sequence.gap")


# --- arrival


def test_batch_stores_its_runs_in_its_own_commit(world: World, campaign: int) -> None:
    arrive(world, campaign, 5, 3, 4, 9)
    world.ingest([world.event(campaign, 1), world.event(campaign, 1, source="bidder")])
    assert runs(world) == [(3, 5), (9, 9)]


def test_numbers_of_rejected_events_count_as_arrived(world: World, campaign: int) -> None:
    arrive(world, campaign, 0)
    arrive(world, 10**6, 1)
    world.ingest([{"event_id": "rubbish", "source": "bidder", "sequence": 2}])
    arrive(world, campaign, 3, currency="EUR")
    refresh_spend()
    assert runs(world) == [(0, 3)]
    assert len(world.rejected()) == 3


def test_event_with_a_wrong_number_is_rejected_as_malformed(world: World, campaign: int) -> None:
    world.ingest([world.event(campaign, 1, source="bidder", sequence=-1), world.event(campaign, 1, sequence=1)])
    assert [row["reason"] for row in world.rejected()] == ["malformed", "malformed"]
    assert world.spent(campaign) == 0
    assert runs(world) == []


def test_duplicate_with_another_number_is_no_conflict(world: World, campaign: int) -> None:
    event = world.spend(campaign, 5, source="bidder", sequence=1)
    world.ingest([{**event, "sequence": 2}])
    assert world.rejected() == []
    assert world.spent(campaign) == 5


def test_two_events_with_one_number_are_both_counted(world: World, campaign: int) -> None:
    arrive(world, campaign, 1, 1)
    arrive(world, campaign, 1)
    assert world.spent(campaign) == 3
    refresh_spend()
    assert runs(world) == [(1, 1)]


def test_workers_store_numbers_without_waiting_for_a_join(world: World, campaign: int) -> None:
    arrive(world, campaign, 1)
    arrive(world, campaign, 2)
    with psycopg.connect(world.url) as joiner:
        joiner.execute("SELECT FROM locks WHERE name = 'sequence_runs' FOR NO KEY UPDATE")
        joiner.execute("UPDATE sequence_runs SET last = last")
        arrive(world, campaign, 3, 4)
        sequences.join_runs()
    assert runs(world) == [(1, 1), (2, 2), (3, 4)]
    sequences.join_runs()
    assert runs(world) == [(1, 4)]


@pytest.mark.parametrize("by_http", [True, False])
def test_another_brands_key_neither_fills_nor_makes_gaps_of_a_source(
    world: World, campaign: int, noon: datetime, by_http: bool
) -> None:
    other = world.campaign(world.brand())
    arrive(world, campaign, 0, 2)
    for number in (1, 10**12):
        event = world.event(other, 1, source="bidder", sequence=number)
        if by_http:
            keep_invalid_events([{**event, "amount_micros": "x"}], world.brand_of(other))
        else:
            ingest_spend(events=[event], only_brand_id=world.brand_of(other))
    refresh_spend()
    with transaction() as connection:
        found = [(gap.brand_id, gap.first, gap.last) for gap in gaps(connection, noon)]
        own = list(gaps(connection, noon, brand_id=ALL_BRANDS))
    assert found == [(ALL_BRANDS, 1, 1), (world.brand_of(other), 2, 10**12 - 1)]
    assert [(gap.first, gap.last) for gap in own] == [(1, 1)]
    assert sequences.forget_gaps(Source(world.brand_of(other), "bidder")) is not None
    with transaction() as connection:
        assert list(gaps(connection, noon)) == own
    arrive(world, campaign, 1)
    refresh_spend()
    assert logged_gaps() == []


def test_number_beyond_the_exact_integers_of_json_is_malformed(world: World, campaign: int) -> None:
    arrive(world, campaign, 2**53)
    assert [row["reason"] for row in world.rejected()] == ["malformed"]
    assert runs(world) == []


# --- joining


def test_adjacent_overlapping_and_repeated_runs_become_one(world: World, campaign: int, noon: datetime) -> None:
    for first, last in ((10, 12), (0, 3), (4, 4), (2, 6), (13, 13), (0, 3), (20, 20), (8, 8)):
        arrive(world, campaign, *range(first, last + 1))
    refresh_spend()
    assert runs(world) == [(0, 6), (8, 8), (10, 13), (20, 20)]
    assert world.one("SELECT min(received_at) AS first FROM sequence_runs")["first"] == noon


def test_runs_at_the_largest_allowed_number_are_joined(world: World, campaign: int) -> None:
    arrive(world, campaign, 0, 2**53 - 1)
    arrive(world, campaign, 2**53 - 2)
    refresh_spend()
    assert runs(world) == [(0, 0), (2**53 - 2, 2**53 - 1)]
    assert sequences.forget_gaps(Source(ALL_BRANDS, "bidder")) == (ALL_BRANDS, "bidder", 2**53 - 1, 2**53 - 3)
    assert runs(world) == [(0, 2**53 - 1)]


@pytest.mark.parametrize("page", [2, 3, 7, 1_000])
def test_runs_are_equal_for_any_order_of_arrival_and_page_size(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(repository, "RUNS_A_PAGE", page)
    draw = random.Random(page)
    arrived = sorted(draw.sample(range(200), 120))
    shuffled = draw.sample(arrived, len(arrived)) + draw.choices(arrived, k=40)
    while shuffled:
        size = draw.randint(1, 12)
        arrive(world, campaign, *shuffled[:size])
        shuffled = shuffled[size:]
        if draw.random() < 0.3:
            sequences.join_runs()
    sequences.join_runs()
    assert [number for first, last in runs(world) for number in range(first, last + 1)] == arrived


def test_concurrent_joins_during_ingest_lose_no_number(world: World, campaign: int) -> None:
    batches = [[number, number + 300] for number in range(300)]
    random.Random(5).shuffle(batches)

    def send(part: int) -> None:
        for batch in batches[part::2]:
            arrive(world, campaign, *batch)

    def join() -> None:
        for _ in range(40):
            sequences.join_runs()
            sequences.forget_gaps(Source(ALL_BRANDS, "nobody"))

    at_once(partial(send, 0), partial(send, 1), join, join)
    sequences.join_runs()
    assert runs(world) == [(0, 599)]


# --- gaps


def test_gap_is_logged_once_after_the_grace_period(world: World, campaign: int, noon: datetime) -> None:
    arrive(world, campaign, 0, 1, 2)
    arrive(world, campaign, 7)
    world.set_clock(noon + GRACE - timedelta(seconds=1))
    assert logged_gaps() == []
    world.set_clock(noon + GRACE)
    assert logged_gaps() == [{"brand_id": 0, "source": "bidder", "first": 3, "last": 6, "missing": 4}]
    world.set_clock(noon + 2 * GRACE)
    assert logged_gaps() == []


def test_further_gaps_of_a_run_are_counted_in_one_line(
    world: World, campaign: int, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "MAX_GAPS_LOGGED", 2)
    arrive(world, campaign, 0, 2, 4, 6, 8, 10)
    world.set_clock(noon + GRACE)
    with structlog.testing.capture_logs() as logged:
        refresh_spend()
    assert [line["first"] for line in lines(logged, "sequence.gap")] == [1, 3]
    assert lines(logged, "sequence.more_gaps") == [{"gaps": 3}]
    assert logged_gaps() == []


def test_gap_disappears_when_late_numbers_arrive(world: World, campaign: int, noon: datetime) -> None:
    arrive(world, campaign, 0, 5)
    assert gaps_until(noon) == [(1, 4)]
    arrive(world, campaign, 3)
    assert gaps_until(noon) == [(1, 2), (4, 4)]
    arrive(world, campaign, 1, 4, 2)
    refresh_spend()
    assert gaps_until(noon) == []
    assert runs(world) == [(0, 5)]


def test_partly_filled_gap_keeps_its_age(world: World, campaign: int, noon: datetime) -> None:
    arrive(world, campaign, 0)
    world.set_clock(noon + timedelta(minutes=1))
    arrive(world, campaign, 9)
    for minute, number in ((2, 5), (3, 20)):
        world.set_clock(noon + timedelta(minutes=minute))
        arrive(world, campaign, number)
        for _ in range(2):
            with transaction() as connection:
                since = {gap.first: gap.since for gap in gaps(connection, noon + timedelta(hours=1))}
            assert since[1] == since[6] == noon + timedelta(minutes=1)
            sequences.join_runs()
    assert since[10] == noon + timedelta(minutes=3)


def test_late_numbers_below_the_first_restart_the_grace_period(world: World, campaign: int, noon: datetime) -> None:
    arrive(world, campaign, 1_000)
    later = world.set_clock(noon + timedelta(hours=1))
    arrive(world, campaign, 10)
    assert gaps_until(later - timedelta(seconds=1)) == []
    assert gaps_until(later) == [(11, 999)]


def test_sources_do_not_fill_each_others_gaps(world: World, campaign: int, noon: datetime) -> None:
    arrive(world, campaign, 0, 2)
    arrive(world, campaign, 1, source="other")
    assert gaps_until(noon) == [(1, 1)]
    assert gaps_until(noon, "other") == []
    with transaction() as connection:
        assert numberings(connection, noon) == [
            Numbering(ALL_BRANDS, "bidder", 0, 2, 2, 1),
            Numbering(ALL_BRANDS, "other", 1, 1, 1, 0),
        ]
        assert numberings(connection, noon - GRACE, "bidder") == [Numbering(ALL_BRANDS, "bidder", 0, 2, 2, 0)]


def test_gap_up_to_the_largest_allowed_number_is_counted_exactly(world: World, campaign: int, noon: datetime) -> None:
    arrive(world, campaign, 0, 2**53 - 1)
    with transaction() as connection:
        assert list(gaps(connection, noon)) == [Gap(ALL_BRANDS, "bidder", 1, 2**53 - 2, noon)]
        assert numberings(connection, noon) == [Numbering(ALL_BRANDS, "bidder", 0, 2**53 - 1, 2, 2**53 - 2)]


def test_concurrent_runs_log_a_gap_once(world: World, campaign: int, noon: datetime) -> None:
    arrive(world, campaign, 0, 2)
    at = world.set_clock(noon + GRACE)
    with structlog.testing.capture_logs() as logged:
        at_once(*[partial(sequences.log_gaps, at)] * 4)
    assert len(lines(logged, "sequence.gap")) == 1


def test_source_with_random_numbers_keeps_a_bounded_number_of_runs_and_logs_it(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "MAX_RUNS", 20)
    monkeypatch.setattr(sequences, "MAX_RUNS", 20)
    arrive(world, campaign, *range(0, 200, 2))
    with structlog.testing.capture_logs() as logged:
        refresh_spend()
    assert lines(logged, "sequence.forgotten") == [{"brand_id": 0, "source": "bidder", "up_to": 180, "missing": 90}]
    assert runs(world) == [(0, 180), *((number, number) for number in range(182, 200, 2))]
    arrive(world, campaign, 51)
    refresh_spend()
    assert len(runs(world)) == 10
