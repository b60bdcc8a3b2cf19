"""Parses times that people and programs write outside spend events: in options, forms and API bodies."""

from datetime import datetime

from domain.errors import InvalidValue
from domain.inputs.reasons import InvalidInput
from domain.inputs.values import instant_of


def parse_moment(field: str, text: str) -> datetime:
    """The instant (UTC) of a text in ISO 8601 with UTC offset, by the rules for times of events.

    Raises InvalidValue, which names `field`, for any other text.
    """
    try:
        return instant_of(field, text)
    except InvalidInput as error:
        raise InvalidValue(field, error.detail.removeprefix(f"{field}: ")) from None
