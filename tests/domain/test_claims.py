"""Which campaign a platform's id means on a day: by account, by who held it until when, and by what the sender sees."""

from collections.abc import Mapping
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from domain.inputs import (
    CampaignKey,
    CampaignMatch,
    Claim,
    Claims,
    InvalidInput,
    KnownCampaign,
    Reason,
    campaign_of,
    campaign_on,
)
from domain.spend import judge_event, read_event
from tests.domain.messages import BOUNDS, NOW, raw_event, reason

UTC, TOKYO = ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo")
NAME = ("meta", "120")
OLD, NEW, OTHER = (KnownCampaign(number, number, UTC, "USD") for number in (1, 2, 3))
DAY, NEXT_DAY = date(2026, 6, 16), date(2026, 6, 17)


def claim(account: int, campaign: KnownCampaign | None, until_day: date = date.max, zone: ZoneInfo = UTC) -> Claim:
    return Claim(account, until_day, zone, campaign)


def known(*claims: Claim) -> Mapping[CampaignKey, CampaignMatch]:
    return {NAME: Claims(claims)}


def on(day: date, *claims: Claim) -> KnownCampaign:
    return campaign_on(NAME, known(*claims), lambda _: day)


def refusal(day: date, *claims: Claim) -> Reason:
    with pytest.raises(InvalidInput) as refused:
        on(day, *claims)
    return refused.value.reason


def test_a_released_id_is_the_old_campaigns_before_its_last_day_and_the_new_ones_from_then_on() -> None:
    claims = claim(1, NEW), claim(1, OLD, NEXT_DAY)
    assert on(DAY, *claims) is OLD
    assert on(NEXT_DAY, *claims) is NEW


def test_a_released_id_that_nobody_took_is_unknown_from_its_last_day_on() -> None:
    assert on(DAY, claim(1, OLD, NEXT_DAY)) is OLD
    assert refusal(NEXT_DAY, claim(1, OLD, NEXT_DAY)) is Reason.UNKNOWN_CAMPAIGN


def test_campaigns_of_two_accounts_are_ambiguous_on_days_that_both_hold() -> None:
    claims = claim(1, OLD, NEXT_DAY), claim(2, OTHER)
    assert refusal(DAY, *claims) is Reason.AMBIGUOUS_CAMPAIGN
    assert on(NEXT_DAY, *claims) is OTHER


def test_one_campaign_in_two_accounts_is_not_ambiguous() -> None:
    assert on(DAY, claim(1, OLD, NEXT_DAY), claim(2, OLD, NEXT_DAY), claim(2, NEW)) is OLD


def test_a_campaign_that_the_sender_may_not_see_hides_no_other_and_is_not_named() -> None:
    assert on(DAY, claim(1, None), claim(2, NEW)) is NEW
    assert refusal(DAY, claim(1, None, NEXT_DAY), claim(1, NEW)) is Reason.UNKNOWN_CAMPAIGN


def test_an_event_belongs_to_the_old_campaign_while_its_own_wall_clock_shows_an_earlier_day() -> None:
    claims = known(claim(1, OLD, date(2026, 11, 23), TOKYO), claim(1, NEW))
    for at, campaign in (("2026-11-22T14:59:59Z", 1), ("2026-11-22T15:00:00Z", 2)):
        draft = read_event(raw_event(campaign_id=..., platform="meta", external_id="120", occurred_at=at))
        taken = judge_event(draft, claims, NOW.replace(hour=20), BOUNDS)  # type: ignore[arg-type]  # it is well-formed
        assert taken.campaign_id == campaign  # type: ignore[union-attr]  # taken


def test_an_account_is_part_of_the_name() -> None:
    fields = {"platform": "meta", "external_id": 120}
    assert campaign_of(fields | {"account": 555}) == ("meta", "120", "555")
    assert campaign_of(fields | {"account": None}) == campaign_of(fields | {"account": ""}) == NAME
    assert campaign_of(fields | {"account": "555", "campaign_id": 7}) == 7
    odd_ones: tuple[object, ...] = (True, 5.5, [], "x" * 201, "\ud800")
    for odd in odd_ones:
        assert reason(read_event(raw_event(campaign_id=..., **fields, account=odd))) is Reason.MALFORMED
