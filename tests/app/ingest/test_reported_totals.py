"""Cumulative day totals through their actor: each becomes a spend event for the difference to the last one."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
import structlog

from runtime.settings import settings
from tests.kit import at_once, lines
from tests.world import World, moment
from workers.actors.ingest import ingest_reported_totals

TODAY = "2026-06-17"


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    """A campaign of a brand with no limits, at noon."""
    world.set_clock(noon)
    return world.campaign(world.brand())


def total(campaign: int, micros: int, as_of: str = "2026-06-17T11:00:00Z", **fields: Any) -> dict[str, Any]:
    names = {"source": "meta_ads", "campaign_id": campaign, "day": TODAY, "total_micros": micros, "as_of": as_of}
    return {**names, **fields}


def report(*totals: object) -> None:
    ingest_reported_totals(totals=list(totals))


def ledger(world: World) -> list[int]:
    return [row["amount_micros"] for row in world.rows("SELECT * FROM spend_events ORDER BY received_at, occurred_at")]


def at(minute: int) -> str:
    return f"2026-06-17T11:{minute:02d}:00Z"


# --- differences


def test_first_total_becomes_one_event(world: World, campaign: int) -> None:
    report(total(campaign, 40))
    row = world.one("SELECT amount_micros, occurred_at, source FROM spend_events")
    assert row == {"amount_micros": 40, "occurred_at": moment("2026-06-17T11:00Z"), "source": "meta_ads"}
    assert world.spent(campaign, TODAY) == 40
    world.verify()


def test_later_totals_become_positive_and_negative_differences(world: World, campaign: int) -> None:
    for minute, micros in enumerate((40, 55, 50, 50, 0)):
        report(total(campaign, micros, at(minute)))
    assert ledger(world) == [40, 15, -5, -50]
    assert world.spent(campaign) == 0
    world.verify()


def test_day_can_be_restated_for_weeks(world: World, campaign: int, noon: datetime) -> None:
    for days in range(60):
        now = world.set_clock(noon + timedelta(days=days))
        report(total(campaign, 100 + days % 7, now.isoformat()))
    assert world.spent(campaign, TODAY) == world.spent(campaign) == 100 + 59 % 7
    assert {row["day"].isoformat() for row in world.rows("SELECT day FROM campaign_days")} == {TODAY}
    world.verify()


def test_repeated_total_changes_nothing(world: World, campaign: int) -> None:
    sent = total(campaign, 40)
    with structlog.testing.capture_logs() as logged:
        report(sent, sent)
        report(sent)
    assert ledger(world) == [40]
    assert world.rejected() == []
    assert [(line["taken"], line["known"]) for line in lines(logged, "totals.ingested")] == [(1, 1), (0, 1)]


def test_older_total_that_comes_late_is_ignored(world: World, campaign: int) -> None:
    report(total(campaign, 40, at(30)))
    report(total(campaign, 90, at(29)))
    assert (world.spent(campaign), world.rejected()) == (40, [])


def test_newest_total_of_a_batch_counts_in_any_order(world: World, campaign: int) -> None:
    report(total(campaign, 70, at(2)), total(campaign, 90, at(3)), total(campaign, 40, at(1)))
    assert ledger(world) == [90]


def test_other_total_with_the_same_as_of_is_rejected_and_the_first_stays(world: World, campaign: int) -> None:
    first, second = total(campaign, 40), total(campaign, 41)
    report(first)
    report(second)
    report(total(campaign, 50, at(30)), {**second, "as_of": at(30)})
    assert [(row["reason"], row["kind"]) for row in world.rejected()] == [
        ("conflicting_duplicate", "reported_total")
    ] * 2
    assert world.rejected()[0]["payload"] == second
    assert world.spent(campaign) == 50


def test_totals_are_separate_by_source_day_and_campaign(world: World, campaign: int) -> None:
    sibling = world.campaign(world.brand_of(campaign))
    report(
        total(campaign, 1),
        total(campaign, 2, source="google_ads"),
        total(campaign, 4, day="2026-06-16"),
        total(sibling, 8),
    )
    report(total(campaign, 17, at(30)))
    assert (world.spent(campaign, TODAY), world.spent(campaign, "2026-06-16"), world.spent(sibling)) == (19, 4, 8)
    assert world.rejected() == []
    world.verify()


def test_totals_and_events_of_one_campaign_add_up(world: World, campaign: int) -> None:
    world.spend(campaign, 5)
    report(total(campaign, 40))
    assert world.spent(campaign) == 45
    world.verify()


def test_concurrent_totals_end_with_exactly_the_newest(world: World, campaign: int) -> None:
    for number in range(12):
        early, late = total(campaign, 10 * number, at(2 * number)), total(campaign, 7 * number, at(2 * number + 1))
        at_once(*(partial(report, one) for one in (early, late, early, late)))
        assert world.spent(campaign) == 7 * number
    world.verify()


def test_concurrent_batches_in_opposite_order_do_not_deadlock(world: World, campaign: int) -> None:
    campaigns = [campaign, *(world.campaign(world.brand()) for _ in range(4))]
    for number in range(8):
        batch = [total(one, number * one, at(number)) for one in campaigns]
        at_once(partial(report, *batch), partial(report, *reversed(batch)), partial(world.spend, campaign, 1))
    assert [world.spent(one) for one in campaigns[1:]] == [7 * one for one in campaigns[1:]]
    assert world.spent(campaign) == 7 * campaign + 8
    world.verify()


# --- which day


def test_total_of_a_past_day_changes_that_day_and_its_windows(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand(daily=10, monthly=10, lifetime=10))
    report(total(campaign, 10, day="2026-05-31"))
    assert world.holds(campaign) == {"brand_lifetime_budget"}
    assert world.spent(campaign, "2026-05-31") == 10
    world.verify()


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Pacific/Kiritimati"])
def test_difference_occurs_on_the_brands_day_at_any_time_of_report(world: World, noon: datetime, zone: str) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand(zone))
    days = ("2026-06-15", "2026-06-16", TODAY)
    report(*(total(campaign, 10, "2026-06-17T11:59:00Z", day=day) for day in days))
    assert [world.spent(campaign, day) for day in days] == [10, 10, 10]
    world.verify()


def test_total_of_a_23_or_25_hour_day_stays_on_its_day(world: World) -> None:
    world.set_clock("2026-11-10T12:00:00Z")
    campaign = world.campaign(world.brand("America/Santiago"))
    days = ("2026-04-04", "2026-04-05", "2026-09-05", "2026-09-06")
    report(*(total(campaign, 10, "2026-11-10T11:00:00Z", day=day) for day in days))
    report(*(total(campaign, 15, "2026-11-10T11:30:00Z", day=day) for day in days))
    assert [world.spent(campaign, day) for day in days] == [15] * 4
    world.verify()


# --- enforcement


def test_crossing_total_pauses_at_once_and_lower_total_reactivates_at_once(world: World, campaign: int) -> None:
    world.limit(50, campaign=campaign)
    report(total(campaign, 49, at(1)))
    assert world.is_active(campaign)
    report(total(campaign, 50, at(2)))
    assert world.holds(campaign) == {"campaign_daily_budget"}
    report(total(campaign, 49, at(3)))
    assert world.is_active(campaign)
    causes = world.rows("SELECT DISTINCT cause FROM status_changes")
    assert causes == [{"cause": "reported_total"}]
    world.verify()


def test_day_with_a_total_of_zero_has_a_counter(world: World, campaign: int) -> None:
    report(total(campaign, 0))
    assert world.one("SELECT spent_micros FROM campaign_days") == {"spent_micros": 0}
    assert ledger(world) == []
    world.verify()


# --- rejected


def test_each_bad_total_is_rejected_with_its_reason_and_the_others_counted(world: World, campaign: int) -> None:
    bad = [
        ("malformed", total(campaign, 5, source="")),
        ("malformed", total(campaign, 5, source=None)),
        ("malformed", total(campaign, 5, day="17.06.2026")),
        ("malformed", total(campaign, 5, total_micros=5.0)),
        ("malformed", total(campaign, 5, as_of="now")),
        ("unknown_campaign", total(10**6, 5)),
        ("wrong_currency", total(campaign, 5, currency="EUR")),
        ("no_time_zone", total(campaign, 5, "2026-06-17T11:00:00")),
        ("in_future", total(campaign, 5, day="2026-06-18")),
        ("in_future", total(campaign, 5, "2026-06-17T12:05:01Z")),
        ("amount_out_of_range", total(campaign, 10**15 + 1)),
        ("malformed", "text"),
    ]
    report(*(one for _, one in bad), total(campaign, 40, source="good"))
    assert world.spent(campaign) == 40
    kept = [(row["reason"], row["payload"]) for row in world.rejected()]
    assert sorted(kept, key=str) == sorted(bad, key=str)


def test_total_of_a_day_that_the_zone_skipped_is_rejected(world: World) -> None:
    world.set_clock("2012-01-05T12:00:00Z")
    campaign = world.campaign(world.brand("Pacific/Apia"))
    report(total(campaign, 5, "2012-01-05T11:00:00Z", day="2011-12-30"))
    assert [row["reason"] for row in world.rejected()] == ["malformed"]


def test_totals_of_days_before_the_ledgers_retention_are_rejected(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_LEDGER_RETENTION_MONTHS", "3")
    settings.cache_clear()
    report(total(campaign, 1, day="2026-03-01"), total(campaign, 2, day="2026-02-28"))
    assert [row["reason"] for row in world.rejected()] == ["too_old"]
    assert world.spent(campaign) == 1


def test_only_the_total_beyond_a_counters_range_is_rejected(world: World, campaign: int) -> None:
    brand = world.brand_of(campaign)
    for day in (TODAY, "2026-06-16"):
        world.execute("INSERT INTO campaign_days VALUES (%s, %s, %s, %s)", brand, campaign, day, 2**63 - 10)
    report(total(campaign, 9), total(campaign, 10, day="2026-06-16"), total(campaign, 7, day="2026-06-15"))
    assert [(row["reason"], row["payload"]["day"]) for row in world.rejected()] == [
        ("amount_out_of_range", "2026-06-16")
    ]
    assert world.spent(campaign, "2026-06-15") == 7


def test_message_of_another_shape_is_kept_whole(world: World) -> None:
    ingest_reported_totals()
    ingest_reported_totals(totals="text")
    assert [row["payload"] for row in world.rejected()] == [{"args": []}, "text"]


def test_totals_and_spend_of_the_same_campaigns_never_deadlock(world: World, campaign: int) -> None:
    """An unchanged and a changed total beside spend on the first: both lock counters in one order."""
    other = world.campaign(world.brand_of(campaign))

    def totals() -> None:
        for minute in range(40):
            report(total(campaign, 5, at(minute)), total(other, minute + 1, at(minute)))

    def spend() -> None:
        for _ in range(40):
            world.ingest([world.event(campaign, 1), world.event(other, 1)])

    with structlog.testing.capture_logs() as logged:
        at_once(totals, spend)
    assert lines(logged, "transaction.retried") == []
    assert (world.spent(campaign), world.spent(other)) == (45, 80)
    world.verify()
