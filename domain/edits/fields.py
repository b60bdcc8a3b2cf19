"""The editable fields of brands, campaigns and budgets, and checks of the values that people set."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from domain.campaigns import ConfiguredStatus
from domain.errors import InvalidValue
from domain.inputs.values import MAX_TEXT
from domain.money import MAX_AMOUNT_MICROS
from domain.periods import FIRST_DAY, LAST_DAY
from domain.platforms import canonical_or_lower
from domain.text import fault_of

BRAND_FIELDS: Final = frozenset({"name", "time_zone", "currency", "configured_status"})
CAMPAIGN_FIELDS: Final = frozenset(
    {"name", "platform", "external_id", "account", "starts_on", "ends_on", "configured_status"}
)
BUDGET_FIELDS: Final = frozenset({"limit_micros"})
SCHEDULE_FIELDS: Final = frozenset({"dayparts"})
"""The editable fields of a schedule. BRAND_FIELDS, CAMPAIGN_FIELDS, BUDGET_FIELDS: of brands, campaigns, budgets."""


DEFAULT_ZONE: Final = "UTC"
DEFAULT_CURRENCY: Final = "USD"


def default_notice(*, zone: bool, currency: bool) -> str | None:
    """A notice that names the defaults that a new brand got; None if it got none.

    `zone`, `currency`: whether it got the default time zone, the default currency.
    """
    defaults = [name for name, is_default in ((DEFAULT_ZONE, zone), (DEFAULT_CURRENCY, currency)) if is_default]
    if not defaults:
        return None
    return f"{' and '.join(defaults)} by default; the first spend fixes the brand's time zone and currency"


def checked_name(name: str) -> str:
    """Returns the name. Raises InvalidValue if it is blank, over MAX_TEXT characters, or forbidden by `domain.text`."""
    if not name.strip():
        raise InvalidValue("name", "is empty")
    if fault := fault_of(name):
        raise InvalidValue("name", fault)
    if len(name) > MAX_TEXT:
        raise InvalidValue("name", f"has over {MAX_TEXT} characters")
    return name


def checked_platform(text: str | None) -> str | None:
    """The platform's canonical name, or the text in lower case if it is unknown; None for None.

    Raises InvalidValue for an empty text, one over MAX_TEXT characters, and characters that `domain.text` forbids.
    """
    checked = checked_external_name("platform", text)
    return checked_external_name("platform", canonical_or_lower(checked)) if checked else None


def checked_external_name(field: str, text: str | None) -> str | None:
    """Returns the text of `field`, or None. Raises InvalidValue unless a spend event could contain it.

    It then has 1 to MAX_TEXT characters, none of which `domain.text` forbids.
    """
    if text is not None and not 0 < len(text) <= MAX_TEXT:
        raise InvalidValue(field, f"is not a line of at most {MAX_TEXT} characters")
    if text and (fault := fault_of(text)):
        raise InvalidValue(field, fault)
    return text


def checked_currency(code: str) -> str:
    """Returns the currency code. Raises InvalidValue unless it is three upper-case letters."""
    if len(code) != 3 or not code.isascii() or not code.isalpha() or not code.isupper():
        raise InvalidValue("currency", f"{code!r} is not an ISO 4217 code such as USD")
    return code


def check_limit(limit_micros: int) -> None:
    """Raises InvalidValue for a limit that is negative or larger than an amount may be."""
    if not 0 <= limit_micros <= MAX_AMOUNT_MICROS:
        raise InvalidValue("limit_micros", f"{limit_micros} is not between 0 and {MAX_AMOUNT_MICROS}")


def check_flight(starts_on: date | None, ends_on: date | None) -> None:
    """Raises InvalidValue for a day outside the calendar, or a flight that ends before it starts.

    A day of None: the flight is open on that side.
    """
    for field, day in (("starts_on", starts_on), ("ends_on", ends_on)):
        if day is not None and not FIRST_DAY <= day <= LAST_DAY:
            raise InvalidValue(field, f"{day} is not between {FIRST_DAY} and {LAST_DAY}")
    if starts_on is not None and ends_on is not None and ends_on < starts_on:
        raise InvalidValue("ends_on", f"{ends_on} is before the flight starts on {starts_on}")


def merged(old: Mapping[str, Any], changes: Mapping[str, object], known: frozenset[str]) -> dict[str, Any]:
    """The row `old` with `changes` applied. Raises InvalidValue for a field not in `known`, or a bad name or status.

    Other values are not checked.
    """
    for field in changes.keys() - known:
        raise InvalidValue(field, "is not a field that can be edited")
    new = {**old, **changes}
    if "name" in changes:
        checked_name(str(new["name"]))
    if new["configured_status"] not in set(ConfiguredStatus):
        raise InvalidValue("configured_status", f"{new['configured_status']!r} is not enabled, paused or archived")
    return new
