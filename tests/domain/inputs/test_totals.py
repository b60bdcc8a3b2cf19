"""Reported totals: which are accepted or rejected, and when the event made from them occurs."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.inputs.campaign_names import CampaignKey, KnownCampaign
from domain.inputs.reasons import Reason, Rejection
from domain.inputs.totals import ReportedTotal, TotalDraft, judge_total, moment_of, read_total
from domain.money import MAX_AMOUNT_MICROS
from domain.periods import FIRST_DAY, LAST_DAY
from tests.domain.facts import APIA_SKIPS_A_DAY, DAY, MINUTE, QUICK, TICK, local, moments, utc
from tests.domain.inputs.messages import (
    ACCOUNTS,
    ANY_AGE,
    BOUNDS,
    NEW_YORK,
    NOW,
    json_values,
    judged_total,
    nearly_good,
    raw_total,
    reason,
    taken_total,
    total_draft,
)


def test_valid_total_is_read_with_all_fields() -> None:
    raw = raw_total(currency="USD")
    assert read_total(raw) == TotalDraft(
        "meta", 17, date(2026, 11, 21), 5_000_000, utc("2026-11-22T09:00"), "USD", payload=raw
    )


def test_valid_total_is_accepted_for_its_brand_and_campaign() -> None:
    read = total_draft()
    assert judge_total(read, ACCOUNTS, NOW, BOUNDS) == ReportedTotal(
        "meta", 3, 17, date(2026, 11, 21), 5_000_000, utc("2026-11-22T09:00"), NEW_YORK, payload=read.payload
    )


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("source", ..., Reason.MALFORMED),
        ("source", "", Reason.MALFORMED),
        ("source", "a\0b", Reason.MALFORMED),
        ("campaign_id", ..., Reason.MALFORMED),
        ("day", ..., Reason.MALFORMED),
        ("day", "yesterday", Reason.MALFORMED),
        ("day", "2026-02-29", Reason.MALFORMED),
        ("day", "2026-11-22T00:00:00Z", Reason.MALFORMED),
        ("day", 20_261_122.5, Reason.MALFORMED),
        ("day", "1989-12-31", Reason.MALFORMED),
        ("day", "2200-01-01", Reason.MALFORMED),
        ("day", "\ud800", Reason.MALFORMED),
        ("total_micros", 1.5, Reason.MALFORMED),
        ("total_micros", True, Reason.MALFORMED),
        ("total_micros", MAX_AMOUNT_MICROS + 1, Reason.AMOUNT_OUT_OF_RANGE),
        ("as_of", ..., Reason.MALFORMED),
        ("as_of", "2026-11-22T09:00:00", Reason.NO_TIME_ZONE),
        ("currency", 5, Reason.MALFORMED),
    ],
)
def test_a_total_is_rejected_with_its_reason(field: str, value: object, expected: Reason) -> None:
    raw = raw_total(**{field: value})
    rejection = read_total(raw)
    assert reason(rejection) is expected
    assert rejection.payload is raw


def test_days_from_1990_to_2199_can_be_named() -> None:
    assert total_draft(day="1990-01-01").day == FIRST_DAY
    assert total_draft(day="2199-12-31").day == LAST_DAY


def test_totals_for_the_first_and_last_calendar_day_are_judged() -> None:
    assert reason(judged_total(day=LAST_DAY.isoformat())) is Reason.IN_FUTURE
    assert reason(judged_total(day=FIRST_DAY.isoformat())) is Reason.TOO_OLD
    assert taken_total(day=FIRST_DAY.isoformat(), bounds=ANY_AGE).day == FIRST_DAY


def test_a_total_of_an_unknown_campaign_is_rejected() -> None:
    assert reason(judged_total(campaign_id=99)) is Reason.UNKNOWN_CAMPAIGN


def test_total_in_another_currency_is_rejected() -> None:
    assert reason(judged_total(currency="EUR")) is Reason.WRONG_CURRENCY
    assert taken_total(currency="usd").total_micros == 5_000_000


def test_the_day_of_a_total_must_have_begun_in_the_zone_of_the_brand() -> None:
    begins = local("America/New_York", "2026-11-22T00:00")
    as_of = "2026-11-22T00:00:00Z"
    assert taken_total(day="2026-11-22", as_of=as_of, at=begins - 5 * MINUTE).day == date(2026, 11, 22)
    early = judged_total(day="2026-11-22", as_of=as_of, at=begins - 5 * MINUTE - TICK)
    assert reason(early) is Reason.IN_FUTURE


def test_total_as_of_5_minutes_ahead_is_accepted_and_a_microsecond_later_rejected() -> None:
    latest = NOW + 5 * MINUTE
    assert taken_total(as_of=latest.isoformat()).as_of == latest
    assert reason(judged_total(as_of=(latest + TICK).isoformat())) is Reason.IN_FUTURE


def test_total_for_35_days_ago_is_accepted_and_for_the_day_before_rejected() -> None:
    assert taken_total(day="2026-10-18").day == date(2026, 10, 18)
    assert reason(judged_total(day="2026-10-17")) is Reason.TOO_OLD


def test_total_for_a_skipped_day_is_rejected() -> None:
    apia: dict[CampaignKey, KnownCampaign] = {17: KnownCampaign(17, 3, ZoneInfo("Pacific/Apia"), "WST")}
    never = total_draft(day="2011-12-30", as_of="2011-12-31T00:00:00Z")
    rejection = judge_total(never, apia, APIA_SKIPS_A_DAY + 2 * DAY, BOUNDS)
    assert isinstance(rejection, Rejection)
    assert (rejection.reason, rejection.detail) == (Reason.MALFORMED, "Pacific/Apia skipped the day 2011-12-30")


@pytest.mark.parametrize(
    ("as_of", "moment"),
    [
        ("2026-11-20T12:00:00Z", "2026-11-21T05:00:00Z"),
        ("2026-11-21T05:00:00Z", "2026-11-21T05:00:00Z"),
        ("2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z"),
        ("2026-11-22T05:00:00Z", "2026-11-22T04:59:59.999999Z"),
        ("2026-11-22T09:00:00Z", "2026-11-22T04:59:59.999999Z"),
    ],
)
def test_event_made_from_a_total_occurs_within_its_day(as_of: str, moment: str) -> None:
    assert moment_of(taken_total(day="2026-11-21", as_of=as_of)) == datetime.fromisoformat(moment)


@QUICK
@given(json_values | nearly_good)
def test_any_json_is_read_as_total_or_rejected_unchanged(raw: object) -> None:
    read = read_total(raw)
    outcome = judge_total(read, ACCOUNTS, NOW, ANY_AGE) if isinstance(read, TotalDraft) else read
    assert isinstance(outcome, ReportedTotal | Rejection)
    assert outcome.payload is raw


@QUICK
@given(moments, st.integers(-2, 2))
def test_event_made_from_an_accepted_total_counts_on_its_day(moment: tuple[str, datetime], days: int) -> None:
    zone, at = ZoneInfo(moment[0]), moment[1]
    about = at.astimezone(zone).date() + days * DAY
    accounts: dict[CampaignKey, KnownCampaign] = {17: KnownCampaign(17, 3, zone, "USD")}
    total = judge_total(total_draft(as_of=at.isoformat(), day=about.isoformat()), accounts, at, BOUNDS)
    if isinstance(total, ReportedTotal):
        assert moment_of(total).astimezone(zone).date() == about
    else:
        assert days > 0 or total.detail == "Pacific/Apia skipped the day 2011-12-30"
