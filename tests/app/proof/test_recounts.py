"""The refresh job and wrong counters: it opens no campaign by them, raises those that are too low, logs all."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from app import passes
from app.proof import recounts
from app.proof.verification import verify, wrong_campaign_days
from domain.periods import Period
from tests.world import World
from workers.actors.schedule import refresh_spend


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    """A campaign that is held: 12 units spent of a daily limit of 10."""
    world.set_clock(noon)
    campaign = world.campaign(world.brand(daily=10))
    world.spend(campaign, 12)
    return campaign


@pytest.mark.parametrize(
    "by_hand",
    [
        "UPDATE campaign_days SET spent_micros = 3; UPDATE brand_days SET spent_micros = 3",
        "UPDATE brand_days SET spent_micros = 3",
        "DELETE FROM campaign_days; DELETE FROM brand_days",
        "DELETE FROM brand_days",
    ],
)
def test_refresh_does_not_open_a_campaign_because_of_a_wrong_counter(world: World, campaign: int, by_hand: str) -> None:
    world.execute(by_hand)
    with capture_logs() as logs:
        refresh_spend()
    assert not world.is_active(campaign)
    assert world.spent(campaign) == 12
    wrong_counters = [line for line in logs if line["event"] == "counter.wrong"]
    assert {line["right_micros"] for line in wrong_counters} == {12}
    assert all(line["corrected"] for line in wrong_counters)
    kinds = {row["kind"] for row in world.rows("SELECT kind FROM corrections WHERE corrected_by = 'sweep'")}
    assert "brand_day" in kinds
    assert [check.name for check in verify() if check.wrong] == []


def test_refresh_does_not_lift_a_campaign_budget_because_of_a_wrong_counter(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand(), monthly=10)
    world.spend(campaign, 12, noon - timedelta(days=3))
    world.execute("UPDATE campaign_days SET spent_micros = 3")
    refresh_spend()
    assert world.holds(campaign) == {"campaign_monthly_budget"}


def test_refresh_opens_a_campaign_when_its_counters_are_right(world: World, campaign: int) -> None:
    world.execute("UPDATE budgets SET limit_micros = 100")
    refresh_spend()
    assert world.is_active(campaign)


@pytest.mark.parametrize("period", list(Period))
def test_refresh_opens_each_brand_after_a_limit_of_any_period_was_raised(
    world: World, noon: datetime, period: Period
) -> None:
    world.set_clock(noon)
    limit: dict[str, Any] = {period: 10}
    campaigns = [world.campaign(world.brand(**limit)), world.campaign(world.brand(), **limit)]
    for campaign in campaigns:
        world.spend(campaign, 12)
    world.execute("UPDATE budgets SET limit_micros = 100")
    refresh_spend()
    assert [world.is_active(campaign) for campaign in campaigns] == [True, True]


def test_brand_whose_comparison_fails_delays_no_other_brand(
    world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set_clock(noon)
    failing, other = (world.campaign(world.brand(daily=10)) for _ in range(2))
    for campaign in (failing, other):
        world.spend(campaign, 12)
    world.execute("UPDATE budgets SET limit_micros = 100")

    def fail_for_one(*arguments: Any) -> Iterable[Any]:
        if arguments[3] == world.brand_of(failing):
            raise ValueError("bad data")
        return wrong_campaign_days(*arguments)

    monkeypatch.setattr(recounts, "wrong_campaign_days", fail_for_one)
    with capture_logs() as logs:
        refresh_spend()
    assert (world.is_active(failing), world.is_active(other)) == (False, True)
    assert "counter.comparison_failed" in [line["event"] for line in logs]


def test_refresh_continues_passes_and_compares_counters_although_a_brand_is_locked(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def continue_all() -> int:
        done.append("passes")
        return 0

    def compare(_at: datetime) -> set[int]:
        done.append("counters")
        return set()

    monkeypatch.setattr(passes, "continue_all_passes", continue_all)
    monkeypatch.setattr(recounts, "compare_due_brands", compare)
    world.execute("UPDATE campaigns SET holds = '{}', effective_status = 'active'")
    with psycopg.connect(world.url) as other:
        other.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [world.brand_of(campaign)])
        refresh_spend()
    assert world.is_active(campaign)
    assert done == ["passes", "counters"]


def test_locked_brand_stays_closed_until_it_can_be_compared(world: World, campaign: int) -> None:
    world.execute("UPDATE campaign_days SET spent_micros = 3; UPDATE brand_days SET spent_micros = 3")
    with psycopg.connect(world.url) as other:
        other.execute("SELECT FROM campaign_days WHERE brand_id = %s FOR UPDATE", [world.brand_of(campaign)])
        with capture_logs() as logs:
            refresh_spend()
        assert not world.is_active(campaign)
    assert "counter.not_compared" in [line["event"] for line in logs]
    refresh_spend()
    assert not world.is_active(campaign)
    assert world.spent(campaign) == 12


def cannot_compare(monkeypatch: pytest.MonkeyPatch, longest_days: int) -> None:
    """Comparisons of more days than these time out from here on, as those of a very large ledger."""

    def compare(*arguments: Any) -> Iterable[Any]:
        after, up_to = arguments[1], arguments[4]
        if after is None or up_to is None or (up_to - after).days > longest_days:
            raise psycopg.errors.QueryCanceled
        return wrong_campaign_days(*arguments)

    monkeypatch.setattr(recounts, "wrong_campaign_days", compare)


@pytest.mark.parametrize("stopped_by", ["budget", "person"])
def test_brand_that_cannot_be_compared_pauses_campaigns_and_opens_none(
    world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch, stopped_by: str
) -> None:
    world.set_clock(noon)
    brand = world.brand()
    held, active, other = (world.campaign(brand, daily=10) for _ in range(3))
    world.spend(held, 12)
    world.spend(active, 5)
    world.execute("UPDATE budgets SET limit_micros = 100 WHERE campaign_id = %s", held)
    if stopped_by == "person":
        world.execute("UPDATE campaigns SET configured_status = 'paused' WHERE id = %s", active)
    else:
        world.execute("UPDATE budgets SET limit_micros = 5 WHERE campaign_id = %s", active)
    cannot_compare(monkeypatch, 0)
    refresh_spend()
    assert [world.is_active(one) for one in (held, active, other)] == [False, False, True]


def test_brand_whose_ledger_is_too_large_is_compared_by_month(
    world: World, campaign: int, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.spend(campaign, 1, noon - timedelta(days=20))
    world.execute("UPDATE campaign_days SET spent_micros = 0")
    parts: list[tuple[Any, Any]] = []

    def compare(*arguments: Any) -> Iterable[Any]:
        parts.append((arguments[1], arguments[4]))
        if parts[-1] == (None, None):
            raise psycopg.errors.QueryCanceled
        return wrong_campaign_days(*arguments)

    monkeypatch.setattr(recounts, "wrong_campaign_days", compare)
    with capture_logs() as logs:
        assert recounts.compare_due_brands(noon) == {world.brand_of(campaign)}
    assert parts == [(None, None), (None, date(2026, 5, 31)), (date(2026, 5, 31), None)]
    assert "counter.overdue" not in [line["event"] for line in logs]
    assert [check.name for check in verify() if check.wrong] == []


def test_brand_that_cannot_be_compared_all_day_is_warned_about(
    world: World, campaign: int, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    cannot_compare(monkeypatch, 0)
    with capture_logs() as logs:
        assert recounts.compare_due_brands(noon) == set()
    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert (warning["event"], warning["brand_id"]) == ("counter.overdue", world.brand_of(campaign))


def test_refresh_logs_a_counter_that_is_too_high_and_leaves_it(world: World, campaign: int, noon: datetime) -> None:
    world.execute("UPDATE campaign_days SET spent_micros = 20; UPDATE brand_days SET spent_micros = 20")
    with capture_logs() as logs:
        recounts.compare_due_brands(noon)
    (wrong_counters,) = [line for line in logs if line["event"] == "counter.wrong"]
    assert (wrong_counters["counter_micros"], wrong_counters["right_micros"], wrong_counters["corrected"]) == (
        20,
        12,
        False,
    )
    assert world.spent(campaign) == 20


def test_brand_counter_is_not_raised_to_campaign_counters_that_are_too_high(
    world: World, campaign: int, noon: datetime
) -> None:
    world.execute("UPDATE campaign_days SET spent_micros = 20")
    recounts.compare_due_brands(noon)
    assert world.one("SELECT spent_micros FROM brand_days") == {"spent_micros": 12}
    world.execute("UPDATE brand_days SET spent_micros = 3")
    recounts.compare_due_brands(noon + timedelta(days=1))
    assert world.one("SELECT spent_micros FROM brand_days") == {"spent_micros": 12}


def test_campaign_opened_by_a_wrong_counter_is_closed_within_a_day(world: World, campaign: int, noon: datetime) -> None:
    world.execute("UPDATE campaign_days SET spent_micros = 3; UPDATE brand_days SET spent_micros = 3")
    world.spend(campaign, 0)
    assert world.is_active(campaign), "spend is enforced by the counters"
    recounts.compare_due_brands(noon - timedelta(days=2))
    refresh_spend()
    assert not world.is_active(campaign)


def noted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The brands that are compared from here on, in order; the comparison itself is replaced."""
    compared: list[int] = []

    def note(brand_id: int) -> list[object]:
        compared.append(brand_id)
        return []

    monkeypatch.setattr(recounts, "_raise_low", note)
    return compared


def test_each_brand_is_compared_once_a_day_for_any_times_of_runs(
    world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.execute("INSERT INTO brands (name) SELECT 'b' FROM generate_series(1, 500)")
    compared = noted(monkeypatch)
    recounts.compare_due_brands(noon)
    assert len(set(compared)) == 500
    compared.clear()
    at = noon
    for minutes in (5, 5, 7, 3, 100, 600, 5, 715):
        at += timedelta(minutes=minutes)
        recounts.compare_due_brands(at)
        recounts.compare_due_brands(at)
    assert sorted(compared) == sorted(set(compared))
    assert len(compared) == 500
    assert at == noon + timedelta(days=1)


def test_next_run_compares_brands_that_one_run_had_no_time_for(
    world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.execute("INSERT INTO brands (name) SELECT 'b' FROM generate_series(1, 10)")
    compared = noted(monkeypatch)
    monkeypatch.setattr(recounts, "SECONDS_A_RUN", -1)
    recounts.compare_due_brands(noon)
    assert compared == []
    monkeypatch.setattr(recounts, "SECONDS_A_RUN", 60)
    recounts.compare_due_brands(noon)
    assert len(compared) == 10
