"""The campaign that an external id means on a day: by account, by past owners, and by the brands the sender may see."""

from collections.abc import Mapping
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from domain.inputs.campaign_names import (
    CampaignKey,
    CampaignMatch,
    Claim,
    Claims,
    KnownCampaign,
    campaign_key_of,
    owner_on,
)
from domain.inputs.reasons import InvalidInput, Reason
from domain.inputs.spend import judge_event, read_event
from tests.domain.inputs.messages import BOUNDS, NOW, raw_event, reason

UTC, TOKYO = ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo")
NAME = ("meta_ads", "120")
OLD, NEW, OTHER = (KnownCampaign(number, number, UTC, "USD") for number in (1, 2, 3))
DAY, NEXT_DAY = date(2026, 6, 16), date(2026, 6, 17)


def claim(account: int, campaign: KnownCampaign | None, until_day: date = date.max, zone: ZoneInfo = UTC) -> Claim:
    return Claim(account, until_day, zone, campaign)


def known(*claims: Claim) -> Mapping[CampaignKey, CampaignMatch]:
    return {NAME: Claims(claims)}


def on(day: date, *claims: Claim) -> KnownCampaign:
    return owner_on(NAME, known(*claims), lambda _: day)


def refusal(day: date, *claims: Claim) -> Reason:
    with pytest.raises(InvalidInput) as refused:
        on(day, *claims)
    return refused.value.reason


def test_released_id_belongs_to_the_old_campaign_before_until_day_and_to_the_new_one_from_then() -> None:
    claims = claim(1, NEW), claim(1, OLD, NEXT_DAY)
    assert on(DAY, *claims) is OLD
    assert on(NEXT_DAY, *claims) is NEW


def test_released_id_without_a_new_owner_is_unknown_from_until_day_on() -> None:
    assert on(DAY, claim(1, OLD, NEXT_DAY)) is OLD
    assert refusal(NEXT_DAY, claim(1, OLD, NEXT_DAY)) is Reason.UNKNOWN_CAMPAIGN


def test_id_in_two_accounts_is_ambiguous_on_days_that_both_own() -> None:
    claims = claim(1, OLD, NEXT_DAY), claim(2, OTHER)
    assert refusal(DAY, *claims) is Reason.AMBIGUOUS_CAMPAIGN
    assert on(NEXT_DAY, *claims) is OTHER


def test_one_campaign_in_two_accounts_is_not_ambiguous() -> None:
    assert on(DAY, claim(1, OLD, NEXT_DAY), claim(2, OLD, NEXT_DAY), claim(2, NEW)) is OLD


def test_invisible_campaign_neither_hides_another_nor_is_found() -> None:
    assert on(DAY, claim(1, None), claim(2, NEW)) is NEW
    assert refusal(DAY, claim(1, None, NEXT_DAY), claim(1, NEW)) is Reason.UNKNOWN_CAMPAIGN


def test_event_counts_for_the_old_campaign_while_its_brands_local_day_is_before_until_day() -> None:
    claims = known(claim(1, OLD, date(2026, 11, 23), TOKYO), claim(1, NEW))
    for at, campaign in (("2026-11-22T14:59:59Z", 1), ("2026-11-22T15:00:00Z", 2)):
        draft = read_event(raw_event(campaign_id=..., platform="meta", external_id="120", occurred_at=at))
        taken = judge_event(draft, claims, NOW.replace(hour=20), BOUNDS)  # type: ignore[arg-type]  # it is well-formed
        assert taken.campaign_id == campaign  # type: ignore[union-attr]  # taken


def test_account_is_part_of_the_campaign_key() -> None:
    fields = {"platform": "meta", "external_id": 120}
    assert campaign_key_of(fields | {"account": 555}) == ("meta_ads", "120", "555")
    assert campaign_key_of(fields | {"account": None}) == campaign_key_of(fields | {"account": ""}) == NAME
    assert campaign_key_of(fields | {"account": "555", "campaign_id": 7}) == 7
    odd_ones: tuple[object, ...] = (True, 5.5, [], "x" * 201, "\ud800")
    for odd in odd_ones:
        assert reason(read_event(raw_event(campaign_id=..., **fields, account=odd))) is Reason.MALFORMED
