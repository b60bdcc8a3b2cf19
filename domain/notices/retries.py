"""When a failed webhook delivery is sent again, and when an endpoint that keeps failing is probed."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

RETRY_AFTER_ATTEMPT: Final = (
    *(timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
"""The delay after the first, the second, … failed attempt. The attempt after the last delay is the last one."""

JITTER: Final = 0.2
"""Largest fraction of a delay that is added to it at random, so that many deliveries do not return at one moment."""

OPEN_AFTER: Final = 5
"""Deliveries that fail one after another, without a success between, before the circuit of an endpoint opens."""

FIRST_PROBE: Final = timedelta(seconds=5)
"""The delay before the first probe of an endpoint with an open circuit; it doubles with each failed probe."""

LONGEST_PROBE: Final = timedelta(minutes=1)
"""The longest delay between two probes of an endpoint, without jitter."""

LONGEST_WAIT: Final = timedelta(hours=24)
"""The longest Retry-After that is honoured; a longer one counts as this."""


def is_open(failures: int) -> bool:
    """Whether `failures` deliveries that failed in a row open the circuit, so that only single probes are sent."""
    return failures >= OPEN_AFTER


def next_attempt_at(attempts: int, at: datetime, jitter: float) -> datetime | None:
    """When to send a delivery again after `attempts` failed attempts, the last at `at`; None after the last attempt.

    `jitter`: a random number in [0, 1).
    """
    if attempts > len(RETRY_AFTER_ATTEMPT):
        return None
    delay = RETRY_AFTER_ATTEMPT[attempts - 1]
    return at + delay * (1 + JITTER * jitter)


def next_probe_at(failures: int, at: datetime, jitter: float) -> datetime | None:
    """When an endpoint may get its next request; None while its circuit is closed.

    `failures`: how many deliveries failed in a row, the last at `at`. `jitter`: a random number in [0, 1).
    """
    if not is_open(failures):
        return None
    doublings = min(failures - OPEN_AFTER, 10)
    delay: timedelta = min(FIRST_PROBE * 2**doublings, LONGEST_PROBE)
    return at + delay * (1 + JITTER * jitter)


def retry_after(value: str | None, at: datetime) -> datetime | None:
    """The moment that a Retry-After header names, in seconds or as an HTTP date; None if it names none after `at`.

    At most LONGEST_WAIT after `at`.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        moment = at + timedelta(seconds=min(int(text[:10]), LONGEST_WAIT.total_seconds()))
    else:
        try:
            moment = parsedate_to_datetime(text)
            moment = moment.astimezone(UTC) if moment.tzinfo is not None else at
        except (ValueError, OverflowError):
            return None
    return min(moment, at + LONGEST_WAIT) if moment > at else None
