"""Spend events and reported totals as upstream sends them: read, judged, and either taken or rejected with a reason."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from domain.money import MAX_AMOUNT_MICROS
from domain.periods import END_INSTANT, FIRST_DAY, FIRST_INSTANT, LAST_DAY, ONE_DAY, day_starts_at, local_day

MAX_EVENTS_PER_MESSAGE: Final = 5_000
MAX_TEXT: Final = 200
MAX_ID: Final = 2**63 - 1


class Reason(StrEnum):
    """Why an input was rejected. A closed list: upstream may switch on it."""

    MALFORMED = "malformed"
    UNKNOWN_CAMPAIGN = "unknown_campaign"
    WRONG_CURRENCY = "wrong_currency"
    NO_TIME_ZONE = "no_time_zone"
    TOO_OLD = "too_old"
    IN_FUTURE = "in_future"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"


class Rejection(NamedTuple):
    """One input that was not taken: the reason, one line of detail for people, and the input whole."""

    reason: Reason
    detail: str
    payload: object


CampaignKey = int | tuple[str, str]
"""How upstream names a campaign: our id, or (platform, external_id)."""


class Account(NamedTuple):
    """A campaign as the judges of its spend know it."""

    campaign_id: int
    brand_id: int
    time_zone: ZoneInfo
    currency: str


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


class TotalDraft(NamedTuple):
    """A well-formed reported total whose campaign has not been looked up yet."""

    source: str
    campaign: CampaignKey
    day: date
    total_micros: int
    as_of: datetime
    currency: str | None
    payload: object


class ReportedTotal(NamedTuple):
    """A cumulative figure for one campaign and day that is taken; `as_of` (UTC) is when the platform held it true."""

    source: str
    brand_id: int
    campaign_id: int
    day: date
    total_micros: int
    as_of: datetime
    time_zone: ZoneInfo
    payload: object


@dataclass(frozen=True, slots=True)
class AgeBounds:
    """How far from now an event may have occurred. `oldest` of None takes any age."""

    oldest: timedelta | None = timedelta(days=35)
    ahead: timedelta = timedelta(minutes=5)


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_BARE_UUID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)


class _Refused(Exception):  # an answer on its way to a Rejection, not an error
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def read_event(raw: object) -> SpendDraft | Rejection:
    """The spend event in a decoded JSON value, by shape alone. Unknown keys are left alone.

    `sequence`, the number a source gives it, is no part of what it says: a retry may carry another.
    """
    try:
        fields = _mapping(raw)
        field = fields.get
        currency, source, numbered = field("currency"), field("source"), field("sequence")
        return SpendDraft(
            _event_id(field("event_id")),
            _campaign(fields),
            _instant("occurred_at", field("occurred_at")),
            _micros("amount_micros", field("amount_micros")),
            None if currency is None else _text("currency", currency),
            "" if source is None else _text("source", source) or "",
            None if numbered is None else _number(numbered, source),
            raw,
        )
    except _Refused as refused:
        return Rejection(refused.reason, refused.detail, raw)


def sequence_of(raw: object) -> tuple[str, int] | None:
    """The source of an input and the number it gave it; None where there is none or it cannot be read."""
    try:
        return _sequence(_mapping(raw))
    except _Refused:
        return None


def judge_event(
    draft: SpendDraft, accounts: Mapping[CampaignKey, Account], at: datetime, bounds: AgeBounds
) -> SpendEvent | Rejection:
    """Takes a draft whose campaign is known, in the brand's currency and within the bounds of age at `at`."""
    (judged,) = judge_events([draft], accounts, at, bounds)
    return judged


def span_of(at: datetime, bounds: AgeBounds) -> tuple[datetime, datetime]:
    """The earliest and the latest moment at which an event may have occurred, seen from `at`."""
    earliest = FIRST_INSTANT if bounds.oldest is None else max(FIRST_INSTANT, at - bounds.oldest)
    return earliest, min(END_INSTANT, at + bounds.ahead)


def judge_events(
    drafts: Iterable[SpendDraft], accounts: Mapping[CampaignKey, Account], at: datetime, bounds: AgeBounds
) -> Iterator[SpendEvent | Rejection]:
    """The same of many drafts, in their order."""
    earliest, latest = span_of(at, bounds)
    for draft in drafts:
        event_id, campaign, occurred_at, amount_micros, currency, source, _, payload = draft
        account = accounts.get(campaign)
        if account is None:
            yield Rejection(Reason.UNKNOWN_CAMPAIGN, f"no campaign {_named(campaign)}", payload)
            continue
        campaign_id, brand_id, zone, billed_in = account
        if currency is not None and currency.upper() != billed_in:
            yield _wrong_currency(currency, billed_in, payload)
        elif occurred_at < earliest:
            yield Rejection(Reason.TOO_OLD, f"occurred before {earliest:%Y-%m-%d %H:%M} UTC", payload)
        elif occurred_at > latest:
            detail = f"occurs over {int(bounds.ahead.total_seconds())} seconds from now"
            yield Rejection(Reason.IN_FUTURE, detail, payload)
        else:
            day = local_day(occurred_at, zone)
            yield SpendEvent(event_id, brand_id, campaign_id, occurred_at, amount_micros, source, day, payload)


def read_total(raw: object) -> TotalDraft | Rejection:
    """The reported total in a decoded JSON value, by shape alone."""
    try:
        fields = _mapping(raw)
        return TotalDraft(
            source=_required("source", fields.get("source")),
            campaign=_campaign(fields),
            day=_day("day", fields.get("day")),
            total_micros=_micros("total_micros", fields.get("total_micros")),
            as_of=_instant("as_of", fields.get("as_of")),
            currency=_text("currency", fields.get("currency")),
            payload=raw,
        )
    except _Refused as refused:
        return Rejection(refused.reason, refused.detail, raw)


def judge_total(
    draft: TotalDraft, accounts: Mapping[CampaignKey, Account], at: datetime, bounds: AgeBounds
) -> ReportedTotal | Rejection:
    """Takes a total whose campaign is known and whose day exists and has begun in the brand's zone."""
    account = _account(draft, accounts)
    if isinstance(account, Rejection):
        return account
    if max(draft.as_of, day_starts_at(draft.day, account.time_zone)) > at + bounds.ahead:
        return Rejection(Reason.IN_FUTURE, "the day or the moment of the figures has not come yet", draft.payload)
    if bounds.oldest is not None and draft.day < local_day(at - bounds.oldest, account.time_zone):
        return Rejection(Reason.TOO_OLD, f"the day is over {bounds.oldest.days} days ago", draft.payload)
    if day_starts_at(draft.day, account.time_zone) == day_starts_at(draft.day + ONE_DAY, account.time_zone):
        return Rejection(Reason.MALFORMED, f"{account.time_zone.key} had no {draft.day}", draft.payload)
    return ReportedTotal(
        source=draft.source,
        brand_id=account.brand_id,
        campaign_id=account.campaign_id,
        day=draft.day,
        total_micros=draft.total_micros,
        as_of=draft.as_of,
        time_zone=account.time_zone,
        payload=draft.payload,
    )


def _account(draft: TotalDraft, accounts: Mapping[CampaignKey, Account]) -> Account | Rejection:
    account = accounts.get(draft.campaign)
    if account is None:
        return Rejection(Reason.UNKNOWN_CAMPAIGN, f"no campaign {_named(draft.campaign)}", draft.payload)
    if draft.currency is not None and draft.currency.upper() != account.currency:
        return _wrong_currency(draft.currency, account.currency, draft.payload)
    return account


def _wrong_currency(currency: str, billed_in: str, payload: object) -> Rejection:
    return Rejection(Reason.WRONG_CURRENCY, f"the brand's currency is {billed_in}, not {currency}", payload)


def moment_of(total: ReportedTotal) -> datetime:
    """The `occurred_at` of a total's difference: its `as_of`, moved into the day that it is about."""
    first = day_starts_at(total.day, total.time_zone)
    last = day_starts_at(total.day + ONE_DAY, total.time_zone) - timedelta(microseconds=1)
    return min(max(total.as_of, first), last)


def _mapping(raw: object) -> Mapping[str, object]:
    if not isinstance(raw, dict):
        raise _Refused(Reason.MALFORMED, f"expected an object, not {type(raw).__name__}")
    return raw


def _event_id(value: object) -> str:
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return value.lower()
        if _BARE_UUID.fullmatch(value):
            return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}".lower()
    raise _Refused(Reason.MALFORMED, "event_id: expected a UUID")


def _campaign(fields: Mapping[str, object]) -> CampaignKey:
    campaign_id = fields.get("campaign_id")
    if campaign_id is not None:
        if type(campaign_id) is int:
            return campaign_id if -MAX_ID <= campaign_id <= MAX_ID else _known_range(campaign_id)
        raise _Refused(Reason.MALFORMED, "campaign_id: expected an integer")
    platform, external_id = fields.get("platform"), fields.get("external_id")
    if isinstance(external_id, int) and not isinstance(external_id, bool):
        external_id = str(_known_range(external_id))
    found = _text("platform", platform), _text("external_id", external_id)
    if found[0] and found[1]:
        return found[0], found[1]
    raise _Refused(Reason.MALFORMED, "campaign_id, or platform and external_id: missing")


def _sequence(fields: Mapping[str, object]) -> tuple[str, int] | None:
    number, source = fields.get("sequence"), fields.get("source")
    return None if number is None else (str(source), _number(number, source))


def _number(number: object, source: object) -> int:
    """What a source numbers an event with."""
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_ID:
        raise _Refused(Reason.MALFORMED, f"sequence: expected an integer from 0 to {MAX_ID}")
    if not _text("source", source):
        raise _Refused(Reason.MALFORMED, "sequence: says nothing without a source")
    return number


def _known_range(number: int) -> int:
    if abs(number) > MAX_ID:
        raise _Refused(Reason.UNKNOWN_CAMPAIGN, "no campaign has an id beyond a bigint")
    return number


def _named(campaign: CampaignKey) -> str:
    return str(campaign) if isinstance(campaign, int) else " ".join(campaign)


def _text(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not is_text(value):
        raise _Refused(Reason.MALFORMED, f"{name}: expected a string of at most {MAX_TEXT} characters")
    return str(value)


def is_text(value: object) -> bool:
    """Whether Postgres can hold it, and it is no longer than a name."""
    return isinstance(value, str) and len(value) <= MAX_TEXT and "\0" not in value and _is_unicode(value)


def _required(name: str, value: object) -> str:
    text = _text(name, value)
    if not text:
        raise _Refused(Reason.MALFORMED, f"{name}: missing")
    return text


def _is_unicode(value: str) -> bool:
    """False for a lone surrogate, which JSON can spell and UTF-8 cannot."""
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _instant(name: str, value: object) -> datetime:
    if not isinstance(value, str) or not value.isprintable():
        raise _Refused(Reason.MALFORMED, f"{name}: expected an ISO 8601 string")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise _Refused(Reason.MALFORMED, f"{name}: {value[:40]!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise _Refused(Reason.NO_TIME_ZONE, f"{name}: {value[:40]} lacks its distance from UTC")
    try:
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except OverflowError:
        raise _Refused(Reason.MALFORMED, f"{name}: {value[:40]} is beyond the calendar") from None


def _day(name: str, value: object) -> date:
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    if day is None or not FIRST_DAY <= day <= LAST_DAY:
        raise _Refused(Reason.MALFORMED, f"{name}: expected a day such as 2026-11-22")
    return day


def _micros(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Refused(Reason.MALFORMED, f"{name}: expected an integer of micros")
    if abs(value) > MAX_AMOUNT_MICROS:
        raise _Refused(Reason.AMOUNT_OUT_OF_RANGE, f"{name}: beyond {MAX_AMOUNT_MICROS} either way")
    return value
