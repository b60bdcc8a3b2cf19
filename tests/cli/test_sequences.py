"""`spendgate sequences`: what a source sent and never arrived."""

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


def test_without_numbers_there_is_nothing_to_list(world: World, spendgate: Spendgate, campaign: int) -> None:
    world.spend(campaign, 1, source="bidder")
    told = spendgate("sequences")
    assert (told.code, "No source has numbered its events." in told.out) == (0, True)
    assert spendgate("sequences", "--json").data == []


def test_gaps_are_listed_by_source_once_they_outlive_the_grace(
    world: World, spendgate: Spendgate, campaign: int, noon: datetime
) -> None:
    arrive(world, campaign, "bidder-1", 0, 1, 2, 7, 9)
    arrive(world, campaign, "bidder-2", 4, 5)
    whole = {"brand_id": 0, "source": "bidder-2", "first": 4, "last": 5, "arrived": 2, "missing": 0, "gaps": []}
    seen = {"brand_id": 0, "source": "bidder-1", "first": 0, "last": 9, "arrived": 5}
    told = spendgate("sequences", "--json")
    assert (told.code, told.data) == (0, [seen | {"missing": 0, "gaps": []}, whole])
    world.set_clock(noon + timedelta(minutes=5))
    told = spendgate("sequences", "--json")
    since = noon.isoformat()
    gaps = [
        {"first": 3, "last": 6, "missing": 4, "since": since},
        {"first": 8, "last": 8, "missing": 1, "since": since},
    ]
    assert (told.code, told.data) == (1, [seen | {"missing": 5, "gaps": gaps}, whole])
    assert (spendgate("sequences", "--source", "bidder-2", "--json").data) == [whole]
    text = spendgate("sequences").out
    assert "bidder-2" in text
    assert "2026-06-17 12:00:00 UTC" in text


def test_many_gaps_are_shown_in_part_and_all_by_json(
    world: World, spendgate: Spendgate, campaign: int, noon: datetime
) -> None:
    arrive(world, campaign, "bidder", *range(0, 120, 2))
    world.set_clock(noon + timedelta(minutes=5))
    assert "and 9 more; --json lists them" in spendgate("sequences").out
    assert len(spendgate("sequences", "--json").data[0]["gaps"]) == 59


def test_a_person_gives_up_the_gaps_of_one_source(
    world: World, spendgate: Spendgate, campaign: int, noon: datetime
) -> None:
    for source in ("[red]1", "other"):
        arrive(world, campaign, source, 0, 2, 4)
    world.set_clock(noon + timedelta(minutes=5))
    told = spendgate("sequences", "--source", "[red]1", "--forget")
    assert (told.code, told.out.splitlines()[0]) == (0, "[red]1: 2 missing numbers up to 4 given up")
    assert [row["missing"] for row in spendgate("sequences", "--json").data] == [0, 2]
    again = spendgate("sequences", "--source", "[red]1", "--forget", "--json")
    assert (again.code, again.data[0]["arrived"]) == (0, 5)


def test_giving_up_asks_for_a_source(spendgate: Spendgate) -> None:
    assert_one_line(spendgate("sequences", "--forget"), 2, "--forget", "--source")


def test_giving_up_asks_which_sender_is_meant_where_several_send_for_a_source(
    world: World, spendgate: Spendgate, campaign: int
) -> None:
    brand = world.brand_of(campaign)
    arrive(world, campaign, "bidder", 0, 2)
    ingest_spend(
        events=[world.event(campaign, 1, source="bidder", sequence=number) for number in (5, 9)], only_brand_id=brand
    )
    told = spendgate("sequences", "--source", "bidder", "--forget")
    assert_one_line(told, 2, "--brand", f"0, {brand}")
    told = spendgate("sequences", "--source", "bidder", "--forget", "--brand", str(brand))
    assert "3 missing numbers up to 9 given up" in told.out
    assert [row["first"] for row in world.rows("SELECT first FROM sequence_runs ORDER BY first")] == [0, 2, 5]
