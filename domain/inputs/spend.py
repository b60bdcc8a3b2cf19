"""Spend events from upstream: reads each one, checks it against its campaign, then accepts it or rejects it.

Most batches are read by `domain.inputs.columns` instead, as columns. Add each check there too, and a value that it
refuses to `ODD` in tests/domain/inputs/test_columns.py, which compares the two modules.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import NamedTuple

from domain.inputs.ages import AgeBounds, accepted_span
from domain.inputs.campaign_names import CampaignKey, CampaignMatch, KnownCampaign, campaign_key_of, owner_on
from domain.inputs.reasons import InvalidInput, Reason, Rejection, check_storable, rejection, wrong_currency
from domain.inputs.values import currency_of, event_id_of, instant_of, micros_of, number_of, object_fields, text_of
from domain.periods import END_INSTANT, FIRST_INSTANT, local_day


class SpendDraft(NamedTuple):
    """A well-formed spend event before its campaign is looked up. `payload` is the input as sent.

    `currency`, `sequence`: None if the event has none.
    """

    event_id: str
    campaign: CampaignKey
    occurred_at: datetime
    amount_micros: int
    currency: str | None
    source: str
    sequence: int | None
    payload: object


class SpendEvent(NamedTuple):
    """An accepted spend event. `occurred_at` is in UTC, `day` its day in the brand's time zone, `payload` the input."""

    event_id: str
    brand_id: int
    campaign_id: int
    occurred_at: datetime
    amount_micros: int
    source: str
    day: date
    payload: object


def read_event(raw: object) -> SpendDraft | Rejection:
    """Reads a decoded JSON value as a spend event, or returns its Rejection. Ignores unknown keys.

    Checks the form only; `judge_event` checks campaign, currency and age. `sequence` is not part of the event's
    content: a retry of the event may carry another number.
    """
    try:
        fields = object_fields(raw)
        field = fields.get
        currency, source, numbered = field("currency"), field("source"), field("sequence")
        draft = SpendDraft(
            event_id_of(field("event_id")),
            campaign_key_of(fields),
            instant_of("occurred_at", field("occurred_at")),
            micros_of("amount_micros", field("amount_micros")),
            None if currency is None else currency_of(currency),
            "" if source is None else text_of("source", source) or "",
            None if numbered is None else number_of(numbered, source),
            raw,
        )
        check_storable(fields)
    except InvalidInput as error:
        return rejection(error, raw)
    return draft


def sequence_of(raw: object) -> tuple[str, int] | None:
    """The (source, sequence number) of an input; None if it has no number, or number or source is invalid."""
    try:
        return _sequence(object_fields(raw))
    except InvalidInput:
        return None


def judge_event(
    draft: SpendDraft, campaigns: Mapping[CampaignKey, CampaignMatch], at: datetime, bounds: AgeBounds
) -> SpendEvent | Rejection:
    """Accepts a draft, or returns its Rejection. `campaigns`: the campaigns found, by the drafts' campaign keys.

    One campaign must own the name on the day of `occurred_at`, a given currency must be the brand's, and the age at
    `at` must be within `bounds`.
    """
    (judged,) = judge_events([draft], campaigns, at, bounds)
    return judged


def judge_events(
    drafts: Iterable[SpendDraft], campaigns: Mapping[CampaignKey, CampaignMatch], at: datetime, bounds: AgeBounds
) -> Iterator[SpendEvent | Rejection]:
    """Yields, in order, each draft as a SpendEvent if `judge_event` would accept it, else as a Rejection.

    `campaigns`: the campaigns found, by the drafts' campaign keys.
    """
    earliest, latest = accepted_span(at, bounds)
    for draft in drafts:
        event_id, key, occurred_at, amount_micros, currency, source, _, payload = draft
        match = campaigns.get(key)
        campaign = match if isinstance(match, KnownCampaign) else _on_its_day(draft, campaigns)
        if isinstance(campaign, Rejection):
            yield campaign
            continue
        campaign_id, brand_id, zone, billed_in = campaign
        if currency is not None and currency.upper() != billed_in:
            yield wrong_currency(currency, billed_in, payload)
        elif occurred_at < earliest:
            yield Rejection(Reason.TOO_OLD, f"occurred before {earliest:%Y-%m-%d %H:%M} UTC", payload)
        elif occurred_at > latest:
            detail = f"occurs more than {int(bounds.ahead.total_seconds())} seconds from now"
            yield Rejection(Reason.IN_FUTURE, detail, payload)
        else:
            day = local_day(occurred_at, zone)
            yield SpendEvent(event_id, brand_id, campaign_id, occurred_at, amount_micros, source, day, payload)


def _on_its_day(draft: SpendDraft, campaigns: Mapping[CampaignKey, CampaignMatch]) -> KnownCampaign | Rejection:
    """The campaign that owns the draft's external id on the day of `occurred_at`, or the draft's Rejection."""
    occurred_at = min(max(draft.occurred_at, FIRST_INSTANT), END_INSTANT)
    try:
        return owner_on(draft.campaign, campaigns, lambda zone: local_day(occurred_at, zone))
    except InvalidInput as error:
        return Rejection(error.reason, error.detail, draft.payload)


def _sequence(fields: Mapping[str, object]) -> tuple[str, int] | None:
    number, source = fields.get("sequence"), fields.get("source")
    return None if number is None else (str(source), number_of(number, source))
