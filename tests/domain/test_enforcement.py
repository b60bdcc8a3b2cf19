"""The decision: which holds a campaign has, what lifts them, and when they next change by the clock."""

import random
from dataclasses import replace
from datetime import date

import pytest

from domain.budgets import Scope
from domain.campaigns import ConfiguredStatus, EffectiveStatus
from domain.enforcement import HoldExplanation, decide, explain, holds_at, next_change_at
from domain.holds import Hold
from domain.periods import Period, window_of
from tests.domain.facts import DAY, HOUR, TICK, campaign, local, spent, utc

PAUSED, ARCHIVED = ConfiguredStatus.PAUSED, ConfiguredStatus.ARCHIVED
NOON = utc("2026-11-22T12:00")
MIDNIGHT = utc("2026-11-23T00:00")
CAIRO, NEW_YORK = "Africa/Cairo", "America/New_York"


# Budgets


def test_campaign_without_holds_is_active() -> None:
    decision = decide(campaign(), NOON)
    assert (decision.holds, decision.next_change_at) == ((), None)
    assert decision.effective_status is EffectiveStatus.ACTIVE


def test_pauses_when_spend_equals_limit() -> None:
    decision = decide(campaign(spent(100, limit=100)), NOON)
    assert decision.holds == (Hold.CAMPAIGN_DAILY_BUDGET,)
    assert decision.effective_status is EffectiveStatus.INACTIVE


def test_serves_when_spend_is_a_micro_below_the_limit() -> None:
    assert holds_at(campaign(spent(99, limit=100)), NOON) == ()


def test_pauses_when_spend_is_a_micro_over_the_limit() -> None:
    assert holds_at(campaign(spent(101, limit=100)), NOON) == (Hold.CAMPAIGN_DAILY_BUDGET,)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("period", Period)
def test_exhausted_budget_of_each_scope_and_period_puts_its_own_hold(scope: Scope, period: Period) -> None:
    exhausted = spent(100, limit=100, scope=scope, period=period)
    assert holds_at(campaign(exhausted), NOON) == (f"{scope}_{period}_budget",)


@pytest.mark.parametrize("period", Period)
def test_a_limit_of_0_holds_at_once_and_never_lifts(period: Period) -> None:
    held = campaign(spent(0, limit=0, period=period))
    assert decide(held, NOON).holds == (Hold(f"campaign_{period}_budget"),)
    assert decide(held, NOON).next_change_at is None
    assert explain(held, NOON).serves_at is None


def test_negative_spend_leaves_the_campaign_active() -> None:
    assert decide(campaign(spent(-1_000, limit=1)), NOON).holds == ()


def test_a_refund_to_a_micro_below_the_limit_lifts_the_hold() -> None:
    held = spent(100, limit=100)
    assert holds_at(campaign(held), NOON) == (Hold.CAMPAIGN_DAILY_BUDGET,)
    assert holds_at(campaign(replace(held, spent_micros=100 - 1)), NOON) == ()


def test_a_raised_budget_lifts_only_its_own_hold() -> None:
    monthly = spent(100, limit=100, period=Period.MONTHLY)
    assert holds_at(campaign(spent(100, limit=100), monthly), NOON) == (
        Hold.CAMPAIGN_DAILY_BUDGET,
        Hold.CAMPAIGN_MONTHLY_BUDGET,
    )
    assert holds_at(campaign(spent(100, limit=101), monthly), NOON) == (Hold.CAMPAIGN_MONTHLY_BUDGET,)


# Resets


def test_exhausted_daily_budget_lifts_at_midnight_and_not_a_microsecond_earlier() -> None:
    held = campaign(spent(100, limit=100))
    assert decide(held, NOON).next_change_at == MIDNIGHT
    assert holds_at(held, MIDNIGHT - TICK) == (Hold.CAMPAIGN_DAILY_BUDGET,)
    assert decide(held, MIDNIGHT).holds == ()
    assert decide(held, MIDNIGHT).next_change_at is None


@pytest.mark.parametrize(
    ("period", "lifts_at"),
    [
        (Period.DAILY, "2026-11-26T00:00"),
        (Period.WEEKLY, "2026-11-30T00:00"),
        (Period.MONTHLY, "2026-12-01T00:00"),
        (Period.YEARLY, "2027-01-01T00:00"),
    ],
)
def test_budget_hold_of_each_period_lifts_when_its_window_ends(period: Period, lifts_at: str) -> None:
    held = campaign(spent(100, limit=100, period=period, on="2026-11-25"))
    explanation = explain(held, utc("2026-11-25T12:00"))
    assert explanation.holds[0].lifts_at == explanation.serves_at == utc(lifts_at)


def test_exhausted_lifetime_budget_never_lifts() -> None:
    held = campaign(spent(100, limit=100, period=Period.LIFETIME))
    assert decide(held, NOON).next_change_at is None
    assert explain(held, NOON).serves_at is None


def test_weekly_budget_exhausted_on_sunday_lifts_on_monday() -> None:
    held = campaign(spent(100, limit=100, period=Period.WEEKLY, on="2026-11-22"))
    assert explain(held, utc("2026-11-22T23:59")).serves_at == utc("2026-11-23T00:00")


def test_daily_and_monthly_budgets_exhausted_on_the_30th_lift_on_the_1st() -> None:
    monthly = spent(100, limit=100, period=Period.MONTHLY, on="2026-11-30")
    held = campaign(spent(100, limit=100, on="2026-11-30"), monthly)
    explanation = explain(held, utc("2026-11-30T20:00"))
    assert [hold.lifts_at for hold in explanation.holds] == [utc("2026-12-01T00:00")] * 2
    assert explanation.serves_at == utc("2026-12-01T00:00")
    assert holds_at(held, utc("2026-12-01T00:00")) == ()


def test_monthly_budget_exhausted_on_the_29th_still_holds_when_the_daily_one_lifts() -> None:
    monthly = spent(100, limit=100, period=Period.MONTHLY, on="2026-11-29")
    held = campaign(spent(100, limit=100, on="2026-11-29"), monthly)
    assert next_change_at(held, utc("2026-11-29T20:00")) == utc("2026-11-30T00:00")
    assert holds_at(held, utc("2026-11-30T00:00")) == (Hold.CAMPAIGN_MONTHLY_BUDGET,)
    assert explain(held, utc("2026-11-29T20:00")).serves_at == utc("2026-12-01T00:00")


@pytest.mark.parametrize("period", [Period.DAILY, Period.MONTHLY])
def test_a_budget_spent_on_29_february_lifts_on_1_march(period: Period) -> None:
    held = campaign(spent(100, limit=100, period=period, on="2028-02-29"))
    assert explain(held, utc("2028-02-29T12:00")).serves_at == utc("2028-03-01T00:00")


@pytest.mark.parametrize(("day", "hours"), [("2026-03-08", 23), ("2026-11-01", 25), ("2026-11-02", 24)])
def test_daily_hold_lasts_as_many_hours_as_the_local_day_has(day: str, hours: int) -> None:
    held = campaign(spent(100, limit=100, on=day), zone=NEW_YORK)
    midnight = local(NEW_YORK, f"{day}T00:00")
    assert next_change_at(held, midnight) == midnight + hours * HOUR


def test_daily_hold_lifts_at_one_where_midnight_is_skipped() -> None:
    held = campaign(spent(100, limit=100, on="2026-04-23"), zone=CAIRO)
    thursday_evening = local(CAIRO, "2026-04-23T20:00")
    assert next_change_at(held, thursday_evening) == local(CAIRO, "2026-04-24T01:00") == thursday_evening + 4 * HOUR


def test_daily_hold_lifts_at_the_first_of_two_midnights() -> None:
    held = campaign(spent(100, limit=100, on="2025-11-01"), zone="America/Havana")
    first_midnight = local("America/Havana", "2025-11-02T00:00", fold=0)
    assert next_change_at(held, first_midnight - HOUR) == first_midnight
    assert holds_at(held, first_midnight + HOUR) == ()


def test_daily_hold_lifts_at_midnight_in_the_brands_zone() -> None:
    held = campaign(spent(100, limit=100), zone="Asia/Kathmandu")
    assert next_change_at(held, utc("2026-11-22T12:00")) == utc("2026-11-22T18:15")


def test_daily_hold_lifts_with_the_next_existing_day() -> None:
    held = campaign(spent(100, limit=100, on="2011-12-29"), zone="Pacific/Apia")
    assert explain(held, local("Pacific/Apia", "2011-12-29T12:00")).serves_at == local(
        "Pacific/Apia", "2011-12-31T00:00"
    )


def test_spend_dated_ahead_of_midnight_holds_when_its_day_begins() -> None:
    facts = campaign(spent(0, limit=100, ahead=100))
    assert decide(facts, MIDNIGHT - TICK).holds == ()
    assert decide(facts, MIDNIGHT - TICK).next_change_at == MIDNIGHT
    assert decide(facts, MIDNIGHT).holds == (Hold.CAMPAIGN_DAILY_BUDGET,)
    assert decide(facts, MIDNIGHT).next_change_at == MIDNIGHT + DAY
    assert decide(facts, MIDNIGHT + DAY).holds == ()


def test_spend_dated_ahead_prolongs_an_exhausted_days_hold() -> None:
    facts = campaign(spent(100, limit=100, ahead=100))
    assert next_change_at(facts, NOON) == explain(facts, NOON).serves_at == MIDNIGHT + DAY


# People, flights, schedules


@pytest.mark.parametrize(
    ("status", "brand", "hold"),
    [
        (PAUSED, ConfiguredStatus.ENABLED, Hold.USER_PAUSED),
        (ARCHIVED, ConfiguredStatus.ENABLED, Hold.ARCHIVED),
        (ConfiguredStatus.ENABLED, PAUSED, Hold.BRAND_PAUSED),
        (ConfiguredStatus.ENABLED, ARCHIVED, Hold.BRAND_PAUSED),
    ],
)
def test_pause_by_a_person_never_lifts_by_the_clock(
    status: ConfiguredStatus, brand: ConfiguredStatus, hold: Hold
) -> None:
    facts = campaign(status=status, brand=brand)
    assert decide(facts, NOON).holds == (hold,)
    assert decide(facts, NOON).next_change_at is None
    assert explain(facts, NOON).holds == (HoldExplanation(hold, None),)
    assert explain(facts, NOON).serves_at is None


def test_a_paused_campaign_stays_paused_at_the_reset() -> None:
    facts = campaign(spent(100, limit=100), status=PAUSED)
    assert holds_at(facts, NOON) == (Hold.USER_PAUSED, Hold.CAMPAIGN_DAILY_BUDGET)
    assert next_change_at(facts, NOON) == MIDNIGHT
    assert holds_at(facts, MIDNIGHT) == (Hold.USER_PAUSED,)
    assert explain(facts, NOON).serves_at is None
    assert explain(facts, NOON).lasting == [Hold.USER_PAUSED]
    assert explain(campaign(spent(100, limit=100)), NOON).lasting == [Hold.CAMPAIGN_DAILY_BUDGET]


@pytest.mark.parametrize(
    ("at", "holds", "changes_at"),
    [
        ("2026-11-21T23:59:59.999999", (Hold.FLIGHT_NOT_STARTED,), "2026-11-22T00:00"),
        ("2026-11-22T00:00", (), "2026-11-25T00:00"),
        ("2026-11-24T23:59:59.999999", (), "2026-11-25T00:00"),
        ("2026-11-25T00:00", (Hold.FLIGHT_ENDED,), None),
    ],
)
def test_a_flight_includes_both_its_days(at: str, holds: tuple[Hold, ...], changes_at: str | None) -> None:
    decision = decide(campaign(flight=("2026-11-22", "2026-11-24")), utc(at))
    assert decision.holds == holds
    assert decision.next_change_at == (utc(changes_at) if changes_at else None)


def test_a_flight_of_one_day_lasts_that_day() -> None:
    flight = campaign(flight=("2026-03-08", "2026-03-08"), zone=NEW_YORK)
    first = local(NEW_YORK, "2026-03-08T00:00")
    assert holds_at(flight, first - TICK) == (Hold.FLIGHT_NOT_STARTED,)
    assert holds_at(flight, first) == holds_at(flight, first + 23 * HOUR - TICK) == ()
    assert holds_at(flight, first + 23 * HOUR) == (Hold.FLIGHT_ENDED,)


def test_flight_without_an_end_serves_forever() -> None:
    assert decide(campaign(flight=("2026-11-22", None)), NOON + 9_000 * DAY).holds == ()


def test_flight_that_ends_on_the_last_calendar_day_has_no_next_change() -> None:
    assert next_change_at(campaign(flight=(None, "2199-12-31")), NOON) is None


def test_a_flight_that_ends_before_it_starts_never_serves() -> None:
    facts = campaign(flight=("2026-11-25", "2026-11-21"))
    assert holds_at(facts, NOON) == (Hold.FLIGHT_NOT_STARTED, Hold.FLIGHT_ENDED)
    assert explain(facts, NOON).serves_at is None


def test_explanation_of_a_future_flight_names_its_start() -> None:
    facts = campaign(flight=("2026-12-01", None), zone=NEW_YORK)
    starts_at = local(NEW_YORK, "2026-12-01T00:00")
    assert explain(facts, NOON).holds == (HoldExplanation(Hold.FLIGHT_NOT_STARTED, starts_at),)
    assert explain(facts, NOON).serves_at == starts_at


def test_night_window_ends_early_where_the_flight_ends() -> None:
    facts = campaign(flight=(None, "2026-11-23"), schedule="Mon 22:00-06:00")
    assert holds_at(facts, utc("2026-11-23T23:59")) == ()
    assert next_change_at(facts, utc("2026-11-23T23:59")) == utc("2026-11-24T00:00")
    assert holds_at(facts, utc("2026-11-24T00:30")) == (Hold.FLIGHT_ENDED,)


def test_a_closed_schedule_holds_until_it_opens() -> None:
    facts = campaign(schedule="Mon-Fri 09:00-17:00")
    monday_at_nine = utc("2026-11-23T09:00")
    assert decide(facts, NOON).holds == (Hold.OUTSIDE_SCHEDULE,)
    assert decide(facts, NOON).next_change_at == explain(facts, NOON).serves_at == monday_at_nine
    assert decide(facts, monday_at_nine).holds == ()
    assert decide(facts, monday_at_nine).next_change_at == utc("2026-11-23T17:00")


def test_all_holds_are_returned_in_fixed_order() -> None:
    budgets = [spent(1, limit=1, scope=scope, period=period) for scope in Scope for period in Period]
    random.Random(7).shuffle(budgets)
    facts = campaign(
        *budgets, status=PAUSED, brand=PAUSED, flight=("2026-12-01", "2026-11-01"), schedule="Mon 01:00-02:00"
    )
    facts = replace(facts, set_holds=(Hold.PLATFORM_PAUSED.value,))
    assert holds_at(facts, NOON) == tuple(hold for hold in Hold if hold is not Hold.ARCHIVED)


# Explanations


def test_an_active_campaign_serves_now() -> None:
    explanation = explain(campaign(spent(99, limit=100)), NOON)
    assert (explanation.at, explanation.serves_at, explanation.holds) == (NOON, NOON, ())
    assert explanation.effective_status is EffectiveStatus.ACTIVE


def test_budget_hold_is_explained_with_its_figures() -> None:
    explanation = explain(campaign(spent(99, limit=100, period=Period.MONTHLY), spent(250, limit=100)), NOON)
    assert explanation.effective_status is EffectiveStatus.INACTIVE
    assert explanation.holds == (
        HoldExplanation(
            Hold.CAMPAIGN_DAILY_BUDGET,
            lifts_at=MIDNIGHT,
            spent_micros=250,
            limit_micros=100,
            window=window_of(Period.DAILY, date(2026, 11, 22)),
        ),
    )


def test_spend_ahead_is_explained_on_its_own_day() -> None:
    (hold,) = explain(campaign(spent(1, limit=100, ahead=100)), MIDNIGHT).holds
    assert (hold.spent_micros, hold.window) == (100, window_of(Period.DAILY, date(2026, 11, 23)))


def test_serves_at_the_first_opening_after_the_reset() -> None:
    facts = campaign(spent(100, limit=100), schedule="daily 09:00-17:00")
    explanation = explain(facts, utc("2026-11-22T20:00"))
    assert [hold.lifts_at for hold in explanation.holds] == [utc("2026-11-23T09:00"), MIDNIGHT]
    assert explanation.serves_at == utc("2026-11-23T09:00")


def test_does_not_serve_at_an_opening_before_the_reset() -> None:
    facts = campaign(spent(100, limit=100, period=Period.MONTHLY), schedule="daily 09:00-17:00")
    assert explain(facts, utc("2026-11-22T20:00")).serves_at == utc("2026-12-01T09:00")


def test_serves_at_the_reset_when_the_schedule_is_open_then() -> None:
    facts = campaign(spent(100, limit=100), schedule="Sun 22:00-06:00")
    assert explain(facts, utc("2026-11-22T20:00")).serves_at == MIDNIGHT


def test_never_serves_when_the_schedule_opens_after_the_flight() -> None:
    facts = campaign(schedule="Mon 09:00-17:00", flight=(None, "2026-11-22"))
    explanation = explain(facts, NOON)
    assert [hold.lifts_at for hold in explanation.holds] == [utc("2026-11-23T09:00")]
    assert explanation.serves_at is None
