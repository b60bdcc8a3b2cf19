"""Reported totals from upstream: reads each one, checks it against its campaign, then accepts it or rejects it."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from domain.inputs.ages import AgeBounds
from domain.inputs.campaign_names import CampaignKey, CampaignMatch, KnownCampaign, campaign_key_of, owner_on
from domain.inputs.reasons import InvalidInput, Reason, Rejection, check_storable, rejection, wrong_currency
from domain.inputs.values import currency_of, instant_of, micros_of, object_fields, required_text
from domain.periods import FIRST_DAY, LAST_DAY, ONE_DAY, day_starts_at, local_day


class TotalDraft(NamedTuple):
    """A well-formed reported total before its campaign is looked up. `payload` is the input as sent.

    `currency`: None if the total has none.
    """

    source: str
    campaign: CampaignKey
    day: date
    total_micros: int
    as_of: datetime
    currency: str | None
    payload: object


class ReportedTotal(NamedTuple):
    """An accepted cumulative figure for one campaign and day. `as_of` (UTC) is when the platform computed it."""

    source: str
    brand_id: int
    campaign_id: int
    day: date
    total_micros: int
    as_of: datetime
    time_zone: ZoneInfo
    payload: object


def read_total(raw: object) -> TotalDraft | Rejection:
    """Reads a decoded JSON value as a reported total, or returns its Rejection. Ignores unknown keys.

    Checks the form only; `judge_total` checks campaign, currency and age.
    """
    try:
        fields = object_fields(raw)
        draft = TotalDraft(
            source=required_text("source", fields.get("source")),
            campaign=campaign_key_of(fields),
            day=_day("day", fields.get("day")),
            total_micros=micros_of("total_micros", fields.get("total_micros")),
            as_of=instant_of("as_of", fields.get("as_of")),
            currency=currency_of(fields.get("currency")),
            payload=raw,
        )
        check_storable(fields)
    except InvalidInput as error:
        return rejection(error, raw)
    return draft


def judge_total(
    draft: TotalDraft, campaigns: Mapping[CampaignKey, CampaignMatch], at: datetime, bounds: AgeBounds
) -> ReportedTotal | Rejection:
    """Accepts a total, or returns its Rejection. `campaigns`: the campaigns found, by the totals' campaign keys.

    One campaign must own the name on the total's day, a given currency must be the brand's, and the day must exist in
    the brand's time zone. The day's start and `as_of` may be at most `bounds.ahead` after `at`, and the day must not be
    too old by `bounds`.
    """
    campaign = _campaign(draft, campaigns)
    if isinstance(campaign, Rejection):
        return campaign
    if max(draft.as_of, day_starts_at(draft.day, campaign.time_zone)) > at + bounds.ahead:
        return Rejection(Reason.IN_FUTURE, "the day or as_of is in the future", draft.payload)
    if bounds.oldest is not None and draft.day < local_day(at - bounds.oldest, campaign.time_zone):
        return Rejection(Reason.TOO_OLD, f"the day is more than {bounds.oldest.days} days ago", draft.payload)
    if day_starts_at(draft.day, campaign.time_zone) == day_starts_at(draft.day + ONE_DAY, campaign.time_zone):
        return Rejection(Reason.MALFORMED, f"{campaign.time_zone.key} skipped the day {draft.day}", draft.payload)
    total = ReportedTotal(
        source=draft.source,
        brand_id=campaign.brand_id,
        campaign_id=campaign.campaign_id,
        day=draft.day,
        total_micros=draft.total_micros,
        as_of=draft.as_of,
        time_zone=campaign.time_zone,
        payload=draft.payload,
    )
    if moment_of(total) < bounds.earliest:
        return Rejection(
            Reason.TOO_OLD,
            f"the total is older than the ledger, which begins at {bounds.earliest:%Y-%m-%d %H:%M} UTC",
            draft.payload,
        )
    return total


def _campaign(draft: TotalDraft, campaigns: Mapping[CampaignKey, CampaignMatch]) -> KnownCampaign | Rejection:
    try:
        campaign = owner_on(draft.campaign, campaigns, lambda _: draft.day)
    except InvalidInput as error:
        return Rejection(error.reason, error.detail, draft.payload)
    if draft.currency is not None and draft.currency.upper() != campaign.currency:
        return wrong_currency(draft.currency, campaign.currency, draft.payload)
    return campaign


def moment_of(total: ReportedTotal) -> datetime:
    """The `occurred_at` of the spend event made from a total: its `as_of`, moved into the total's day if outside."""
    return clamped_to_day(total.as_of, total.day, total.time_zone)


def clamped_to_day(at: datetime, day: date, zone: ZoneInfo) -> datetime:
    """The instant of the local `day` in `zone` nearest to `at`: `at` itself, or the day's first or last microsecond."""
    first = day_starts_at(day, zone)
    last = day_starts_at(day + ONE_DAY, zone) - timedelta(microseconds=1)
    return min(max(at, first), last)


def _day(name: str, value: object) -> date:
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    if day is None or not FIRST_DAY <= day <= LAST_DAY:
        raise InvalidInput(Reason.MALFORMED, f"{name}: expected a day such as 2026-11-22")
    return day
