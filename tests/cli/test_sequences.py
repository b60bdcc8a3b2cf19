"""`spendgate sequences` lists and forgets gaps in the sequence numbers of sources."""

from datetime import datetime, timedelta

import pytest

from tests.cli.conftest import Spendgate
from tests.cli.test_commands import assert_one_line
from tests.world import World
from workers.actors.ingest import ingest_spend


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    world.set_clock(noon)
    return world.campaign(world.brand())


def arrive(world: World, campaign: int, source: str, *numbers: int) -> None:
    world.ingest([world.event(campaign, 1, source=source, sequence=number) for number in numbers])


def test_sequences_lists_nothing_without_numbered_events(world: World, spendgate: Spendgate, campaign: int) -> None:
    world.spend(campaign, 1, source="bidder")
    result = spendgate("sequences")
    assert (result.code, "No source sends sequence numbers." in result.out) == (0, True)
    assert "No such source sends sequence numbers." in spendgate("sequences", "--source", "bidder").out
    assert spendgate("sequences", "--json").data == []


def test_sequences_lists_gaps_by_source_after_the_grace_period(
    world: World, spendgate: Spendgate, campaign: int, noon: datetime
) -> None:
    arrive(world, campaign, "bidder-1", 0, 1, 2, 7, 9)
    arrive(world, campaign, "bidder-2", 4, 5)
    whole = {"brand_id": 0, "source": "bidder-2", "first": 4, "last": 5, "arrived": 2, "missing": 0, "gaps": []}
    seen = {"brand_id": 0, "source": "bidder-1", "first": 0, "last": 9, "arrived": 5}
    result = spendgate("sequences", "--json")
    assert (result.code, result.data) == (0, [seen | {"missing": 0, "gaps": []}, whole])
    world.set_clock(noon + timedelta(minutes=5))
    result = spendgate("sequences", "--json")
    since = noon.isoformat()
    gaps = [
        {"first": 3, "last": 6, "missing": 4, "since": since},
        {"first": 8, "last": 8, "missing": 1, "since": since},
    ]
    assert (result.code, result.data) == (1, [seen | {"missing": 5, "gaps": gaps}, whole])
    assert (spendgate("sequences", "--source", "bidder-2", "--json").data) == [whole]
    text = spendgate("sequences").out
    assert "bidder-2" in text
    assert "2026-06-17 12:00:00 UTC" in text


def test_sequences_prints_50_of_many_gaps_and_all_with_json(
    world: World, spendgate: Spendgate, campaign: int, noon: datetime
) -> None:
    arrive(world, campaign, "bidder", *range(0, 120, 2))
    world.set_clock(noon + timedelta(minutes=5))
    assert "and 9 more; --json lists them" in spendgate("sequences").out
    assert len(spendgate("sequences", "--json").data[0]["gaps"]) == 59


def test_sequences_forget_drops_the_gaps_of_one_source(
    world: World, spendgate: Spendgate, campaign: int, noon: datetime
) -> None:
    for source in ("[red]1", "other"):
        arrive(world, campaign, source, 0, 2, 4)
    world.set_clock(noon + timedelta(minutes=5))
    result = spendgate("sequences", "--source", "[red]1", "--forget")
    assert (result.code, result.out.splitlines()[0]) == (0, "[red]1: forgot 2 missing numbers up to 4")
    assert [row["missing"] for row in spendgate("sequences", "--json").data] == [0, 2]
    again = spendgate("sequences", "--source", "[red]1", "--forget", "--json")
    assert (again.code, again.data[0]["arrived"]) == (0, 5)


def test_sequences_forget_needs_a_source(spendgate: Spendgate) -> None:
    assert_one_line(spendgate("sequences", "--forget"), 2, "--forget", "--source")


def test_sequences_forget_needs_a_brand_for_a_source_with_several_senders(
    world: World, spendgate: Spendgate, campaign: int
) -> None:
    brand = world.brand_of(campaign)
    arrive(world, campaign, "bidder", 0, 2)
    ingest_spend(
        events=[world.event(campaign, 1, source="bidder", sequence=number) for number in (5, 9)], only_brand_id=brand
    )
    result = spendgate("sequences", "--source", "bidder", "--forget")
    assert_one_line(result, 2, "--brand", f"0, {brand}")
    result = spendgate("sequences", "--source", "bidder", "--forget", "--brand", str(brand))
    assert "forgot 3 missing numbers up to 9" in result.out
    assert [row["first"] for row in world.rows("SELECT first FROM sequence_runs ORDER BY first")] == [0, 2, 5]
