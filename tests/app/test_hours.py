"""Spend by hour: rolled up from the ledger; hours and unsettled spend always sum up to the day's counter."""

from datetime import date, timedelta

import structlog

from db.engine import snapshot
from db.repository.reading.hours import REACH, SETTLED, hours_of
from tests.kit import lines, statements
from tests.world import World
from workers.actors.schedule import roll_up_hours


def hours(world: World, brand: int, day: str) -> dict[int, int]:
    with snapshot() as connection:
        return hours_of(connection, brand, [date.fromisoformat(day)])[date.fromisoformat(day)]


def roll_up_at(world: World, at: str) -> None:
    world.set_clock(at)
    roll_up_hours()


def test_spend_is_rolled_up_by_brand_local_hour(world: World) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand(zone="Asia/Kathmandu"))
    world.spend(campaign, 5, "2026-06-16T18:14:59Z")
    world.spend(campaign, 7, "2026-06-16T18:15:00Z")
    world.spend(campaign, 11, "2026-06-16T19:14:59Z")
    world.spend(campaign, -3, "2026-06-16T19:15:00Z")
    roll_up_at(world, "2026-06-17T12:05:00Z")
    assert hours(world, 1, "2026-06-16") == {23: 5}
    assert hours(world, 1, "2026-06-17") == {0: 18, 1: -3}


def test_hour_repeated_by_a_clock_change_has_the_spend_of_both(world: World) -> None:
    world.set_clock("2026-11-01T12:00:00Z")
    campaign = world.campaign(world.brand(zone="America/New_York"))
    for at in ("2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-01T07:30:00Z"):
        world.spend(campaign, 1, at)
    roll_up_at(world, "2026-11-01T12:05:00Z")
    assert hours(world, 1, "2026-11-01") == {1: 2, 2: 1}


def test_each_run_adds_new_spend_and_a_repeated_run_adds_nothing(world: World) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand())
    world.spend(campaign, 5)
    for _ in range(2):
        roll_up_at(world, "2026-06-17T12:05:00Z")
        assert hours(world, 1, "2026-06-17") == {12: 5}
    world.spend(campaign, 7, "2026-06-16T08:00:00Z")
    world.spend(campaign, 1)
    roll_up_at(world, "2026-06-17T12:10:00Z")
    assert hours(world, 1, "2026-06-16") == {8: 7}
    assert hours(world, 1, "2026-06-17") == {12: 6}


def test_spend_received_just_now_is_added_by_the_next_run(world: World) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand())
    world.spend(campaign, 5)
    world.set_clock(at + SETTLED)
    roll_up_hours()
    assert hours(world, 1, "2026-06-17") == {}
    world.set_clock(at + SETTLED + timedelta(seconds=1))
    roll_up_hours()
    assert hours(world, 1, "2026-06-17") == {12: 5}


def test_spend_committed_late_is_found_by_the_sum_of_its_day(world: World) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand())
    world.spend(campaign, 5)
    roll_up_at(world, "2026-06-17T12:05:00Z")
    world.set_clock("2026-06-17T12:01:00Z")
    world.spend(campaign, 7)
    roll_up_at(world, "2026-06-17T12:10:00Z")
    assert hours(world, 1, "2026-06-17") == {12: 12}


def test_clock_set_back_counts_nothing_twice(world: World) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand())
    world.spend(campaign, 5)
    for at in ("2026-06-17T14:00:00Z", "2026-06-17T13:00:00Z", "2026-06-17T13:05:00Z", "2026-06-17T14:05:00Z"):
        roll_up_at(world, at)
        assert hours(world, 1, "2026-06-17") == {12: 5}


def test_watermark_from_a_clock_ahead_begins_the_hours_anew_once(world: World) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    world.spend(world.campaign(world.brand()), 5)
    world.execute("INSERT INTO watermarks VALUES ('brand_hours', '2036-01-01Z')")
    roll_up_at(world, "2026-06-17T12:05:00Z")
    with statements() as sent:
        roll_up_at(world, "2026-06-17T12:20:00Z")
    assert not any(statement.strip() == "DELETE FROM brand_hours" for statement, _ in sent)
    assert hours(world, 1, "2026-06-17") == {12: 5}


def test_hours_older_than_the_plots_are_deleted(world: World) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand())
    world.spend(campaign, 5)
    roll_up_at(world, "2026-06-17T12:05:00Z")
    world.set_clock(at + REACH)
    roll_up_hours()
    assert world.rows("SELECT * FROM brand_hours") == []


def test_late_amounts_that_cancel_within_a_day_are_found(world: World) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand())
    world.spend(campaign, 5)
    roll_up_at(world, "2026-06-17T12:05:00Z")
    world.set_clock("2026-06-17T12:03:00Z")
    world.ingest([world.event(campaign, 7, "2026-06-17T04:00:00Z"), world.event(campaign, -7, "2026-06-17T05:00:00Z")])
    roll_up_at(world, "2026-06-17T12:10:00Z")
    assert hours(world, 1, "2026-06-17") == {4: 7, 5: -7, 12: 5}


def test_sum_beyond_a_bigint_stops_no_other_brands_hours(world: World) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    huge, small = world.campaign(world.brand()), world.campaign(world.brand())
    for sign, hour in ((1, 3), (-1, 5)):
        world.execute(
            "INSERT INTO spend_events SELECT gen_random_uuid(), 1, %s, %s, %s * 1000000000000000, '', %s"
            " FROM generate_series(1, 10000)",
            huge,
            f"2026-06-17T0{hour}:00:00Z",
            sign,
            "2026-06-17T12:00:00Z",
        )
    world.spend(small, 5)
    roll_up_at(world, "2026-06-17T12:05:00Z")
    assert hours(world, 2, "2026-06-17") == {12: 5}
    assert hours(world, 1, "2026-06-17") == {3: 2**63 - 1, 5: -(2**63 - 1)}


def test_days_before_the_ledgers_floor_are_left_unchanged(world: World) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand())
    world.spend(campaign, 5, "2026-05-20T12:00:00Z")
    world.spend(campaign, 7)
    roll_up_at(world, "2026-06-17T12:05:00Z")
    world.execute("DROP TABLE spend_events_2026_05")
    world.execute("INSERT INTO watermarks VALUES ('ledger_floor', '2026-06-01T00:00:00Z')")
    with structlog.testing.capture_logs() as logged:
        roll_up_at(world, "2026-06-17T12:20:00Z")
    assert lines(logged, "hours.rolled_up") == [{"days_recounted": 0}]
    assert hours(world, 1, "2026-06-17") == {12: 7}
