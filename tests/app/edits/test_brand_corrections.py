"""Corrections of a brand's time zone and currency: counters follow the new zone, reported totals keep their days."""

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from random import Random
from threading import Event
from typing import Any

import pytest

from app.edits import brand_corrections
from app.edits.brand_corrections import BrandCorrection, Corrected
from app.edits.preview import Unconfirmed, agreed_to
from app.enforcement import edited
from app.ingest.ingest import count_events, count_totals
from app.reports.generate import report_month
from db.engine import committed
from db.repository.access.audit import Edit
from db.repository.enforcement import targets
from db.repository.ledger.ledger import FLOOR
from db.repository.reading import hours
from db.repository.shared import watermarks
from domain.errors import InvalidValue
from domain.periods import local_day
from domain.zones import time_zone
from runtime import clock
from tests import citus
from tests.kit import at_each_statement, at_once, wait_for_locks
from tests.world import UNIT, World

TABLES = ("brands", "campaign_days", "brand_days", "brand_hours", "spend_events", "audit_entries", "hold_changes")


def correct(brand: int, zone: str | None = None, currency: str | None = None, dry_run: bool = False) -> Corrected:
    asked = BrandCorrection(brand, zone, currency)
    return brand_corrections.correct(asked, Edit("ada", clock.now()), dry_run=dry_run)


def days(world: World, campaign: int) -> dict[str, int]:
    query = "SELECT day, spent_micros FROM campaign_days WHERE campaign_id = %s ORDER BY day"
    return {str(row["day"]): row["spent_micros"] for row in world.rows(query, campaign)}


def total(campaign: int, day: str, units: int, as_of: str) -> dict[str, Any]:
    return {"source": "meta", "campaign_id": campaign, "day": day, "total_micros": units * UNIT, "as_of": as_of}


def everything(world: World) -> list[list[dict[str, Any]]]:
    return [world.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in TABLES]  # noqa: S608 - our own names


def test_correction_counts_each_event_on_its_day_in_the_new_zone(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC")
    campaign = world.campaign(brand)
    for at, units in (("2026-06-16T12:00:00Z", 1), ("2026-06-16T18:14:59Z", 2), ("2026-06-16T18:15:00Z", 4)):
        world.spend(campaign, units * UNIT, at)
    corrected = correct(brand, "Asia/Kathmandu")
    assert days(world, campaign) == {"2026-06-16": 3 * UNIT, "2026-06-17": 4 * UNIT}
    assert corrected.days == ((date(2026, 6, 16), 7 * UNIT, 3 * UNIT), (date(2026, 6, 17), 0, 4 * UNIT))
    assert (corrected.campaign_days, corrected.moved_totals, corrected.kept_until) == (2, 0, None)
    assert world.one("SELECT time_zone FROM brands")["time_zone"] == "Asia/Kathmandu"
    world.spend(campaign, UNIT, "2026-06-16T18:20:00Z")
    assert days(world, campaign)["2026-06-17"] == 5 * UNIT
    world.verify()


def test_correcting_back_restores_the_old_counters(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("America/New_York", daily=4 * UNIT)
    campaign = world.campaign(brand)
    world.spend(campaign, 3 * UNIT, "2026-06-17T02:00:00Z")
    count_totals(
        [
            total(campaign, "2026-06-15", 5, "2026-06-16T09:00:00Z"),
            total(campaign, "2026-06-14", 0, "2026-06-16T09:00:00Z"),
        ]
    )
    before = days(world, campaign), world.rows("SELECT * FROM brand_days ORDER BY day"), world.holds(campaign)
    correct(brand, "Pacific/Kiritimati")
    assert days(world, campaign) != before[0]
    world.verify()
    correct(brand, "America/New_York")
    assert (days(world, campaign), world.rows("SELECT * FROM brand_days ORDER BY day"), world.holds(campaign)) == before
    world.verify()


def test_correction_keeps_reported_totals_on_the_day_they_were_reported_for(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC")
    campaign = world.campaign(brand)
    for units, as_of in ((2, "2026-06-16T01:00:00Z"), (5, "2026-06-16T12:00:00Z"), (9, "2026-06-17T08:00:00Z")):
        count_totals([total(campaign, "2026-06-16", units, as_of)])
    for zone in ("America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "UTC"):
        corrected = correct(brand, zone)
        assert {day: micros for day, micros in days(world, campaign).items() if micros} == {"2026-06-16": 9 * UNIT}
        assert corrected.days == ()
        world.verify()
    count_totals([total(campaign, "2026-06-16", 8, "2026-06-17T09:00:00Z")])
    assert days(world, campaign)["2026-06-16"] == 8 * UNIT
    assert count_totals([total(campaign, "2026-06-16", 8, "2026-06-17T09:00:00Z")]).known == 1
    world.verify()


def test_correction_is_refused_and_names_totals_that_differ_from_the_ledger(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC")
    campaign = world.campaign(brand)
    count_totals([total(campaign, "2026-06-16", 5, "2026-06-17T01:00:00Z")])
    world.execute("UPDATE reported_totals SET total_micros = 6000000")
    before = everything(world)
    with pytest.raises(InvalidValue, match=r"meta reported 6000000 micros for campaign \d+ on 2026-06-16"):
        correct(brand, "Asia/Tokyo")
    assert everything(world) == before


ZONES = (
    "UTC",
    "Asia/Kathmandu",
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "America/Santiago",
)


@pytest.mark.parametrize("seed", range(3))
def test_random_events_and_totals_match_the_rules_after_random_corrections(
    world: World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Covers days around the clock changes of autumn and spring; compares with rules in plain Python."""
    monkeypatch.setenv("SPENDGATE_MAX_EVENT_AGE_DAYS", "365")
    at, random = world.set_clock("2026-11-10T12:00:00Z"), Random(seed)
    brand = world.brand(random.choice(ZONES))
    campaigns = [world.campaign(brand) for _ in range(2)]
    spent: list[tuple[int, datetime, int]] = []
    for _ in range(150):
        occurred = at - timedelta(minutes=random.randrange(1, 60 * 24 * 20))
        spent.append((random.choice(campaigns), occurred, random.randrange(-UNIT, 3 * UNIT)))
    world.ingest([world.event(campaign, micros, occurred) for campaign, occurred, micros in spent])
    reported: dict[tuple[int, str], int] = {}
    for number in range(60):
        key = random.choice(campaigns), str(at.date() - timedelta(days=random.randrange(2, 15)))
        reported[key] = random.randrange(0, 9)
        count_totals([total(*key, reported[key], (at - timedelta(hours=30) + timedelta(minutes=number)).isoformat())])
    for zone in random.sample(ZONES, 4):
        correct(brand, zone)
        wanted: defaultdict[tuple[int, str], int] = defaultdict(int)
        for campaign, occurred, micros in spent:
            wanted[campaign, str(local_day(occurred, time_zone(zone)))] += micros
        for key, units in reported.items():
            wanted[key] += units * UNIT
        rows = world.rows("SELECT campaign_id, day, spent_micros FROM campaign_days")
        found = {(row["campaign_id"], str(row["day"])): row["spent_micros"] for row in rows}
        assert {key: micros for key, micros in found.items() if micros} == {k: v for k, v in wanted.items() if v}
        world.verify()


def test_correction_enforces_the_brand_in_the_same_commit(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC", daily=5 * UNIT)
    campaign = world.campaign(brand)
    world.spend(campaign, 5 * UNIT, "2026-06-17T01:00:00Z")
    assert world.holds(campaign) == {"brand_daily_budget"}
    assert correct(brand, "America/New_York", dry_run=True).fields()["starts"] == [campaign]
    assert world.holds(campaign) == {"brand_daily_budget"}
    correct(brand, "America/New_York")
    assert world.holds(campaign) == set()
    world.verify()
    corrected = correct(brand, "UTC")
    assert corrected.fields()["stops"] == [campaign]
    assert world.one("SELECT next_change_at FROM campaigns")["next_change_at"] == datetime(2026, 6, 18, tzinfo=UTC)
    world.verify()


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(("looked_at", "named"), [(5, 5), (3, 3)])
def test_correction_of_a_large_brand_names_all_campaigns_or_says_at_least(
    world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch, dry_run: bool, looked_at: int, named: int
) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC", daily=5 * UNIT)
    campaigns = [world.campaign(brand) for _ in range(5)]
    world.spend(campaigns[0], 5 * UNIT, "2026-06-17T01:00:00Z")
    monkeypatch.setattr("app.passes.CAMPAIGNS_A_PART", 2)
    monkeypatch.setattr("app.enforcement.LOOKED_AT", looked_at)
    corrected = correct(brand, "America/New_York", dry_run=dry_run)
    assert corrected.fields()["starts"] == campaigns[:named]
    assert corrected.at_least is (looked_at < 5)
    bound = "at least " if looked_at < 5 else ""
    assert f"starts {bound}{named} campaigns: 1, 2, 3" in corrected.sentence()
    world.tick()
    assert {one for one in campaigns if not world.holds(one)} == (set() if dry_run else {*campaigns})


def test_correction_with_another_effect_than_the_agreed_one_is_not_made(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC", daily=5 * UNIT)
    campaign = world.campaign(brand)
    world.spend(campaign, 5 * UNIT, "2026-06-17T01:00:00Z")
    agreed = agreed_to(correct(brand, "America/New_York", dry_run=True).token)
    second = world.campaign(brand)
    asked, edit = BrandCorrection(brand, "America/New_York"), Edit("ada", clock.now())
    before = everything(world)
    with pytest.raises(Unconfirmed, match=f"starts 2 campaigns: {campaign}, {second}"):
        brand_corrections.correct(asked, edit, agree=agreed)
    assert everything(world) == before
    world.spend(campaign, 1, "2026-06-17T11:00:00Z")
    agreed = agreed_to(correct(brand, "America/New_York", dry_run=True).token)
    assert brand_corrections.correct(asked, edit, agree=agreed).stopped == 0


def test_dry_run_returns_the_effect_and_changes_nothing(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC")
    campaign = world.campaign(brand)
    world.spend(campaign, UNIT, "2026-06-17T01:00:00Z")
    count_totals([total(campaign, "2026-06-16", 5, "2026-06-17T01:00:00Z")])
    before = everything(world)
    rehearsed = correct(brand, "America/New_York", dry_run=True)
    assert everything(world) == before
    assert correct(brand, "America/New_York").fields() == rehearsed.fields()
    assert [str(day) for day, _, _ in rehearsed.days] == ["2026-06-16", "2026-06-17"]


def test_repeated_correction_writes_nothing(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC")
    world.spend(world.campaign(brand), UNIT)
    correct(brand, "Asia/Tokyo", "JPY")
    before = everything(world)
    again = correct(brand, "Asia/Tokyo", "JPY")
    assert (again.old, again.days) == (again.new, ())
    assert everything(world) == before
    entries = world.rows("SELECT changed_by, old, new FROM audit_entries WHERE action = 'correct'")
    assert [(row["changed_by"], row["old"]) for row in entries] == [("ada", {"time_zone": "UTC", "currency": "USD"})]
    assert entries[0]["new"]["time_zone"] == "Asia/Tokyo"


def test_correction_of_the_currency_converts_no_amount(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC", daily=9 * UNIT)
    campaign = world.campaign(brand)
    world.spend(campaign, 5 * UNIT, currency="USD")
    assert correct(brand, currency="EUR").days == ()
    assert world.spent(campaign) == 5 * UNIT
    assert world.one("SELECT limit_micros FROM budgets")["limit_micros"] == 9 * UNIT
    result = count_events([world.event(campaign, UNIT, currency="USD"), world.event(campaign, UNIT, currency="EUR")])
    assert ([str(one.reason) for one in result.rejections], result.taken) == (["wrong_currency"], 1)
    world.verify()


@pytest.mark.parametrize(("zone", "currency"), [("Mars/Olympus", None), (None, "dollars"), ("", None)])
def test_unknown_zone_or_currency_is_refused(world: World, zone: str | None, currency: str | None) -> None:
    brand = world.brand("UTC")
    with pytest.raises(InvalidValue):
        correct(brand, zone, currency)
    with pytest.raises(InvalidValue, match="there is no brand"):
        correct(brand + 1, "UTC")


def test_only_a_correction_changes_the_zone_of_a_brand_with_spend(world: World) -> None:
    brand, other = world.brand("UTC"), world.brand("UTC")
    for one in (brand, other):
        world.spend(world.campaign(one), UNIT)
    correct(brand, "Asia/Tokyo")
    for statement in (
        "UPDATE brands SET time_zone = 'Europe/Berlin'",
        f"SET spendgate.corrects_brand = '{brand}'; UPDATE brands SET time_zone = 'Europe/Berlin' WHERE id = {other}",  # noqa: S608
    ):
        with pytest.raises(Exception, match="are fixed: it has spend"):
            world.execute(statement)


def test_correction_keeps_counters_of_dropped_months_and_loses_no_micro(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC")
    campaign = world.campaign(brand)
    for at in ("2026-05-31T23:30:00Z", "2026-06-01T02:00:00Z", "2026-06-02T02:00:00Z", "2026-06-02T12:00:00Z"):
        world.spend(campaign, UNIT, at)
    world.execute("DROP TABLE spend_events_2026_05")
    committed(lambda connection: watermarks.raise_to(connection, FLOOR, datetime(2026, 6, 1, tzinfo=UTC)))
    before = days(world, campaign)
    corrected = correct(brand, "America/New_York")
    assert corrected.kept_until == date(2026, 6, 1)
    assert days(world, campaign) == {"2026-05-31": 2 * UNIT, "2026-06-01": UNIT, "2026-06-02": UNIT}
    world.verify()
    correct(brand, "UTC")
    assert days(world, campaign) == before
    world.verify()


def test_correction_stores_new_versions_of_reports(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC")
    world.spend(world.campaign(brand), UNIT, "2026-06-01T02:00:00Z")
    report_month(brand, date(2026, 5, 1))
    correct(brand, "America/New_York")
    query = "SELECT version, (content ->> 'spent_micros')::bigint AS spent FROM monthly_reports ORDER BY version"
    assert [(row["version"], row["spent"]) for row in world.rows(query)] == [(1, 0), (2, UNIT)]


def test_correction_recounts_hours_by_the_new_zone(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC")
    campaign = world.campaign(brand)
    world.spend(campaign, UNIT, "2026-06-17T03:10:00Z")
    world.set_clock(noon + timedelta(minutes=5))
    roll_up()
    correct(brand, "Asia/Kathmandu")
    query = "SELECT day, hour, spent_micros FROM brand_hours WHERE spent_micros <> 0"
    found = [(str(row["day"]), row["hour"], row["spent_micros"]) for row in world.rows(query)]
    assert found == [("2026-06-17", 8, UNIT)]
    world.set_clock(noon + timedelta(minutes=10))
    roll_up()
    assert [(str(row["day"]), row["hour"]) for row in world.rows(query)] == [("2026-06-17", 8)]


def roll_up() -> None:
    committed(lambda connection: hours.roll_up(connection, targets.zones_in_use(connection), clock.now()))


COUNTING = "count_spend(" if citus.is_used() else "INSERT INTO spend_events"


@pytest.mark.parametrize("place", [COUNTING, "time_zone, currency"])
def test_spend_validated_by_the_old_zone_is_validated_again(
    world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    wait_for_locks(500, monkeypatch)
    world.set_clock(noon)
    brand = world.brand("UTC")
    campaign = world.campaign(brand)
    world.spend(campaign, UNIT, "2026-06-16T12:00:00Z")
    done: list[bool] = []

    def correct_meanwhile(_cursor: object, statement: str, _parameters: object) -> None:
        if place in statement and not done:
            done.append(True)
            correct(brand, "Asia/Tokyo")

    with at_each_statement(before=correct_meanwhile):
        assert count_events([world.event(campaign, UNIT, "2026-06-16T16:00:00Z")]).taken == 1
    if place == COUNTING:
        assert done
    else:
        correct(brand, "Asia/Tokyo")
    assert days(world, campaign) == {"2026-06-16": UNIT, "2026-06-17": UNIT}
    world.verify()


def test_counters_are_exact_after_concurrent_spend_edits_and_corrections(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC", daily=500 * UNIT)
    campaigns = [world.campaign(brand, platform="meta", external_id=str(number)) for number in range(4)]
    sent: list[int] = []
    over = Event()

    def spend(seed: int) -> Callable[[], None]:
        def work() -> None:
            random, number = Random(seed), 0
            while not over.is_set() or number < 10:
                number += 1
                moments = [noon - timedelta(minutes=random.randrange(0, 4000)) for _ in range(20)]
                world.ingest([world.event(random.choice(campaigns), UNIT, moment) for moment in moments])
                sent.append(20)

        return work

    def report() -> None:
        for number in range(10):
            key = campaigns[number % 4], f"2026-06-{10 + number % 5}"
            count_totals([total(*key, number, f"2026-06-17T11:{number:02}:00Z")])

    def correct_often() -> None:
        try:
            for zone in ("Asia/Kathmandu", "America/New_York", "Pacific/Kiritimati", "Europe/Berlin"):
                correct(brand, zone)
        finally:
            over.set()

    at_once(spend(1), spend(2), report, correct_often)
    counted = world.one("SELECT sum(amount_micros)::bigint AS micros FROM spend_events WHERE source = ''")
    assert counted["micros"] == sum(sent) * UNIT
    assert world.rejected() == []
    edited(lambda _: None, brand)
    world.verify()
