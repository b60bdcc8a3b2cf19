"""What every input from upstream has: fields to be read with care, a campaign, an age, and reasons to be rejected.

Whoever reads a field here raises Refused for what the field may not be.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from domain.json_text import Flawed, Unheld
from domain.money import MAX_AMOUNT_MICROS
from domain.periods import END_INSTANT, FIRST_INSTANT
from domain.text import fault_of

MAX_EVENTS_PER_MESSAGE: Final = 5_000
MAX_TEXT: Final = 200
MAX_ID: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_SEQUENCE: Final = 2**53 - 1
"""Beyond it JSON numbers of some programs, JavaScript's for one, are no longer exact."""


class Reason(StrEnum):
    """Why an input was rejected. A closed list: upstream may switch on it."""

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
    """One input that was not taken: the reason, one line of detail for people, and the input whole."""

    reason: Reason
    detail: str
    payload: object


CampaignKey = int | tuple[str, str] | tuple[str, str, str]
"""How upstream names a campaign: our id, (platform, external_id), or (platform, external_id, account)."""


class Account(NamedTuple):
    """A campaign as the judges of its spend know it."""

    campaign_id: int
    brand_id: int
    time_zone: ZoneInfo
    currency: str


class Claim(NamedTuple):
    """A campaign that holds an external id within one platform account, for the days before `until_day`.

    Days are those of `time_zone`, the zone of the campaign's brand. `campaign` is None where the sender may not see it.
    """

    platform_account_id: int
    until_day: date
    time_zone: ZoneInfo
    campaign: Account | None


class Claims(NamedTuple):
    """Every campaign that one name means, in one account or several, now or on days that are over."""

    held: tuple[Claim, ...]

    def on(self, day_in: Callable[[ZoneInfo], date]) -> list[Account]:
        """The campaigns that hold the id on a day; `day_in` says which day that is in a zone.

        Within an account the first claim that has not ended by then counts. Several accounts may mean one campaign.
        """
        first: dict[int, Claim] = {}
        for claim in sorted(self.held, key=lambda claim: claim.until_day):
            if day_in(claim.time_zone) < claim.until_day:
                first.setdefault(claim.platform_account_id, claim)
        return sorted({claim.campaign for claim in first.values() if claim.campaign}, key=lambda one: one.campaign_id)

    def campaigns(self) -> set[Account]:
        """Those that hold the id on any day."""
        return {claim.campaign for claim in self.held if claim.campaign}


Known = Account | Claims
"""What a name means: the same campaign on every day, or a campaign that depends on the day and the account."""


def is_held(known: Known | None) -> bool:
    """Whether a campaign holds the name now, not only on days that are over."""
    return known is not None and (
        isinstance(known, Account) or any(claim.until_day == date.max for claim in known.held)
    )


def campaigns_of(known: Iterable[Known]) -> Iterator[Account]:
    """Every campaign that is meant."""
    for found in known:
        if isinstance(found, Account):
            yield found
        else:
            yield from found.campaigns()


@dataclass(frozen=True, slots=True)
class AgeBounds:
    """How far from now an event may have occurred. `oldest` of None takes any age, but nothing before `earliest`."""

    oldest: timedelta | None = timedelta(days=35)
    ahead: timedelta = timedelta(minutes=5)
    earliest: datetime = FIRST_INSTANT


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_BARE_UUID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)


LEAP_SECOND: Final = "is a leap second, which no clock here counts; send second 59 or the next minute's 00"
_HOUR_24 = re.compile(r"\d{4}-?\d\d-?\d\d\D24(?::?00)*(?:[.,]0+)?(?:[Zz+-]|$)")
_SECOND_60 = re.compile(r"\d{4}-?\d\d-?\d\d\D\d\d:?\d\d:?60")


class Refused(Exception):
    """Why an input is rejected, as its reader found out."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def rejection(refused: Refused, raw: object) -> Rejection:
    """The input with its reason. Numbers and containers that cannot be held are kept as text, and named."""
    flaws = [flaw for flaw in raw.flaws if flaw not in refused.detail] if isinstance(raw, Flawed) else []
    return Rejection(refused.reason, "; ".join([refused.detail, *flaws]), raw)


def check_held(fields: Mapping[str, object]) -> None:
    """Refuses an input with anything in it that Python or Postgres cannot hold, in whatever field."""
    if isinstance(fields, Flawed):
        raise Refused(Reason.MALFORMED, "; ".join(fields.flaws))


def span_of(at: datetime, bounds: AgeBounds) -> tuple[datetime, datetime]:
    """The earliest and the latest moment at which an event may have occurred, seen from `at`."""
    earliest = bounds.earliest if bounds.oldest is None else max(bounds.earliest, at - bounds.oldest)
    return earliest, min(END_INSTANT, at + bounds.ahead)


def wrong_currency(currency: str, billed_in: str, payload: object) -> Rejection:
    """What is said of an input in another currency than its brand's."""
    return Rejection(Reason.WRONG_CURRENCY, f"the brand's currency is {billed_in}, not {currency}", payload)


def campaign_on(
    campaign: CampaignKey, known: Mapping[CampaignKey, Known], day_in: Callable[[ZoneInfo], date]
) -> Account:
    """The campaign that a name means on a day, which `day_in` says for a zone. Raises Refused for none or several."""
    found = known.get(campaign)
    if isinstance(found, Account):
        return found
    held = found.on(day_in) if found else []
    if len(held) > 1:
        ids = ", ".join(str(account.campaign_id) for account in held)
        detail = f"{named(campaign)} is campaigns {ids} in different accounts; say account or campaign_id"
        raise Refused(Reason.AMBIGUOUS_CAMPAIGN, detail)
    if not held:
        raise Refused(Reason.UNKNOWN_CAMPAIGN, f"no campaign {named(campaign)}")
    return held[0]


def mapping_of(raw: object) -> Mapping[str, object]:
    """The fields of a decoded JSON object."""
    if not isinstance(raw, dict):
        raise Refused(Reason.MALFORMED, f"expected an object, not {_kind_of(raw)}")
    return raw


def _kind_of(raw: object) -> str:
    """What a decoded JSON value that is no object is, in JSON's words."""
    kinds = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(raw), "a number")


def event_id_of(value: object) -> str:
    """A UUID in its one spelling: lower case, with hyphens."""
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return value.lower()
        if _BARE_UUID.fullmatch(value):
            return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}".lower()
    raise Refused(Reason.MALFORMED, "event_id: expected a UUID")


def campaign_of(fields: Mapping[str, object]) -> CampaignKey:
    """The campaign that the fields name, by our id or by its platform's."""
    campaign_id = fields.get("campaign_id")
    if campaign_id is not None:
        if type(campaign_id) is int:
            return campaign_id if -MAX_ID <= campaign_id <= MAX_ID else _known_range(campaign_id)
        if isinstance(campaign_id, Unheld) and campaign_id.is_integer:
            raise _beyond_bigint()
        raise Refused(Reason.MALFORMED, "campaign_id: expected an integer")
    platform, external_id = fields.get("platform"), fields.get("external_id")
    if isinstance(external_id, int) and not isinstance(external_id, bool):
        external_id = str(_known_range(external_id))
    account = fields.get("account")
    if isinstance(account, int) and not isinstance(account, bool):
        account = str(_known_range(account))
    found = text_of("platform", platform), text_of("external_id", external_id), text_of("account", account)
    if found[0] and found[1]:
        return (found[0], found[1], found[2]) if found[2] else (found[0], found[1])
    raise Refused(Reason.MALFORMED, "campaign_id, or platform and external_id: missing")


def number_of(number: object, source: object) -> int:
    """What a source numbers an event with."""
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_SEQUENCE:
        raise Refused(Reason.MALFORMED, f"sequence: expected an integer from 0 to {MAX_SEQUENCE}")
    if not text_of("source", source):
        raise Refused(Reason.MALFORMED, "sequence: says nothing without a source")
    return number


def _known_range(number: int) -> int:
    if abs(number) > MAX_ID:
        raise _beyond_bigint()
    return number


def _beyond_bigint() -> Refused:
    return Refused(Reason.UNKNOWN_CAMPAIGN, "no campaign has an id beyond a bigint")


def named(campaign: CampaignKey) -> str:
    """A campaign in words."""
    return str(campaign) if isinstance(campaign, int) else " ".join(campaign)


def text_of(name: str, value: object) -> str | None:
    """A string of at most MAX_TEXT characters, empty or one that names something; None for none."""
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise Refused(Reason.MALFORMED, f"{name}: expected a string of at most {MAX_TEXT} characters")
    if value and (fault := fault_of(value)):
        raise Refused(Reason.MALFORMED, f"{name}: {fault}")
    return value


def currency_of(value: object) -> str | None:
    """A currency's code, in whatever case; None for none. The brand's decides whether it is right."""
    if value == "":
        raise Refused(Reason.MALFORMED, "currency: is empty; name it, such as USD, or leave it out")
    return text_of("currency", value)


def is_text(value: object) -> bool:
    """Whether `text_of` takes it."""
    return isinstance(value, str) and len(value) <= MAX_TEXT and (not value or fault_of(value) is None)


def required_text(name: str, value: object) -> str:
    """The same, and not empty."""
    text = text_of(name, value)
    if not text:
        raise Refused(Reason.MALFORMED, f"{name}: missing")
    return text


def instant_of(name: str, value: object) -> datetime:
    """An ISO 8601 time with its distance from UTC, in UTC; `z` is `Z`, as RFC 3339 says."""
    if not isinstance(value, str) or not value.isprintable():
        raise Refused(Reason.MALFORMED, f"{name}: expected an ISO 8601 string")
    if _HOUR_24.match(value):
        raise Refused(Reason.MALFORMED, f"{name}: {value[:40]!r} is written as 00:00 of the next day")
    try:
        moment = datetime.fromisoformat(f"{value[:-1]}Z" if value[-1:] == "z" else value)
    except ValueError:
        said = LEAP_SECOND if _SECOND_60.match(value) else "is not an ISO 8601 time"
        raise Refused(Reason.MALFORMED, f"{name}: {value[:40]!r} {said}") from None
    if moment.tzinfo is None:
        raise Refused(Reason.NO_TIME_ZONE, f"{name}: {value[:40]} lacks its distance from UTC")
    try:
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except OverflowError:
        raise Refused(Reason.MALFORMED, f"{name}: {value[:40]} is beyond the calendar") from None


def is_same_moment(one: datetime, other: datetime) -> bool:
    """Whether two spellings may say one moment: equal when both are cut to the precision of the coarser.

    A time without fractions may have been cut to seconds, one of three digits to milliseconds.
    """
    step = max(_precision(one), _precision(other))
    return (one - _EPOCH) // step == (other - _EPOCH) // step


def _precision(moment: datetime) -> timedelta:
    """The coarsest of seconds, milliseconds and microseconds in which the moment can be said."""
    if moment.microsecond % 1000:
        return timedelta(microseconds=1)
    return timedelta(milliseconds=1) if moment.microsecond else timedelta(seconds=1)


def micros_of(name: str, value: object) -> int:
    """Integer micros within MAX_AMOUNT_MICROS either way."""
    is_huge = isinstance(value, Unheld) and value.is_integer
    if is_huge or (type(value) is int and abs(value) > MAX_AMOUNT_MICROS):
        raise Refused(Reason.AMOUNT_OUT_OF_RANGE, f"{name}: beyond {MAX_AMOUNT_MICROS} either way")
    if type(value) is not int:
        raise Refused(Reason.MALFORMED, f"{name}: expected an integer of micros")
    return value
