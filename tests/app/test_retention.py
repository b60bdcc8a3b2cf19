"""Events of dropped ledger months are not counted again, for any setting and any cache of a process."""

from collections.abc import Callable
from typing import Any

import pytest

from app.ingest.http_batches import keep_invalid_events, keep_invalid_totals
from app.ingest.ingest import count_events, count_totals
from db.engine import committed
from db.repository.ledger import ledger
from runtime.settings import settings
from tests.kit import at_once
from tests.world import World, moment

OLD, GOOD = "2026-03-10T12:00:00Z", "2026-06-17T10:00:00Z"


@pytest.fixture
def campaign(world: World, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("SPENDGATE_MAX_EVENT_AGE_DAYS", "400")
    settings.cache_clear()
    world.set_clock("2026-06-17T12:00:00Z")
    return world.campaign(world.brand(lifetime=10))


def drop_before(instant: str) -> None:
    committed(lambda connection: ledger.drop_partitions_before(connection, moment(instant)))


def dropped_elsewhere(instant: str) -> None:
    """Drops months as another process does, so that this process keeps its outdated cache."""
    known, floors = dict(ledger._known), dict(ledger._floors)
    drop_before(instant)
    ledger._known.update(known)
    ledger._floors.update(floors)


def months(world: World) -> list[str]:
    query = (
        "SELECT right(relname, 7) AS month FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = 'spend_events'::regclass ORDER BY 1"
    )
    return [row["month"] for row in world.rows(query)]


def total(campaign: int, day: str, micros: int = 1) -> dict[str, Any]:
    as_of = f"{day}T12:00:00Z"
    return {"source": "meta", "campaign_id": campaign, "day": day, "total_micros": micros, "as_of": as_of}


@pytest.mark.parametrize("drop", [drop_before, dropped_elsewhere])
def test_event_of_a_dropped_month_is_rejected_alone_as_too_old(
    world: World, campaign: int, drop: Callable[[str], None]
) -> None:
    event = world.spend(campaign, 6, OLD)
    drop("2026-05-01T00:00:00Z")
    good = [world.event(campaign, 1, GOOD) for _ in range(2)]
    world.ingest([good[0], event, good[1]])
    assert [row["reason"] for row in world.rejected()] == ["too_old"]
    ledger.clear_ledger_cache()
    world.ingest([event, world.event(campaign, 1, OLD)])
    assert (world.spent(campaign), world.is_active(campaign)) == (8, True)
    assert "2026_03" not in months(world)
    world.verify()


@pytest.mark.parametrize("several", [1, 300])
def test_every_writer_notices_a_month_dropped_by_another_process(world: World, campaign: int, several: int) -> None:
    world.spend(campaign, 6, OLD)
    dropped_elsewhere("2026-05-01T00:00:00Z")
    events = [world.event(campaign, 1, at) for at in (OLD, GOOD) for _ in range(several)]
    counted = count_events(events)
    assert (counted.taken, len(counted.rejections)) == (several, several)
    assert {rejection.reason for rejection in counted.rejections} == {"too_old"}


def test_totals_of_dropped_months_are_rejected_alone_as_too_old(world: World, campaign: int) -> None:
    count_totals([total(campaign, "2026-03-10", 6)])
    dropped_elsewhere("2026-05-01T00:00:00Z")
    counted = count_totals(
        [total(campaign, "2026-03-10", 9), total(campaign, "2026-05-01"), total(campaign, "2026-04-30")]
    )
    assert (counted.taken, [rejection.reason for rejection in counted.rejections]) == (1, ["too_old", "too_old"])
    assert world.spent(campaign) == 7


def test_total_whose_local_day_begins_in_a_dropped_month_is_too_old(world: World, campaign: int) -> None:
    east = world.campaign(world.brand("Asia/Tokyo"))
    drop_before("2026-05-01T00:00:00Z")
    night = {**total(east, "2026-05-01"), "as_of": "2026-04-30T16:00:00Z"}
    counted = count_totals([night, total(east, "2026-05-02")])
    assert (counted.taken, [rejection.reason for rejection in counted.rejections]) == (1, ["too_old"])


def test_spend_sent_by_http_is_checked_against_the_ledgers_floor(world: World, campaign: int) -> None:
    drop_before("2026-05-01T00:00:00Z")
    events = [world.event(campaign, 1, OLD), world.event(campaign, 1, GOOD)]
    assert {place: found.reason for place, found in keep_invalid_events(events, None).items()} == {0: "too_old"}
    totals = [total(campaign, "2026-06-01"), total(campaign, "2026-04-01")]
    assert {place: found.reason for place, found in keep_invalid_totals(totals, None).items()} == {1: "too_old"}


def test_database_creates_no_month_below_the_ledgers_floor(world: World, campaign: int) -> None:
    world.spend(campaign, 1, OLD)
    drop_before("2026-05-01T00:00:00Z")
    made = "SELECT ensure_ledger_month(%s) AS made"
    assert [world.one(made, month)["made"] for month in ("2026-03-01", "1999-01-01")] == [None, None]
    assert [world.one(made, month)["made"] for month in ("2031-05-01", "2031-05-01")] == [True, False]


def test_floor_set_by_a_clock_ahead_rejects_nothing_of_the_current_month(world: World) -> None:
    campaign = world.campaign(world.brand())
    drop_before("2199-03-01T00:00:00Z")
    world.spend(campaign, 1)
    assert (world.spent(campaign), world.rejected()) == (1, [])


def test_dropping_months_during_ingest_loses_and_doubles_nothing(world: World, campaign: int) -> None:
    world.limit(10**9, "lifetime", brand=world.brand_of(campaign))
    old = [world.event(campaign, 1, OLD) for _ in range(40)]
    good = [world.event(campaign, 1, GOOD) for _ in range(40)]
    world.ingest(old[:1])

    def spend() -> None:
        for pair in zip(old, good, strict=True):
            world.ingest(pair)

    at_once(spend, lambda: drop_before("2026-05-01T00:00:00Z"))
    world.ingest(old)
    counted = world.spent(campaign)
    assert 41 <= counted <= 80
    assert counted + len({row["payload"]["event_id"] for row in world.rejected()} - counted_ids(world)) >= 80
    world.verify()


def counted_ids(world: World) -> set[str]:
    return {str(row["event_id"]) for row in world.rows("SELECT event_id FROM spend_events")}


# --- partitions


def test_only_months_with_events_get_partitions(world: World, campaign: int) -> None:
    before = set(months(world))
    count_totals([total(campaign, "2024-01-02"), total(campaign, "2026-06-17")])
    world.ingest([world.event(campaign, 1, "2025-07-01T00:00:00Z"), world.event(campaign, 1, GOOD)])
    assert set(months(world)) - before <= {"2024_01", "2025_07", "2026_06"}


def test_totals_older_than_three_years_are_rejected(world: World, campaign: int) -> None:
    counted = count_totals([total(campaign, day) for day in ("1990-02-01", "2023-06-16", "2023-06-17", "2026-06-17")])
    assert counted.taken == 2
    assert {rejection.reason for rejection in counted.rejections} == {"too_old"}


def test_many_missing_months_are_created_in_several_transactions(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_MAX_TOTAL_AGE_DAYS", "20000")
    settings.cache_clear()
    days = [f"{year}-{month:02}-05" for year in range(2000, 2006) for month in range(1, 13)]
    counted = count_totals([total(campaign, day) for day in days])
    assert (counted.taken, world.spent(campaign)) == (72, 72)
    made = world.rows(
        "SELECT pg_class.xmin::text AS made_by, count(*) AS tables FROM pg_inherits JOIN pg_class ON oid = inhrelid"
        " WHERE inhparent = 'spend_events'::regclass AND relname LIKE 'spend_events_200%%' GROUP BY 1"
    )
    assert sum(row["tables"] for row in made) == 72
    assert max(row["tables"] for row in made) <= ledger.PARTITIONS_A_TRANSACTION
    world.verify()
