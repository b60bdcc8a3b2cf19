"""Times that people type as options."""

from datetime import UTC, datetime

from domain.errors import InvalidValue


def moment_of(option: str, text: str) -> datetime:
    """The instant of an ISO 8601 text, in UTC. Raises InvalidValue naming the option if it is none, or lacks a zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValue(option, f"{text!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise InvalidValue(option, f"{text!r} lacks its distance from UTC, such as Z")
    return moment.astimezone(UTC)
