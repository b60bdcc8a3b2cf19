"""Compares decisions with a second implementation, minute by minute around clock changes and other turning points."""

from dataclasses import replace
from datetime import UTC, date, datetime, time
from random import Random
from zoneinfo import ZoneInfo

from hypothesis import assume, given
from hypothesis import strategies as st

from domain.campaigns import Campaign, ConfiguredStatus, EffectiveStatus
from domain.enforcement import decide, explain, holds_at, next_change_at
from domain.holds import Hold, budget_hold
from tests.domain.facts import (
    ALL_ZONES,
    BRUTE_FORCE,
    DAY,
    HOUR,
    MINUTE,
    QUICK,
    TICK,
    day_holds_by_hand,
    decisions,
    holds_by_hand,
    minutes_after,
)

Case = tuple[Campaign, datetime]
BRUTE_FORCE_SPAN = 16 * DAY


def first_without(hold: str | None, facts: Campaign, at: datetime) -> datetime | None:
    """The first instant, of `at` and the whole minutes after it, without `hold`, or without any hold if None.

    During a hold that lasts whole days, the search skips the hours before 21:00.
    """
    by_hand, moment = holds_by_hand(facts), at
    while moment <= at + BRUTE_FORCE_SPAN:
        holds = by_hand(moment) & ({hold} if hold else set(Hold))
        if not holds:
            return moment
        is_far = holds != {Hold.OUTSIDE_SCHEDULE} and moment.astimezone(facts.brand.time_zone).hour < 21
        moment = moment.replace(second=0, microsecond=0) + (HOUR if is_far else MINUTE)
    return None


def within_span(instant: datetime | None, at: datetime) -> datetime | None:
    return instant if instant is not None and instant <= at + BRUTE_FORCE_SPAN else None


@QUICK
@given(decisions())
def test_holds_equal_those_of_the_second_implementation(case: Case) -> None:
    facts, at = case
    by_hand = holds_by_hand(facts)
    for moment in (at, *minutes_after(at, 4 * DAY, step=97 * MINUTE)):
        assert set(holds_at(facts, moment)) == by_hand(moment)


@BRUTE_FORCE
@given(decisions())
def test_next_change_is_never_later_than_the_first_actual_change(case: Case) -> None:
    facts, at = case
    by_hand, promised = holds_by_hand(facts), next_change_at(facts, at)
    now = by_hand(at)
    real = next((moment for moment in minutes_after(at, 4 * DAY) if by_hand(moment) != now), None)
    assert promised is None or promised > at
    assert real is None or (promised is not None and promised <= real)


@BRUTE_FORCE
@given(decisions())
def test_deciding_only_at_each_next_change_misses_no_change(case: Case) -> None:
    facts, at = case
    by_hand, decision = holds_by_hand(facts), decide(facts, at)
    for moment in minutes_after(at, 14 * DAY, step=37 * MINUTE):
        while decision.next_change_at is not None and decision.next_change_at <= moment:
            decision = decide(facts, decision.next_change_at)
        assert set(decision.holds) == by_hand(moment)


@BRUTE_FORCE
@given(decisions(), st.sampled_from(ALL_ZONES))
def test_next_change_is_correct_in_every_zone(case: Case, name: str) -> None:
    facts, at = case
    facts = replace(facts, brand=replace(facts.brand, time_zone=ZoneInfo(name)))
    by_hand, promised = holds_by_hand(facts), next_change_at(facts, at)
    until = min(promised or at + DAY, at + DAY) - TICK
    assert all(by_hand(moment) == by_hand(at) for moment in minutes_after(at, until - at))


# Explanations


@BRUTE_FORCE
@given(decisions())
def test_serves_at_the_first_minute_without_holds(case: Case) -> None:
    facts, at = case
    assert within_span(explain(facts, at).serves_at, at) == first_without(None, facts, at)


@BRUTE_FORCE
@given(decisions())
def test_each_hold_lifts_at_the_first_minute_without_it(case: Case) -> None:
    facts, at = case
    for hold in explain(facts, at).holds:
        assert within_span(hold.lifts_at, at) == first_without(hold.hold, facts, at)


@QUICK
@given(decisions())
def test_without_a_schedule_serves_on_the_first_day_without_holds(case: Case) -> None:
    facts, at = replace(case[0], schedule=()), case[1]
    zone = facts.brand.time_zone
    today = at.astimezone(zone).date()
    coming = (today + n * DAY for n in range(800))
    free = next((day for day in coming if not day_holds_by_hand(facts, day) and is_in_calendar(day, zone)), None)
    serves_at = explain(facts, at).serves_at
    assert (serves_at and serves_at.astimezone(zone).date()) == free
    if serves_at is not None and serves_at != at:
        assert (serves_at - TICK).astimezone(zone).date() < serves_at.astimezone(zone).date()


def is_in_calendar(day: date, zone: ZoneInfo) -> bool:
    """Whether the zone has this day; False for a skipped one."""
    noon = datetime.combine(day, time(12), tzinfo=zone)
    return noon.astimezone(UTC).astimezone(zone).date() == day


@QUICK
@given(decisions())
def test_explanation_names_the_decided_holds(case: Case) -> None:
    facts, at = case
    decision, explanation = decide(facts, at), explain(facts, at)
    assert tuple(hold.hold for hold in explanation.holds) == decision.holds
    assert explanation.effective_status is decision.effective_status
    assert (
        (decision.effective_status is EffectiveStatus.ACTIVE) == (decision.holds == ()) == (explanation.serves_at == at)
    )


@QUICK
@given(decisions())
def test_explanation_shows_the_figures_of_the_exhausted_window(case: Case) -> None:
    facts, at = case
    today = at.astimezone(facts.brand.time_zone).date()
    for hold in explain(facts, at).holds:
        if hold.window is not None:
            assert hold.spent_micros is not None
            assert hold.limit_micros is not None
            assert hold.limit_micros == 0 or hold.spent_micros >= hold.limit_micros
            assert today in hold.window


# Independence


def cured(facts: Campaign, hold: str) -> Campaign:
    """The facts without the cause of one hold."""
    match hold:
        case Hold.USER_PAUSED | Hold.ARCHIVED:
            return replace(facts, configured_status=ConfiguredStatus.ENABLED)
        case Hold.BRAND_PAUSED:
            return replace(facts, brand=replace(facts.brand, configured_status=ConfiguredStatus.ENABLED))
        case Hold.FLIGHT_NOT_STARTED:
            return replace(facts, starts_on=None)
        case Hold.FLIGHT_ENDED:
            return replace(facts, ends_on=None)
        case Hold.OUTSIDE_SCHEDULE:
            return replace(facts, schedule=())
        case _:
            others = tuple(spend for spend in facts.budgets if budget_hold(spend) != hold)
            return replace(facts, set_holds=tuple(one for one in facts.set_holds if one != hold), budgets=others)


@QUICK
@given(decisions())
def test_removing_one_cause_lifts_exactly_its_hold(case: Case) -> None:
    facts, at = case
    holds = holds_at(facts, at)
    for hold in holds:
        assert holds_at(cured(facts, hold), at) == tuple(other for other in holds if other != hold)


@QUICK
@given(decisions(), st.sampled_from([ConfiguredStatus.PAUSED, ConfiguredStatus.ARCHIVED]))
def test_campaign_paused_by_a_person_never_serves_by_the_clock(case: Case, status: ConfiguredStatus) -> None:
    facts, at = replace(case[0], configured_status=status), case[1]
    assert explain(facts, at).serves_at is None
    for moment in minutes_after(at, 3 * DAY, step=HOUR):
        assert {Hold.USER_PAUSED, Hold.ARCHIVED} & set(holds_at(facts, moment))


@QUICK
@given(decisions())
def test_other_holds_do_not_depend_on_the_configured_status(case: Case) -> None:
    facts, at = case
    assume(facts.configured_status is ConfiguredStatus.ENABLED)
    paused = replace(facts, configured_status=ConfiguredStatus.PAUSED)
    assert holds_at(paused, at) == (Hold.USER_PAUSED, *holds_at(facts, at))
    assert next_change_at(paused, at) == next_change_at(facts, at)


@QUICK
@given(decisions(), st.randoms(use_true_random=False))
def test_order_of_budgets_and_dayparts_does_not_change_the_decision(case: Case, order: Random) -> None:
    facts, at = case
    shuffled = replace(
        facts,
        budgets=tuple(order.sample(facts.budgets, len(facts.budgets))),
        schedule=tuple(order.sample(facts.schedule, len(facts.schedule))),
    )
    assert decide(shuffled, at) == decide(facts, at)
    assert explain(shuffled, at) == explain(facts, at)


@QUICK
@given(decisions())
def test_zone_of_the_given_instant_does_not_change_the_decision(case: Case) -> None:
    facts, at = case
    elsewhere = at.astimezone(ZoneInfo("America/Santiago"))
    assert decide(facts, elsewhere) == decide(facts, at)
