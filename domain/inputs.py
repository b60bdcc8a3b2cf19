"""Rules shared by all inputs from upstream: how fields are read, which campaign and age they name, why they fail.

The functions that read a field raise InvalidInput, with a reason code and a detail, for an invalid value.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from domain.json_text import FlawedObject, UnstorableValue
from domain.money import MAX_AMOUNT_MICROS
from domain.periods import END_INSTANT, FIRST_INSTANT
from domain.text import fault_of

MAX_EVENTS_PER_MESSAGE: Final = 5_000
MAX_TEXT: Final = 200
MAX_ID: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_SEQUENCE: Final = 2**53 - 1
"""The largest sequence number. JavaScript and other programs read larger JSON integers inexactly."""


class Reason(StrEnum):
    """The reason codes of rejected inputs. Upstream programs may rely on this list being complete."""

    MALFORMED = "malformed"
    UNKNOWN_CAMPAIGN = "unknown_campaign"
    AMBIGUOUS_CAMPAIGN = "ambiguous_campaign"
    WRONG_CURRENCY = "wrong_currency"
    NO_TIME_ZONE = "no_time_zone"
    TOO_OLD = "too_old"
    IN_FUTURE = "in_future"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    CONFLICTING_DUPLICATE = "conflicting_duplicate"


class Rejection(NamedTuple):
    """A rejected input: the reason code, one line of detail for people, and the input itself, unchanged."""

    reason: Reason
    detail: str
    payload: object


CampaignKey = int | tuple[str, str] | tuple[str, str, str]
"""How upstream names a campaign: Spendgate's id, (platform, external_id), or (platform, external_id, account)."""


class KnownCampaign(NamedTuple):
    """A campaign with the brand facts needed to judge its spend."""

    campaign_id: int
    brand_id: int
    time_zone: ZoneInfo
    currency: str


class Claim(NamedTuple):
    """A campaign that owns an external id within one platform account on all days before `until_day`.

    Days are local to `time_zone`, the zone of the campaign's brand. `campaign` is None if the sender may not see it.
    """

    platform_account_id: int
    until_day: date
    time_zone: ZoneInfo
    campaign: KnownCampaign | None


class Claims(NamedTuple):
    """All claims on one external id: by several campaigns, in one account or several, current or past."""

    claims: tuple[Claim, ...]

    def on(self, day_in: Callable[[ZoneInfo], date]) -> list[KnownCampaign]:
        """The campaigns that own the id on a day, in id order. `day_in` returns that day in a given time zone.

        In each account the claim that ends first after that day counts. A campaign found in several accounts is
        returned once.
        """
        first: dict[int, Claim] = {}
        for claim in sorted(self.claims, key=lambda claim: claim.until_day):
            if day_in(claim.time_zone) < claim.until_day:
                first.setdefault(claim.platform_account_id, claim)
        campaigns = {claim.campaign for claim in first.values() if claim.campaign}
        return sorted(campaigns, key=lambda campaign: campaign.campaign_id)

    def campaigns(self) -> set[KnownCampaign]:
        """All visible campaigns that own the id on some day."""
        return {claim.campaign for claim in self.claims if claim.campaign}


CampaignMatch = KnownCampaign | Claims
"""The result of looking up a CampaignKey: one campaign for every day, or claims that depend on day and account."""


def is_held_now(match: CampaignMatch | None) -> bool:
    """Whether a campaign owns the looked-up name today. False for names owned only in the past, and for None."""
    return match is not None and (
        isinstance(match, KnownCampaign) or any(claim.until_day == date.max for claim in match.claims)
    )


def campaigns_of(matches: Iterable[CampaignMatch]) -> Iterator[KnownCampaign]:
    """Yields every campaign in the matches."""
    for match in matches:
        if isinstance(match, KnownCampaign):
            yield match
        else:
            yield from match.campaigns()


@dataclass(frozen=True, slots=True)
class AgeBounds:
    """How old, and how far ahead of now, an event may be.

    `oldest` None accepts any age. Nothing before the instant `earliest` is accepted.
    """

    oldest: timedelta | None = timedelta(days=35)
    ahead: timedelta = timedelta(minutes=5)
    earliest: datetime = FIRST_INSTANT


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_BARE_UUID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)


LEAP_SECOND: Final = "is a leap second, which Spendgate does not support; send second 59 or the next minute's 00"
_HOUR_24 = re.compile(r"\d{4}-?\d\d-?\d\d\D24(?::?00)*(?:[.,]0+)?(?:[Zz+-]|$)")
_SECOND_60 = re.compile(r"\d{4}-?\d\d-?\d\d\D\d\d:?\d\d:?60")


class InvalidInput(Exception):
    """An input is invalid: `reason` is the code it is rejected with, `detail` one line for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def rejection(error: InvalidInput, raw: object) -> Rejection:
    """The rejection of the input `raw`. Its detail also names values that could only be stored as text."""
    flaws = [flaw for flaw in raw.flaws if flaw not in error.detail] if isinstance(raw, FlawedObject) else []
    return Rejection(error.reason, "; ".join([error.detail, *flaws]), raw)


def check_storable(fields: Mapping[str, object]) -> None:
    """Raises InvalidInput if any field, unused ones too, has a value that Python or Postgres cannot store."""
    if isinstance(fields, FlawedObject):
        raise InvalidInput(Reason.MALFORMED, "; ".join(fields.flaws))


def accepted_span(at: datetime, bounds: AgeBounds) -> tuple[datetime, datetime]:
    """The earliest and the latest `occurred_at` that are accepted at the instant `at`."""
    earliest = bounds.earliest if bounds.oldest is None else max(bounds.earliest, at - bounds.oldest)
    return earliest, min(END_INSTANT, at + bounds.ahead)


def wrong_currency(currency: str, billed_in: str, payload: object) -> Rejection:
    """The rejection of an input whose `currency` differs from the brand's currency `billed_in`."""
    return Rejection(Reason.WRONG_CURRENCY, f"the brand's currency is {billed_in}, not {currency}", payload)


def campaign_on(
    campaign: CampaignKey, known: Mapping[CampaignKey, CampaignMatch], day_in: Callable[[ZoneInfo], date]
) -> KnownCampaign:
    """The campaign that owns the name `campaign` on a day; `day_in` returns that day in a given time zone.

    Raises InvalidInput if no campaign owns the name then, or several do.
    """
    match = known.get(campaign)
    if isinstance(match, KnownCampaign):
        return match
    owners = match.on(day_in) if match else []
    if len(owners) > 1:
        ids = ", ".join(str(owner.campaign_id) for owner in owners)
        detail = f"{named(campaign)} is campaigns {ids} in different accounts; send account or campaign_id too"
        raise InvalidInput(Reason.AMBIGUOUS_CAMPAIGN, detail)
    if not owners:
        raise InvalidInput(Reason.UNKNOWN_CAMPAIGN, f"no campaign {named(campaign)}")
    return owners[0]


def object_fields(raw: object) -> Mapping[str, object]:
    """The input as a JSON object. Raises InvalidInput for any other JSON value."""
    if not isinstance(raw, dict):
        raise InvalidInput(Reason.MALFORMED, f"expected an object, not {_kind_of(raw)}")
    return raw


def _kind_of(raw: object) -> str:
    """The JSON type of a decoded value that is not an object, such as `an array`."""
    kinds = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(raw), "a number")


def event_id_of(value: object) -> str:
    """The event id as a UUID in lower case with hyphens. Raises InvalidInput for anything else."""
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return value.lower()
        if _BARE_UUID.fullmatch(value):
            return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}".lower()
    raise InvalidInput(Reason.MALFORMED, "event_id: expected a UUID")


def campaign_of(fields: Mapping[str, object]) -> CampaignKey:
    """The campaign key in the fields: `campaign_id` if given, else `platform`, `external_id` and optional `account`."""
    campaign_id = fields.get("campaign_id")
    if campaign_id is not None:
        if type(campaign_id) is int:
            return _within_bigint(campaign_id)
        if isinstance(campaign_id, UnstorableValue) and campaign_id.is_integer:
            raise _id_too_large()
        raise InvalidInput(Reason.MALFORMED, "campaign_id: expected an integer")
    platform, external_id = fields.get("platform"), fields.get("external_id")
    if isinstance(external_id, int) and not isinstance(external_id, bool):
        external_id = str(_within_bigint(external_id))
    account = fields.get("account")
    if isinstance(account, int) and not isinstance(account, bool):
        account = str(_within_bigint(account))
    name = text_of("platform", platform), text_of("external_id", external_id), text_of("account", account)
    if name[0] and name[1]:
        return (name[0], name[1], name[2]) if name[2] else (name[0], name[1])
    raise InvalidInput(Reason.MALFORMED, "campaign_id, or platform and external_id: missing")


def number_of(number: object, source: object) -> int:
    """The event's sequence number. Raises InvalidInput outside 0 to MAX_SEQUENCE, and for an event without source."""
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_SEQUENCE:
        raise InvalidInput(Reason.MALFORMED, f"sequence: expected an integer from 0 to {MAX_SEQUENCE}")
    if not text_of("source", source):
        raise InvalidInput(Reason.MALFORMED, "sequence: needs a source")
    return number


def _within_bigint(number: int) -> int:
    if abs(number) > MAX_ID:
        raise _id_too_large()
    return number


def _id_too_large() -> InvalidInput:
    return InvalidInput(Reason.UNKNOWN_CAMPAIGN, "no campaign has an id beyond 64 bits")


def named(campaign: CampaignKey) -> str:
    """The campaign key as text for messages: `17`, or `google_ads 123`."""
    return str(campaign) if isinstance(campaign, int) else " ".join(campaign)


def text_of(name: str, value: object) -> str | None:
    """The field `name` as a string of at most MAX_TEXT characters, possibly empty; None if the value is None.

    Raises InvalidInput for another type, a longer string, or characters that `domain.text` forbids.
    """
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise InvalidInput(Reason.MALFORMED, f"{name}: expected a string of at most {MAX_TEXT} characters")
    if value and (fault := fault_of(value)):
        raise InvalidInput(Reason.MALFORMED, f"{name}: {fault}")
    return value


def currency_of(value: object) -> str | None:
    """The currency code as sent, in any case; None if absent. The caller compares it with the brand's currency.

    Raises InvalidInput for an empty string or a value that is no text.
    """
    if value == "":
        raise InvalidInput(Reason.MALFORMED, "currency: is empty; name it, such as USD, or leave it out")
    return text_of("currency", value)


def is_text(value: object) -> bool:
    """Whether `text_of` accepts the value."""
    return isinstance(value, str) and len(value) <= MAX_TEXT and (not value or fault_of(value) is None)


def required_text(name: str, value: object) -> str:
    """The field `name` as a string of 1 to MAX_TEXT characters. Raises InvalidInput if it is missing or invalid."""
    text = text_of(name, value)
    if not text:
        raise InvalidInput(Reason.MALFORMED, f"{name}: missing")
    return text


def instant_of(name: str, value: object) -> datetime:
    """The field `name`, an ISO 8601 time with UTC offset, converted to UTC. A final `z` means `Z`, as in RFC 3339.

    Raises InvalidInput for other values, 24:00, leap seconds and times without offset.
    """
    if not isinstance(value, str) or not value.isprintable():
        raise InvalidInput(Reason.MALFORMED, f"{name}: expected an ISO 8601 string")
    if _HOUR_24.match(value):
        raise InvalidInput(Reason.MALFORMED, f"{name}: {value[:40]!r} must be written as 00:00 of the next day")
    try:
        moment = datetime.fromisoformat(f"{value[:-1]}Z" if value[-1:] == "z" else value)
    except ValueError:
        fault = LEAP_SECOND if _SECOND_60.match(value) else "is not an ISO 8601 time"
        raise InvalidInput(Reason.MALFORMED, f"{name}: {value[:40]!r} {fault}") from None
    if moment.tzinfo is None:
        raise InvalidInput(Reason.NO_TIME_ZONE, f"{name}: {value[:40]} has no UTC offset")
    try:
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(Reason.MALFORMED, f"{name}: {value[:40]} is outside the years 1 to 9999 in UTC") from None


def is_same_moment(one: datetime, other: datetime) -> bool:
    """Whether two times may be one moment sent at different precision: equal after truncation to the coarser one.

    A time without a fraction counts as truncated to seconds, one with three digits to milliseconds.
    """
    step = max(_precision(one), _precision(other))
    return (one - _EPOCH) // step == (other - _EPOCH) // step


def _precision(moment: datetime) -> timedelta:
    """The precision of a moment: one second, millisecond or microsecond, the coarsest that represents it exactly."""
    if moment.microsecond % 1000:
        return timedelta(microseconds=1)
    return timedelta(milliseconds=1) if moment.microsecond else timedelta(seconds=1)


def micros_of(name: str, value: object) -> int:
    """The field `name` as integer micros, at most MAX_AMOUNT_MICROS of either sign. Raises InvalidInput otherwise."""
    is_huge = isinstance(value, UnstorableValue) and value.is_integer
    if is_huge or (type(value) is int and abs(value) > MAX_AMOUNT_MICROS):
        raise InvalidInput(
            Reason.AMOUNT_OUT_OF_RANGE, f"{name}: must be between -{MAX_AMOUNT_MICROS} and {MAX_AMOUNT_MICROS}"
        )
    if type(value) is not int:
        raise InvalidInput(Reason.MALFORMED, f"{name}: expected an integer of micros")
    return value
