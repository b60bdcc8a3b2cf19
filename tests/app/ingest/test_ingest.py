"""Spend through the real actor, on a real database."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import structlog

from app.edits import editing
from app.enforcement import edited
from app.ingest.count import count_batches
from app.ingest.ingest import EVENTS
from db.repository.access.audit import Edit
from db.repository.ledger.spend import FEW_EVENTS
from delivery.bundles import EventsOfSeveral
from runtime.settings import settings
from tests.citus import Limit
from tests.kit import at_once, lines
from tests.world import UNIT, World, eventually
from workers.actors.ingest import ingest_spend
from workers.actors.schedule import maintain_ledger

MAX_BIGINT = 2**63 - 1


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    """A campaign of a brand with no limits, at noon."""
    world.set_clock(noon)
    return world.campaign(world.brand())


def ingest_each(world: World, batches: list[list[dict[str, Any]]]) -> None:
    for batch in batches:
        world.ingest(batch)


def reasons(world: World) -> list[str]:
    return [row["reason"] for row in world.rejected()]


# --- counted and enforced in one commit


def test_commit_that_crosses_a_brand_limit_pauses_the_brands_campaigns(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10 * UNIT)
    first, sibling = world.campaign(brand), world.campaign(brand)
    world.spend(first, 4 * UNIT)
    assert world.is_active(first)
    world.spend(sibling, 6 * UNIT)
    assert world.holds(first) == world.holds(sibling) == {"brand_daily_budget"}
    world.verify()


def test_pauses_when_spend_equals_the_limit_and_not_a_micro_before(world: World, campaign: int) -> None:
    world.limit(10 * UNIT, campaign=campaign)
    world.spend(campaign, 10 * UNIT - 1)
    assert world.is_active(campaign)
    world.spend(campaign, 1)
    assert world.holds(campaign) == {"campaign_daily_budget"}


def test_spend_after_the_limit_is_counted_too(world: World, campaign: int) -> None:
    world.limit(10 * UNIT, campaign=campaign)
    for _ in range(4):
        world.spend(campaign, 6 * UNIT)
    assert world.spent(campaign) == 24 * UNIT
    world.verify()


def test_concurrent_workers_lose_no_update_of_one_campaign(world: World, campaign: int) -> None:
    batches = [[world.event(campaign, 1) for _ in range(5)] for _ in range(40)]
    at_once(*(partial(ingest_each, world, batches[place::4]) for place in range(4)))
    assert world.spent(campaign) == 200
    world.verify()


# --- counted once


def test_id_twice_in_one_batch_counts_once(world: World, campaign: int) -> None:
    event = world.event(campaign, 5)
    world.ingest([event, dict(event), world.event(campaign, 1)])
    assert world.spent(campaign) == 6
    assert world.rejected() == []


def test_id_in_two_batches_counts_once(world: World, campaign: int) -> None:
    event = world.event(campaign, 5)
    world.ingest([event])
    world.ingest([world.event(campaign, 1), event, world.event(campaign, 2)])
    assert world.spent(campaign) == 8
    world.verify()


def test_ten_shuffled_deliveries_count_once(world: World, campaign: int, noon: datetime) -> None:
    sibling = world.campaign(world.brand_of(campaign))
    events = [world.event((campaign, sibling)[n % 2], n, noon - timedelta(days=n % 30)) for n in range(60)]
    deliveries = events * 10
    random.Random(7).shuffle(deliveries)
    for start in range(0, len(deliveries), 97):
        world.ingest(deliveries[start : start + 97])
    assert world.spent(campaign) + world.spent(sibling) == sum(range(60))
    world.verify()


@pytest.mark.parametrize("messages", [1, 3], ids=["a message", "a bundle"])
def test_small_message_does_not_wait_for_a_large_one(
    world: World, campaign: int, messages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [world.event(campaign, 1) for _ in range(messages * FEW_EVENTS + 1)]
    few = EventsOfSeveral([world.event(campaign, 1) for _ in range(FEW_EVENTS)] for _ in range(messages))
    begun, done = threading.Event(), threading.Event()

    def held_up(connection: Any, checks_ledger: bool, **rest: Any) -> Any:
        if rest["batches"][0].size > messages * FEW_EVENTS:
            begun.set()
            assert done.wait(30)
        return count_batches(connection, checks_ledger, **rest)

    def quick() -> None:
        assert begun.wait(30)
        ingest_spend(events=few)
        assert world.spent(campaign) == messages * FEW_EVENTS
        done.set()

    monkeypatch.setattr("app.ingest.ingest.EVENTS", replace(EVENTS, count=held_up))
    at_once(lambda: ingest_spend(events=many), quick)
    assert world.spent(campaign) == 2 * messages * FEW_EVENTS + 1


@pytest.mark.parametrize("events", [1, FEW_EVENTS, FEW_EVENTS + 1])
def test_batch_partly_in_the_ledger_counts_once_for_any_size(world: World, campaign: int, events: int) -> None:
    batch = [world.event(campaign, 1) for _ in range(2 * events)]
    for sent in (batch[:events], batch[:events], batch[events // 2 : events + events // 2], [*batch, *batch]):
        world.ingest(sent)
        world.verify()
    assert world.spent(campaign) == 2 * events


def test_id_sent_concurrently_by_two_producers_counts_once(world: World, campaign: int) -> None:
    rounds = [[world.event(campaign, 1) for _ in range(3)] for _ in range(15)]
    at_once(*[partial(ingest_each, world, rounds)] * 4)
    assert world.spent(campaign) == 45
    assert world.rejected() == []
    world.verify()


def test_duplicate_id_is_known_in_any_spelling(world: World, campaign: int) -> None:
    event = world.spend(campaign, 5)
    world.ingest([{**event, "event_id": event["event_id"].upper()}])
    world.ingest([{**event, "event_id": event["event_id"].replace("-", "")}])
    assert world.spent(campaign) == 5
    assert world.rejected() == []


def test_same_id_in_two_months_is_two_events(world: World, campaign: int) -> None:
    event = world.spend(campaign, 5, "2026-05-31T23:59:59Z")
    world.ingest([{**event, "occurred_at": "2026-06-01T00:00:00Z"}])
    assert (world.spent(campaign, "2026-05-31"), world.spent(campaign, "2026-06-01")) == (5, 5)
    world.verify()


def test_same_id_of_two_brands_is_two_events(world: World, campaign: int) -> None:
    other = world.campaign(world.brand())
    event = world.spend(campaign, 5)
    world.ingest([{**event, "campaign_id": other}])
    assert (world.spent(campaign), world.spent(other)) == (5, 5)
    assert world.rejected() == []


def test_duplicate_with_another_source_is_no_conflict(world: World, campaign: int) -> None:
    event = world.spend(campaign, 5, source="first")
    world.ingest([{**event, "source": "second"}])
    assert world.spent(campaign) == 5
    assert world.rejected() == []
    assert world.one("SELECT source FROM spend_events")["source"] == "first"


# --- conflicting duplicates


def other_content(world: World, event: dict[str, Any]) -> list[dict[str, Any]]:
    """The event with its id and another amount, a time that no rounding explains, or another campaign."""
    sibling = world.campaign(world.brand_of(event["campaign_id"]))
    return [
        {**event, "amount_micros": event["amount_micros"] + 1},
        {**event, "occurred_at": "2026-06-17T11:59:59.499999Z"},
        {**event, "campaign_id": sibling},
    ]


def test_id_with_other_content_is_rejected_and_the_first_stays(world: World, campaign: int) -> None:
    event = world.spend(campaign, 5)
    others = other_content(world, event)
    world.ingest([world.event(campaign, 1), *others])
    assert reasons(world) == ["conflicting_duplicate"] * 3
    assert sorted((row["payload"] for row in world.rejected()), key=str) == sorted(others, key=str)
    assert world.spent(campaign) == 6
    world.verify()


def test_id_with_other_content_in_one_batch_is_rejected(world: World, campaign: int) -> None:
    event = world.event(campaign, 5)
    others = other_content(world, event)
    world.ingest([event, *others, dict(event)])
    assert sorted((row["payload"] for row in world.rejected()), key=str) == sorted(others, key=str)
    assert world.spent(campaign) == 5
    world.verify()


# --- rejected, one by one


def bad_events(world: World, campaign: int) -> list[tuple[str, object]]:
    good = {**world.event(campaign, 5), "source": "upstream", "note": "kept too"}
    wrong: list[tuple[str, dict[str, object]]] = [
        ("malformed", {"event_id": "not a uuid"}),
        ("malformed", {"event_id": None}),
        ("malformed", {"amount_micros": 1.5}),
        ("malformed", {"amount_micros": True}),
        ("malformed", {"amount_micros": "5"}),
        ("malformed", {"occurred_at": "yesterday"}),
        ("malformed", {"occurred_at": 1_700_000_000}),
        ("malformed", {"campaign_id": "17"}),
        ("malformed", {"campaign_id": None}),
        ("malformed", {"source": "nul \0"}),
        ("malformed", {"source": "lone \ud800"}),
        ("malformed", {"currency": 840}),
        ("unknown_campaign", {"campaign_id": 10**6}),
        ("unknown_campaign", {"campaign_id": -1}),
        ("unknown_campaign", {"campaign_id": 2**70}),
        ("unknown_campaign", {"campaign_id": None, "platform": "meta_ads", "external_id": "404"}),
        ("wrong_currency", {"currency": "EUR"}),
        ("no_time_zone", {"occurred_at": "2026-06-17T11:00:00"}),
        ("too_old", {"occurred_at": "2026-05-13T11:59:59Z"}),
        ("in_future", {"occurred_at": "2026-06-17T12:05:01Z"}),
        ("amount_out_of_range", {"amount_micros": 10**15 + 1}),
        ("amount_out_of_range", {"amount_micros": -(10**15) - 1}),
        ("amount_out_of_range", {"amount_micros": 2**64}),
    ]
    shapeless: list[object] = [None, 5, "text", [], [[]], {}, float("inf")]
    return [*((reason, {**good, **fields}) for reason, fields in wrong), *(("malformed", one) for one in shapeless)]


def test_each_bad_event_is_rejected_with_its_reason_and_the_others_counted(world: World, campaign: int) -> None:
    bad = bad_events(world, campaign)
    batch: list[object] = [world.event(campaign, 1)]
    for _, event in bad:
        batch += [event, world.event(campaign, 1)]
    world.ingest(batch)
    assert world.spent(campaign) == len(bad) + 1
    assert sorted(reasons(world)) == sorted(reason for reason, _ in bad)
    world.verify()


def test_rejected_event_is_kept_whole_with_its_source(world: World, campaign: int, noon: datetime) -> None:
    event = {**world.event(10**6, 5), "source": "upstream", "unknown": {"nested": ["\0", "ü", None, 1.5]}}
    world.ingest([event])
    (row,) = world.rejected()
    assert row["payload"] == event
    assert (row["source"], row["kind"], row["received_at"]) == ("upstream", "spend_event", noon)


def test_events_up_to_35_days_old_and_5_minutes_ahead_are_accepted_and_no_others(world: World, campaign: int) -> None:
    world.spend(campaign, 1, "2026-05-13T12:00:00Z")
    world.spend(campaign, 2, "2026-06-17T12:05:00Z")
    world.spend(campaign, 4, "2026-05-13T11:59:59.999999Z")
    world.spend(campaign, 8, "2026-06-17T12:05:00.000001Z")
    assert world.spent(campaign) == 3
    assert reasons(world) == ["too_old", "in_future"]


def test_identical_bad_input_is_kept_once_with_its_number_of_deliveries(world: World, campaign: int) -> None:
    bad, other = world.event(10**6, 5), world.event(10**6, 6)
    world.ingest([bad, other, bad])
    world.ingest([bad])
    kept = {row["payload"]["event_id"]: row["times"] for row in world.rejected()}
    assert kept == {bad["event_id"]: 3, other["event_id"]: 1}


def test_event_rejected_before_is_counted_when_it_comes_again_corrected(world: World, campaign: int) -> None:
    event = world.event(campaign, 5)
    world.ingest([{**event, "amount_micros": "5"}])
    world.ingest([event])
    assert world.spent(campaign) == 5


# --- messages of other shapes


def test_events_are_accepted_as_the_only_positional_argument(world: World, campaign: int) -> None:
    ingest_spend([world.event(campaign, 5)])
    assert world.spent(campaign) == 5


def test_single_event_outside_a_list_is_accepted(world: World, campaign: int) -> None:
    ingest_spend(events=world.event(campaign, 5))
    assert world.spent(campaign) == 5


def test_message_of_another_shape_is_kept_whole(world: World) -> None:
    shapes: list[tuple[tuple[object, ...], dict[str, object], object]] = [
        ((), {}, {"args": []}),
        ((), {"events": None}, {"args": [], "events": None}),
        ((), {"events": "text"}, "text"),
        ((), {"events": 5}, 5),
        ((), {"events": {"a": 1}}, {"a": 1}),
        ((), {"other": [1]}, {"args": [], "other": [1]}),
        ((1, 2), {"three": 3}, {"args": [1, 2], "three": 3}),
        (({"b": 1},), {}, {"b": 1}),
    ]
    for args, kwargs, _ in shapes:
        ingest_spend(*args, **kwargs)
    assert [row["payload"] for row in world.rejected()] == [kept for _, _, kept in shapes]
    assert set(reasons(world)) == {"malformed"}


def test_empty_batch_changes_nothing(world: World, campaign: int) -> None:
    world.ingest([])
    assert world.rejected() == []
    assert world.spent(campaign) == 0


def test_every_event_of_a_batch_of_more_than_5000_is_counted(world: World, campaign: int) -> None:
    with structlog.testing.capture_logs() as logged:
        world.ingest([world.event(campaign, 1) for _ in range(5_001)])
    assert world.spent(campaign) == 5_001
    assert sum(line["taken"] for line in lines(logged, "spend.ingested")) == 5_001


def test_input_nested_deeper_than_json_allows_is_kept(world: World, campaign: int) -> None:
    nested: list[object] = []
    for _ in range(5_000):
        nested = [nested]
    world.ingest([world.event(campaign, 5), nested])
    assert reasons(world) == ["malformed"]
    assert world.spent(campaign) == 5


# --- amounts at the edge of a bigint


def set_counters(world: World, campaign: int, day: str, micros: int) -> None:
    brand = world.brand_of(campaign)
    world.execute("INSERT INTO campaign_days VALUES (%s, %s, %s, %s)", brand, campaign, day, micros)
    world.execute("INSERT INTO brand_days VALUES (%s, %s, %s)", brand, day, micros)


def test_only_the_amount_beyond_a_counters_range_is_rejected(world: World, campaign: int) -> None:
    set_counters(world, campaign, "2026-06-17", MAX_BIGINT - 10)
    world.ingest([world.event(campaign, amount) for amount in (1, 2, 20, 3, 4)])
    assert world.spent(campaign) == MAX_BIGINT
    assert [(row["reason"], row["payload"]["amount_micros"]) for row in world.rejected()] == [
        ("amount_out_of_range", 20)
    ]


def test_sum_of_a_window_may_exceed_the_range_of_one_counter(world: World, campaign: int) -> None:
    set_counters(world, campaign, "2026-06-16", MAX_BIGINT)
    world.limit(10**15, "lifetime", campaign=campaign)
    world.spend(campaign, 11)
    assert world.spent(campaign, "2026-06-17") == 11
    assert world.holds(campaign) == {"campaign_lifetime_budget"}


# --- which campaign, which currency


def test_campaign_is_found_by_platform_and_external_id(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    known = world.campaign(world.brand(), platform="meta_ads", external_id="77")
    event = world.event(known, 5)
    del event["campaign_id"]
    world.ingest([{**event, "platform": "meta_ads", "external_id": "77"}])
    world.ingest([{**event, "event_id": str(uuid4()), "platform": "meta_ads", "external_id": 77}])
    assert world.spent(known) == 10
    assert world.rejected() == []


def test_events_with_and_without_a_currency_are_counted(world: World, campaign: int) -> None:
    world.ingest([world.event(campaign, 1), world.event(campaign, 2, currency="USD")])
    world.ingest([world.event(campaign, 4, currency="usd")])
    assert world.spent(campaign) == 7


def test_spend_of_an_archived_campaign_is_counted(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10)
    archived, sibling = world.campaign(brand), world.campaign(brand)
    world.set_status(archived, "archived")
    world.spend(archived, 10)
    assert world.spent(archived) == 10
    assert world.holds(archived) == {"archived", "brand_daily_budget"}
    assert world.holds(sibling) == {"brand_daily_budget"}


# --- refunds


def test_refund_below_the_limit_reactivates_at_once(world: World, campaign: int) -> None:
    world.limit(10, campaign=campaign)
    world.spend(campaign, 12)
    world.spend(campaign, -2)
    assert not world.is_active(campaign)
    world.spend(campaign, -1)
    assert world.is_active(campaign)
    world.verify()


def test_spend_of_a_day_may_be_negative(world: World, campaign: int) -> None:
    world.limit(10, campaign=campaign)
    world.spend(campaign, -25)
    world.spend(campaign, 30)
    assert world.spent(campaign) == 5
    assert world.is_active(campaign)
    world.verify()


def test_batch_that_crosses_the_limit_and_back_toggles_nothing(world: World, campaign: int) -> None:
    world.limit(10, campaign=campaign)
    world.ingest([world.event(campaign, 12), world.event(campaign, -5)])
    assert world.is_active(campaign)
    assert world.rows("SELECT * FROM status_changes") == []


# --- late, and ahead


def test_event_of_last_month_counts_in_last_month_year_and_lifetime_only(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10, weekly=10, monthly=10, yearly=10, lifetime=10)
    campaign = world.campaign(brand)
    world.spend(campaign, 10, "2026-05-31T23:59:59Z")
    assert world.holds(campaign) == {"brand_yearly_budget", "brand_lifetime_budget"}
    assert (world.spent(campaign, "2026-05-31"), world.spent(campaign, "2026-06-17")) == (10, 0)
    world.verify()


def test_late_event_of_this_month_exhausts_the_month_and_not_today(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand(daily=10, weekly=10, monthly=10))
    world.spend(campaign, 10, "2026-06-02T10:00:00Z")
    assert world.holds(campaign) == {"brand_monthly_budget"}
    world.verify()


def test_event_of_the_brands_local_yesterday_is_not_counted_today(world: World) -> None:
    world.set_clock("2026-06-17T04:05:00Z")
    campaign = world.campaign(world.brand("America/New_York", daily=10))
    world.spend(campaign, 10, "2026-06-17T03:59:59.999999Z")
    assert world.spent(campaign, "2026-06-16") == 10
    assert world.is_active(campaign)
    world.spend(campaign, 10, "2026-06-17T04:00:00Z")
    assert world.holds(campaign) == {"brand_daily_budget"}


def test_event_dated_after_local_midnight_holds_from_midnight_on(world: World) -> None:
    world.set_clock("2026-06-17T03:58:00Z")
    campaign = world.campaign(world.brand("America/New_York", daily=10))
    world.spend(campaign, 10, "2026-06-17T04:01:00Z")
    assert world.spent(campaign, "2026-06-17") == 10
    assert world.is_active(campaign)
    world.set_clock("2026-06-17T04:00:00Z")
    world.tick()
    assert world.holds(campaign) == {"brand_daily_budget"}
    world.set_clock("2026-06-18T04:00:00Z")
    world.tick()
    assert world.is_active(campaign)
    world.verify()


def test_campaign_exhausted_on_both_days_stays_held_over_midnight(world: World) -> None:
    world.set_clock("2026-06-17T03:58:00Z")
    campaign = world.campaign(world.brand("America/New_York", daily=10))
    world.ingest([world.event(campaign, 10), world.event(campaign, 10, "2026-06-17T04:01:00Z")])
    world.set_clock("2026-06-17T04:00:00Z")
    world.tick()
    assert world.holds(campaign) == {"brand_daily_budget"}
    assert len(world.rows("SELECT * FROM status_changes")) == 1


# --- the ledger's months


def test_missing_month_of_the_ledger_is_created(world: World) -> None:
    world.set_clock("2031-03-15T12:00:00Z")
    campaign = world.campaign(world.brand())
    world.ingest([world.event(campaign, 1), world.event(campaign, 2, "2031-02-28T12:00:00Z")])
    assert world.one("SELECT count(*) FROM spend_events_2031_03")["count"] == 1
    assert world.one("SELECT count(*) FROM spend_events_2031_02")["count"] == 1
    world.verify()


def test_two_workers_create_a_month_concurrently(world: World) -> None:
    world.set_clock("2031-03-15T12:00:00Z")
    campaign = world.campaign(world.brand())
    at_once(*[lambda: world.spend(campaign, 5)] * 4)
    assert world.spent(campaign) == 20
    world.verify()


# --- a zone changed before the first spend


def test_spend_counts_by_the_zone_set_before_the_first_spend(world: World, campaign: int) -> None:
    brand = world.brand_of(campaign)
    change = {"time_zone": "Asia/Kathmandu"}
    edit = Edit("test", world.set_clock("2026-06-17T20:00:00Z"))
    edited(lambda connection: editing.edit_brand(connection, brand, change, edit), brand)
    world.spend(campaign, 5)
    assert world.spent(campaign, "2026-06-18") == 5
    world.verify()


@pytest.mark.parametrize("is_named_first", [True, False])
def test_outdated_cached_zone_is_noticed_for_a_campaign_with_two_names(
    world: World, noon: datetime, is_named_first: bool
) -> None:
    del noon
    brand = world.brand(zone="UTC")
    campaign = world.campaign(brand, platform="meta", external_id="x-1")
    world.ingest([world.event(campaign, 1, "2020-01-01T00:00:00Z")])  # too old: nothing is spent, but it is remembered
    edit = Edit("test", world.set_clock("2026-06-17T20:00:00Z"))
    edited(lambda connection: editing.edit_brand(connection, brand, {"time_zone": "Asia/Kathmandu"}, edit), brand)
    by_id, by_name = world.event(campaign, 5), world.event(campaign, 2)
    del by_name["campaign_id"]
    by_name |= {"platform": "meta", "external_id": "x-1"}
    world.ingest([by_name, by_id] if is_named_first else [by_id, by_name])
    assert world.spent(campaign, "2026-06-18") == world.spent(campaign) == 7
    world.verify()


@pytest.fixture
def _long_lock_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for a lock for as long as the test holds it."""
    monkeypatch.setenv("SPENDGATE_INGEST_LOCK_TIMEOUT_MS", "15000")
    settings.cache_clear()


@pytest.mark.usefixtures("_long_lock_timeout")
@pytest.mark.on_one_server(Limit.CATALOGS)
def test_spend_is_counted_again_if_the_zone_changed_while_it_waited(world: World, campaign: int) -> None:
    world.set_clock("2026-06-17T20:00:00Z")
    brand = world.brand_of(campaign)
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    def change_zone() -> None:
        with psycopg.connect(world.url) as connection:
            connection.execute("UPDATE brands SET time_zone = 'Asia/Kathmandu' WHERE id = %s", [brand])
            started.append(True)
            eventually(lambda: bool(world.rows(waiting)))

    def spend() -> None:
        eventually(lambda: bool(started))
        world.spend(campaign, 5)

    started: list[bool] = []
    with structlog.testing.capture_logs() as logged:
        at_once(change_zone, spend)
    assert [line["error"] for line in lines(logged, "transaction.retried")] == ["StaleRead"]
    assert world.spent(campaign, "2026-06-18") == world.spent(campaign) == 5
    world.verify()


def test_event_older_than_the_ledgers_retention_is_too_old_for_any_allowed_age(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_MAX_EVENT_AGE_DAYS", "400")
    monkeypatch.setenv("SPENDGATE_LEDGER_RETENTION_MONTHS", "2")
    settings.cache_clear()
    event = world.spend(campaign, 5, "2026-04-30T12:00:00Z")
    world.set_clock("2026-07-01T12:00:00Z")
    maintain_ledger()
    world.ingest([event])
    assert world.spent(campaign) == 5
    world.verify()


@pytest.mark.on_one_server(Limit.CATALOGS)
@pytest.mark.usefixtures("_long_lock_timeout")
def test_currency_changed_during_a_batch_is_noticed(world: World, noon: datetime) -> None:
    """The batch waits for the edit, and spend validated in dollars is not counted in yen."""
    world.set_clock(noon)
    brand = world.brand(currency="USD")
    campaign = world.campaign(brand)
    with psycopg.connect(world.url) as editor, ThreadPoolExecutor(1) as pool:
        editor.execute("UPDATE brands SET currency = 'JPY' WHERE id = %s", [brand])
        counting = pool.submit(world.ingest, [world.event(campaign, 5, currency="USD")])
        waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        eventually(lambda: len(world.rows(waits)) == 1)
        editor.commit()
        counting.result()
    assert [row["reason"] for row in world.rejected()] == ["wrong_currency"]
    assert world.spent(campaign) == 0


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("retry", ["2026-06-17T10:00:00.123Z", "2026-06-17T10:00:00Z", "2026-06-17T10:00:00.123456Z"])
def test_duplicate_with_a_less_exact_time_is_known_and_another_amount_conflicts(
    world: World, campaign: int, noon: datetime, retry: str, few: bool
) -> None:
    world.set_clock(noon)
    first = world.spend(campaign, 5, "2026-06-17T10:00:00.123456Z")
    others = [world.event(campaign, 1) for _ in range(0 if few else 200)]
    world.ingest([{**first, "occurred_at": retry}, {**first, "occurred_at": retry, "amount_micros": 6}, *others])
    assert [row["reason"] for row in world.rejected()] == ["conflicting_duplicate"]
    world.ingest([{**first, "occurred_at": "2026-06-17T10:00:01Z"}])
    assert len(world.rejected()) == 2
    assert world.spent(campaign) == 5 + len(others)


@pytest.mark.parametrize("is_one_message", [True, False])
@pytest.mark.parametrize("is_rounded_first", [True, False])
def test_duplicate_whose_time_was_rounded_into_the_next_month_counts_once(
    world: World, campaign: int, is_rounded_first: bool, is_one_message: bool
) -> None:
    world.set_clock("2026-07-01T00:10:00Z")
    exact = world.event(campaign, 5, "2026-06-30T23:59:59.700Z")
    both = [exact, {**exact, "occurred_at": "2026-07-01T00:00:00Z"}]
    for events in (
        [both[:: -1 if is_rounded_first else 1]] if is_one_message else both[:: -1 if is_rounded_first else 1]
    ):
        world.ingest(events if isinstance(events, list) else [events])
    assert (world.spent(campaign), world.rejected()) == (5, [])
    world.verify()


def test_events_of_one_id_in_two_months_are_two_unless_rounding_explains_it(world: World, campaign: int) -> None:
    world.set_clock("2026-07-01T00:10:00Z")
    exact = world.event(campaign, 5, "2026-06-30T23:59:59.400Z")
    for occurred_at, micros in (("23:59:59.400Z", 5), ("23:59:59.700Z", 6)):
        world.ingest([{**exact, "occurred_at": f"2026-06-30T{occurred_at}", "amount_micros": micros}])
    world.ingest([{**exact, "occurred_at": "2026-07-01T00:00:00Z"}])
    assert [row["reason"] for row in world.rejected()] == ["conflicting_duplicate"]
    assert world.spent(campaign) == 10
