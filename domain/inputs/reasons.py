"""Why an input from upstream is rejected: the reason codes, and the rejection with the input itself."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from domain.inputs.json_text import FlawedObject


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


def wrong_currency(currency: str, billed_in: str, payload: object) -> Rejection:
    """The rejection of an input whose `currency` differs from the brand's currency `billed_in`."""
    return Rejection(Reason.WRONG_CURRENCY, f"the brand's currency is {billed_in}, not {currency}", payload)
