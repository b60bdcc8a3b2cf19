"""Spend events as upstream sends them: read, judged, and either taken or rejected with a reason."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import NamedTuple

from domain.inputs import (
    Account,
    AgeBounds,
    CampaignKey,
    Known,
    Reason,
    Refused,
    Rejection,
    campaign_of,
    campaign_on,
    check_held,
    currency_of,
    event_id_of,
    instant_of,
    mapping_of,
    micros_of,
    number_of,
    rejection,
    span_of,
    text_of,
    wrong_currency,
)
from domain.periods import END_INSTANT, FIRST_INSTANT, local_day


class SpendDraft(NamedTuple):
    """A well-formed spend event whose campaign has not been looked up yet."""

    event_id: str
    campaign: CampaignKey
    occurred_at: datetime
    amount_micros: int
    currency: str | None
    source: str
    sequence: int | None
    payload: object


class SpendEvent(NamedTuple):
    """A spend event that is taken: an immutable fact. `day` is the brand's local day of `occurred_at` (UTC)."""

    event_id: str
    brand_id: int
    campaign_id: int
    occurred_at: datetime
    amount_micros: int
    source: str
    day: date
    payload: object


def read_event(raw: object) -> SpendDraft | Rejection:
    """The spend event in a decoded JSON value, by shape alone. Unknown keys are left alone.

    `sequence`, the number a source gives it, is no part of what it says: a retry may carry another.
    """
    try:
        fields = mapping_of(raw)
        field = fields.get
        currency, source, numbered = field("currency"), field("source"), field("sequence")
        draft = SpendDraft(
            event_id_of(field("event_id")),
            campaign_of(fields),
            instant_of("occurred_at", field("occurred_at")),
            micros_of("amount_micros", field("amount_micros")),
            None if currency is None else currency_of(currency),
            "" if source is None else text_of("source", source) or "",
            None if numbered is None else number_of(numbered, source),
            raw,
        )
        check_held(fields)
    except Refused as refused:
        return rejection(refused, raw)
    return draft


def sequence_of(raw: object) -> tuple[str, int] | None:
    """The source of an input and the number it gave it; None where there is none or it cannot be read."""
    try:
        return _sequence(mapping_of(raw))
    except Refused:
        return None


def judge_event(
    draft: SpendDraft, accounts: Mapping[CampaignKey, Known], at: datetime, bounds: AgeBounds
) -> SpendEvent | Rejection:
    """Takes a draft whose campaign is known, in the brand's currency and within the bounds of age at `at`."""
    (judged,) = judge_events([draft], accounts, at, bounds)
    return judged


def judge_events(
    drafts: Iterable[SpendDraft], accounts: Mapping[CampaignKey, Known], at: datetime, bounds: AgeBounds
) -> Iterator[SpendEvent | Rejection]:
    """The same of many drafts, in their order."""
    earliest, latest = span_of(at, bounds)
    for draft in drafts:
        event_id, campaign, occurred_at, amount_micros, currency, source, _, payload = draft
        found = accounts.get(campaign)
        account = found if isinstance(found, Account) else _on_its_day(draft, accounts)
        if isinstance(account, Rejection):
            yield account
            continue
        campaign_id, brand_id, zone, billed_in = account
        if currency is not None and currency.upper() != billed_in:
            yield wrong_currency(currency, billed_in, payload)
        elif occurred_at < earliest:
            yield Rejection(Reason.TOO_OLD, f"occurred before {earliest:%Y-%m-%d %H:%M} UTC", payload)
        elif occurred_at > latest:
            detail = f"occurs over {int(bounds.ahead.total_seconds())} seconds from now"
            yield Rejection(Reason.IN_FUTURE, detail, payload)
        else:
            day = local_day(occurred_at, zone)
            yield SpendEvent(event_id, brand_id, campaign_id, occurred_at, amount_micros, source, day, payload)


def _on_its_day(draft: SpendDraft, accounts: Mapping[CampaignKey, Known]) -> Account | Rejection:
    """The campaign that the draft's name means on the day of `occurred_at`."""
    occurred_at = min(max(draft.occurred_at, FIRST_INSTANT), END_INSTANT)
    try:
        return campaign_on(draft.campaign, accounts, lambda zone: local_day(occurred_at, zone))
    except Refused as refused:
        return Rejection(refused.reason, refused.detail, draft.payload)


def _sequence(fields: Mapping[str, object]) -> tuple[str, int] | None:
    number, source = fields.get("sequence"), fields.get("source")
    return None if number is None else (str(source), number_of(number, source))
