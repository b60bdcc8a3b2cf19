"""Reads the fields of inputs from upstream.

The functions that read a field raise InvalidInput, with a reason code and a detail, for an invalid value.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.inputs.json_text import UnstorableValue
from domain.inputs.reasons import InvalidInput, Reason
from domain.money import MAX_AMOUNT_MICROS
from domain.text import fault_of

MAX_EVENTS_PER_MESSAGE: Final = 5_000
"""Most inputs of one message or request; `web.api.spend` has the number in its texts."""

MAX_TEXT: Final = 200
"""Most characters of a name, source or other text."""

MAX_ID: Final = 2**63 - 1
MAX_SEQUENCE: Final = 2**53 - 1
"""The largest sequence number. JavaScript and other programs read larger JSON integers inexactly."""


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_BARE_UUID = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)


LEAP_SECOND: Final = "is a leap second, which Spendgate does not support; send second 59 or the next minute's 00"
_HOUR_24 = re.compile(r"\d{4}-?\d\d-?\d\d\D24(?::?00)*(?:[.,]0+)?(?:[Zz+-]|$)")
_SECOND_60 = re.compile(r"\d{4}-?\d\d-?\d\d\D\d\d:?\d\d:?60")


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
    """The event id, a UUID with or without hyphens, in lower case with hyphens. Raises InvalidInput otherwise."""
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return value.lower()
        if _BARE_UUID.fullmatch(value):
            return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}".lower()
    raise InvalidInput(Reason.MALFORMED, "event_id: expected a UUID")


def number_of(number: object, source: object) -> int:
    """The event's sequence number. Raises InvalidInput outside 0 to MAX_SEQUENCE, and for an event without source."""
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_SEQUENCE:
        raise InvalidInput(Reason.MALFORMED, f"sequence: expected an integer from 0 to {MAX_SEQUENCE}")
    if not text_of("source", source):
        raise InvalidInput(Reason.MALFORMED, "sequence: an event with a sequence number needs the field source")
    return number


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

    Raises InvalidInput for an empty string or a value that `text_of` refuses.
    """
    if value == "":
        raise InvalidInput(Reason.MALFORMED, "currency: is empty; name it, such as USD, or leave it out")
    return text_of("currency", value)


def is_text(value: object) -> bool:
    """Whether the value is a string that `text_of` accepts."""
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
    """Whether two times may be one moment sent at different precision: the coarser one truncated or rounded.

    A time without a fraction counts as one of whole seconds, one with three digits as one of milliseconds.
    """
    coarse, fine = sorted((one, other), key=_precision, reverse=True)
    step = _precision(coarse)
    if step == _precision(fine):
        return one == other
    return -step / 2 <= fine - coarse < step


ROUNDED_BY: Final = timedelta(milliseconds=500)
"""Most time by which rounding to a whole second moves a time."""


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
