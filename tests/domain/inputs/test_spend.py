"""Spend events: which are accepted or rejected, and on which local day they count."""

import math
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.enforcement import Decision, decide
from domain.inputs.ages import AgeBounds
from domain.inputs.reasons import Reason, Rejection
from domain.inputs.spend import SpendDraft, SpendEvent, judge_event, read_event
from domain.inputs.totals import read_total
from domain.inputs.values import MAX_TEXT, is_same_moment
from domain.money import MAX_AMOUNT_MICROS
from tests.domain.facts import HOUR, MINUTE, QUICK, TICK, campaign, local, spent, utc
from tests.domain.inputs.messages import (
    ACCOUNTS,
    ANY_AGE,
    BOUNDS,
    EVENT_ID,
    NEW_YORK,
    NOW,
    draft,
    json_values,
    judged,
    nearly_good,
    raw_event,
    reason,
    taken,
)

# Reading events


def test_valid_event_is_read_with_all_fields() -> None:
    raw = raw_event(currency="USD", source="producer-1", note="kept with the payload")
    assert read_event(raw) == SpendDraft(
        event_id=EVENT_ID,
        campaign=17,
        occurred_at=utc("2026-11-22T10:00"),
        amount_micros=1_250_000,
        currency="USD",
        source="producer-1",
        sequence=None,
        payload=raw,
    )


def test_currency_and_source_may_be_left_out() -> None:
    assert (draft().currency, draft().source) == (None, "")


@pytest.mark.parametrize("event_id", [EVENT_ID.upper(), EVENT_ID.replace("-", ""), EVENT_ID.replace("-", "").upper()])
def test_uuid_spellings_are_normalised(event_id: str) -> None:
    assert draft(event_id=event_id).event_id == EVENT_ID


@pytest.mark.parametrize(
    "event_id",
    [
        ...,
        None,
        "",
        "17",
        17,
        True,
        [EVENT_ID],
        f"{{{EVENT_ID}}}",
        f"urn:uuid:{EVENT_ID}",
        f"{EVENT_ID}\n",
        EVENT_ID[:-1],
        f" {EVENT_ID}",
        EVENT_ID.replace("3", "g"),
        EVENT_ID.replace("3", "٣"),
        EVENT_ID.replace("-", "", 1),
        "\ud800" * 32,
    ],
)
def test_an_event_without_a_uuid_is_malformed(event_id: object) -> None:
    assert reason(read_event(raw_event(event_id=event_id))) is Reason.MALFORMED


def test_a_campaign_may_be_named_by_platform_and_external_id() -> None:
    assert draft(campaign_id=..., platform="meta", external_id="120").campaign == ("meta_ads", "120")


def test_an_external_id_may_be_a_number() -> None:
    assert draft(campaign_id=..., platform="meta", external_id=120).campaign == ("meta_ads", "120")


def test_campaign_id_takes_precedence_over_external_id() -> None:
    assert draft(campaign_id=17, platform="meta", external_id="120").campaign == 17


def test_external_id_is_used_when_campaign_id_is_null() -> None:
    assert draft(campaign_id=None, platform="meta", external_id="120").campaign == ("meta_ads", "120")


@pytest.mark.parametrize("campaign_id", [True, False, 17.0, "17", [17], {"id": 17}, math.nan])
def test_a_campaign_id_that_is_no_integer_is_malformed(campaign_id: object) -> None:
    assert reason(read_event(raw_event(campaign_id=campaign_id))) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("platform", "external_id"),
    [
        (..., ...),
        ("meta", ...),
        (..., "120"),
        ("", "120"),
        ("meta", ""),
        (None, None),
        (5, "120"),
        ("meta", True),
        ("meta", 1.5),
        ("me\0ta", "120"),
        ("meta", "\ud800"),
        ("meta", "1" * (MAX_TEXT + 1)),
    ],
)
def test_an_event_that_names_no_campaign_is_malformed(platform: object, external_id: object) -> None:
    raw = raw_event(campaign_id=..., platform=platform, external_id=external_id)
    assert reason(read_event(raw)) is Reason.MALFORMED


@pytest.mark.parametrize("amount", [0, 1, -1, -1_250_000, MAX_AMOUNT_MICROS, -MAX_AMOUNT_MICROS])
def test_amounts_are_signed_micros_up_to_a_billion_units(amount: int) -> None:
    assert draft(amount_micros=amount).amount_micros == amount


@pytest.mark.parametrize("amount", [MAX_AMOUNT_MICROS + 1, -MAX_AMOUNT_MICROS - 1, 2**63, -(2**63) - 1, 10**400])
def test_a_micro_over_a_billion_units_is_out_of_range(amount: int) -> None:
    assert reason(read_event(raw_event(amount_micros=amount))) is Reason.AMOUNT_OUT_OF_RANGE


@pytest.mark.parametrize(
    "amount", [..., None, True, False, 1.0, 1.5, math.nan, math.inf, "1250000", [1], {"micros": 1}]
)
def test_an_amount_that_is_no_integer_is_malformed(amount: object) -> None:
    assert reason(read_event(raw_event(amount_micros=amount))) is Reason.MALFORMED


@pytest.mark.parametrize(
    "occurred_at",
    ["2026-11-22T10:00:00Z", "2026-11-22T10:00:00+00:00", "2026-11-22T15:45+05:45", "2026-11-22 05:00:00.000-05:00"],
)
def test_times_are_read_with_any_utc_offset(occurred_at: str) -> None:
    assert draft(occurred_at=occurred_at).occurred_at == utc("2026-11-22T10:00")
    assert draft(occurred_at=occurred_at).occurred_at.tzname() == "UTC"


def test_times_keep_their_microseconds() -> None:
    assert draft(occurred_at="2026-11-22T10:00:00.000001Z").occurred_at == NOW + TICK


@pytest.mark.parametrize("occurred_at", ["2026-11-22T10:00:00", "2026-11-22 10:00", "2026-11-22"])
def test_time_without_utc_offset_is_rejected_as_no_time_zone(occurred_at: str) -> None:
    assert reason(read_event(raw_event(occurred_at=occurred_at))) is Reason.NO_TIME_ZONE


@pytest.mark.parametrize(
    "occurred_at",
    [
        ...,
        None,
        "",
        "now",
        "yesterday",
        1_795_341_600,
        1.5,
        True,
        [],
        "2026-02-29T10:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-22T25:00:00Z",
        "\ud800",
        "2026-11-22T10:00:00 America/New_York",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-01:00",
    ],
)
def test_invalid_time_is_malformed(occurred_at: object) -> None:
    assert reason(read_event(raw_event(occurred_at=occurred_at))) is Reason.MALFORMED


@pytest.mark.parametrize("field", ["currency", "source"])
@pytest.mark.parametrize("value", [5, 1.5, True, [], {}, "a\0b", "\ud800", "é\udfff", "x" * (MAX_TEXT + 1)])
def test_a_text_that_cannot_be_stored_is_malformed(field: str, value: object) -> None:
    assert reason(read_event(raw_event(**{field: value}))) is Reason.MALFORMED


@pytest.mark.parametrize("source", ["x" * MAX_TEXT, "façade", "広告", "🧾"])
def test_text_of_200_characters_of_any_script_is_accepted(source: str) -> None:
    assert draft(source=source).source == source


@pytest.mark.parametrize("raw", [None, True, 17, 1.5, math.nan, "event", [], [raw_event()], ()])
def test_input_that_is_not_an_object_is_malformed(raw: object) -> None:
    rejection = read_event(raw)
    assert reason(rejection) is reason(read_total(raw)) is Reason.MALFORMED
    assert rejection.payload is raw


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (None, "null"),
        (True, "true or false"),
        (17, "a number"),
        (1.5, "a number"),
        ("event", "a string"),
        ([], "an array"),
    ],
)
def test_rejection_names_the_json_type_of_an_input_that_is_not_an_object(raw: object, kind: str) -> None:
    rejection = read_event(raw)
    assert isinstance(rejection, Rejection)
    assert rejection.detail == f"expected an object, not {kind}"


def test_rejection_names_the_field_and_keeps_the_input_unchanged() -> None:
    raw = raw_event(amount_micros="12", extra={"kept": [1]})
    assert read_event(raw) == Rejection(Reason.MALFORMED, "amount_micros: expected an integer of micros", raw)


# Judging events


def test_valid_event_is_accepted_for_its_brand_and_campaign() -> None:
    event = draft(source="producer-1")
    assert judge_event(event, ACCOUNTS, NOW, BOUNDS) == SpendEvent(
        event_id=EVENT_ID,
        brand_id=3,
        campaign_id=17,
        occurred_at=NOW,
        amount_micros=1_250_000,
        source="producer-1",
        day=date(2026, 11, 22),
        payload=event.payload,
    )


def test_event_by_external_id_counts_for_the_campaigns_own_id() -> None:
    assert taken(campaign_id=..., platform="meta", external_id="120").campaign_id == 18


@pytest.mark.parametrize("campaign_id", [0, -1, 18, 2**63, 10**400])
def test_event_for_an_unknown_campaign_is_rejected(campaign_id: int) -> None:
    assert reason(judged(campaign_id=campaign_id)) is Reason.UNKNOWN_CAMPAIGN


@pytest.mark.parametrize(("platform", "external_id"), [("meta_ads", "121"), ("google_ads", "120"), ("own", "120")])
def test_an_external_id_unknown_on_its_platform_is_quoted(platform: str, external_id: str) -> None:
    read = draft(campaign_id=..., platform=platform, external_id=external_id)
    rejection = Rejection(Reason.UNKNOWN_CAMPAIGN, f"no campaign {platform} {external_id}", read.payload)
    assert judge_event(read, ACCOUNTS, NOW, BOUNDS) == rejection


def test_ids_too_long_for_python_to_print_are_rejected() -> None:
    endless = 10**5_000
    assert reason(judged(campaign_id=endless)) is Reason.UNKNOWN_CAMPAIGN
    assert (
        reason(read_event(raw_event(campaign_id=..., platform="meta", external_id=endless))) is Reason.UNKNOWN_CAMPAIGN
    )


@pytest.mark.parametrize("currency", ["USD", "usd", ...])
def test_brands_currency_is_accepted_in_any_case_or_left_out(currency: object) -> None:
    assert taken(currency=currency).amount_micros == 1_250_000


@pytest.mark.parametrize("currency", ["EUR", "US", "USDT"])
def test_event_in_another_currency_is_rejected(currency: str) -> None:
    assert reason(judged(currency=currency)) is Reason.WRONG_CURRENCY


def test_event_of_35_days_ago_is_accepted_and_a_microsecond_older_rejected() -> None:
    oldest = utc("2026-10-18T10:00")
    assert taken(occurred_at=oldest.isoformat()).day == date(2026, 10, 18)
    assert reason(judged(occurred_at=(oldest - TICK).isoformat())) is Reason.TOO_OLD


def test_event_5_minutes_ahead_is_accepted_and_a_microsecond_later_rejected() -> None:
    latest = NOW + 5 * MINUTE
    assert taken(occurred_at=latest.isoformat()).occurred_at == latest
    assert reason(judged(occurred_at=(latest + TICK).isoformat())) is Reason.IN_FUTURE


def test_age_bounds_are_given_by_the_caller() -> None:
    bounds = AgeBounds(oldest=timedelta(hours=1), ahead=timedelta(0))
    assert reason(judged(bounds=bounds, occurred_at=(NOW - HOUR - TICK).isoformat())) is Reason.TOO_OLD
    assert reason(judged(bounds=bounds, occurred_at=(NOW + TICK).isoformat())) is Reason.IN_FUTURE


def test_any_age_is_accepted_without_an_oldest_age() -> None:
    assert taken(bounds=ANY_AGE, occurred_at="1990-06-01T12:00:00Z").day == date(1990, 6, 1)


def test_events_before_the_calendar_are_judged_without_an_oldest_age() -> None:
    outcome = judged(bounds=ANY_AGE, occurred_at="0001-01-01T00:00:00Z")
    assert isinstance(outcome, SpendEvent | Rejection)


@pytest.mark.parametrize(
    ("occurred_at", "day"),
    [
        ("2026-11-22T04:59:59.999999Z", "2026-11-21"),
        ("2026-11-22T05:00:00Z", "2026-11-22"),
        ("2026-11-01T04:30:00Z", "2026-11-01"),
        ("2026-11-02T04:59:00Z", "2026-11-01"),
    ],
)
def test_an_event_counts_on_the_local_day_of_the_brand(occurred_at: str, day: str) -> None:
    assert taken(occurred_at=occurred_at).day == date.fromisoformat(day)


def test_the_same_instant_counts_on_another_day_elsewhere() -> None:
    late = "2026-11-21T18:15:00Z"
    assert taken(occurred_at=late).day == date(2026, 11, 21)
    assert taken(campaign_id=..., platform="meta", external_id="120", occurred_at=late).day == date(2026, 11, 22)


def test_unknown_campaign_is_reported_before_other_faults() -> None:
    assert reason(judged(campaign_id=1, occurred_at="2020-01-01T00:00:00Z")) is Reason.UNKNOWN_CAMPAIGN


# Whatever upstream sends

timestamps = st.builds(
    lambda moment, between, offset: f"{moment:%Y-%m-%d}{between}{moment:%H:%M:%S}{offset}",
    st.datetimes(),
    st.characters(exclude_categories=()),
    st.sampled_from(["", "Z", "+14:00", "-12:00", "+05:45", "+99:00"]),
)


@QUICK
@given(json_values | nearly_good)
def test_any_json_is_read_as_event_or_rejected_unchanged(raw: object) -> None:
    read = read_event(raw)
    outcome = judge_event(read, ACCOUNTS, NOW, BOUNDS) if isinstance(read, SpendDraft) else read
    assert isinstance(outcome, SpendEvent | Rejection)
    assert outcome.payload is raw


@QUICK
@given(timestamps)
def test_any_timestamp_is_judged_within_the_default_bounds(occurred_at: str) -> None:
    read = read_event(raw_event(occurred_at=occurred_at))
    if isinstance(read, SpendDraft):
        assert read.occurred_at == datetime.fromisoformat(occurred_at)
        assert isinstance(judge_event(read, ACCOUNTS, NOW, BOUNDS), SpendEvent | Rejection)
    else:
        assert read.reason in {Reason.MALFORMED, Reason.NO_TIME_ZONE}


@QUICK
@given(
    st.lists(st.tuples(st.integers(-48, 0), st.integers(-500, 1_000)), max_size=8), st.randoms(use_true_random=False)
)
def test_order_of_events_does_not_change_any_judgement(spends: list[tuple[int, int]], order: Random) -> None:
    assert decided_after(spends) == decided_after(order.sample(spends, len(spends)))


def decided_after(spends: list[tuple[int, int]]) -> list[Decision]:
    """The decisions by a daily limit of 1,000 after events that occurred so many hours from now."""
    spent_micros: dict[date, int] = {}
    decisions: list[Decision] = []
    for hours, amount in spends:
        event = taken(occurred_at=(NOW + hours * HOUR).isoformat(), amount_micros=amount)
        spent_micros[event.day] = spent_micros.get(event.day, 0) + event.amount_micros
    for day, micros in sorted(spent_micros.items()):
        facts = campaign(spent(micros, limit=1_000, on=day.isoformat()), zone=NEW_YORK.key)
        decisions.append(decide(facts, local(NEW_YORK.key, f"{day}T12:00")))
    return decisions


# --- details of rejections


def detail(**fields: object) -> str:
    read = read_event(raw_event(**fields))
    assert isinstance(read, Rejection)
    assert read.reason is Reason.MALFORMED
    return read.detail


@pytest.mark.parametrize("text", ["2026-11-22T10:00:00z", "2026-11-22t10:00:00z", "2026-11-22 10:00:00.0z"])
def test_lower_case_z_means_utc(text: str) -> None:
    assert draft(occurred_at=text).occurred_at == datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2016-12-31T23:59:60Z", "2017-01-01T00:59:60.5+01:00", "20161231T235960Z"])
def test_rejection_names_a_leap_second(text: str) -> None:
    assert "is a leap second" in detail(occurred_at=text)


@pytest.mark.parametrize(
    "text", ["2026-11-22T24:00:00Z", "2026-11-22 24:00Z", "20261122T240000z", "2026-11-22T24:00:00.0+01:00"]
)
def test_rejection_of_hour_24_names_the_next_day(text: str) -> None:
    assert detail(occurred_at=text).endswith("must be written as 00:00 of the next day")


def test_other_uses_of_24_and_60_are_not_reported_as_hour_24_or_leap_second() -> None:
    assert draft(occurred_at="2026-11-24T10:24:00Z").occurred_at.minute == 24
    assert "is not an ISO 8601 time" in detail(occurred_at="2026-11-22T24:30:00Z")
    assert "is not an ISO 8601 time" in detail(occurred_at="2026-11-22T10:60:00Z")


def test_empty_currency_is_malformed_with_a_clear_detail() -> None:
    assert detail(currency="") == "currency: is empty; name it, such as USD, or leave it out"


@pytest.mark.parametrize("field", ["source", "currency", "platform", "external_id"])
def test_text_with_a_forbidden_character_is_malformed_and_the_character_named(field: str) -> None:
    fields = {"campaign_id": ..., "platform": "meta", "external_id": "1", field: "a\u202eb"}
    assert detail(**fields) == f"{field}: has U+202E, RIGHT-TO-LEFT OVERRIDE"


MOMENT = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("microsecond", "same"),
    [(123456, True), (123000, True), (123457, False), (124000, False), (122000, False), (0, True), (999999, False)],
)
def test_times_are_equal_at_the_coarser_precision(microsecond: int, same: bool) -> None:
    other = MOMENT.replace(microsecond=microsecond)
    assert is_same_moment(MOMENT, other) is is_same_moment(other, MOMENT) is same


@pytest.mark.parametrize(
    ("fine", "coarse", "same"),
    [
        ("10:00:00.700000", "10:00:01", True),
        ("10:00:00.500000", "10:00:01", True),
        ("10:00:00.499999", "10:00:01", False),
        ("10:00:00.123600", "10:00:00.124", True),
        ("10:00:00.123499", "10:00:00.124", False),
        ("10:00:00.999", "10:00:01", True),
        ("23:59:59.999900", "23:59:59", True),
    ],
)
def test_rounded_time_is_the_time_that_it_rounds(fine: str, coarse: str, same: bool) -> None:
    one, other = (datetime.fromisoformat(f"2026-11-22T{text}Z") for text in (fine, coarse))
    assert is_same_moment(one, other) is is_same_moment(other, one) is same


def test_times_in_different_seconds_differ() -> None:
    assert not is_same_moment(MOMENT.replace(microsecond=499_999), MOMENT.replace(second=1, microsecond=0))
    assert not is_same_moment(MOMENT.replace(microsecond=0), MOMENT.replace(second=1, microsecond=0))
    assert not is_same_moment(MOMENT.replace(microsecond=1000), MOMENT.replace(microsecond=2000))
