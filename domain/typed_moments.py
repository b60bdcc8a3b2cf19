"""Times that people and programs write beside events: as options, in forms, in bodies of the API."""

from datetime import datetime

from domain.errors import InvalidValue
from domain.inputs.reasons import InvalidInput
from domain.inputs.values import instant_of


def parse_moment(field: str, text: str) -> datetime:
    """The instant that a text names, in UTC, by the rules for times of events: ISO 8601 with its distance from UTC.

    Raises InvalidValue, which names `field`, for any other text.
    """
    try:
        return instant_of(field, text)
    except InvalidInput as error:
        raise InvalidValue(field, error.detail.removeprefix(f"{field}: ")) from None
