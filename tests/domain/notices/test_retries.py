"""When a failed delivery is sent again, and when a failing endpoint is probed."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from domain.notices.retries import LONGEST_PROBE, OPEN_AFTER, next_attempt_at, next_probe_at, retry_after

AT = datetime(2026, 6, 17, 12, tzinfo=UTC)


def test_retries_follow_the_schedule_and_end_after_the_tenth_attempt() -> None:
    pauses = [next_attempt_at(attempts, AT, 0) for attempts in range(1, 10)]
    assert [pause - AT for pause in pauses if pause] == [
        *(timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)),
        *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
    ]
    assert next_attempt_at(10, AT, 0) is None


def test_jitter_lengthens_a_pause_by_a_fifth_at_most() -> None:
    assert next_attempt_at(1, AT, 1) == AT + timedelta(seconds=6)


def test_probes_begin_when_the_circuit_opens_and_come_at_least_each_minute() -> None:
    assert next_probe_at(OPEN_AFTER - 1, AT, 0) is None
    probes = [next_probe_at(OPEN_AFTER + more, AT, 0) for more in range(50)]
    pauses = [probe - AT for probe in probes if probe]
    assert (pauses[0], pauses[-1]) == (timedelta(seconds=5), LONGEST_PROBE)
    assert all(earlier <= later for earlier, later in pairwise(pauses))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *((None, None), ("", None), ("soon", None), ("-1", None), ("0", None), ("1.5", None)),
        *(("120", 120), (" 7 ", 7), ("99999999999999999999", 86_400)),
        *(("Wed, 17 Jun 2026 12:01:00 GMT", 60), ("Wed, 17 Jun 2026 11:59:00 GMT", None)),
        ("Fri, 17 Jun 2039 12:00:00 GMT", 86_400),
        *(("Fri, 31 Dec 9999 23:00:00 -2359", None), ("Mon, 01 Jan 0001 00:00:00 +2359", None)),
        *(("Wed, 17 Jun 2026 12:01:00 +99999999", None), ("Wed, 17 Jun 2026 12:01:00 -0000", None)),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date(value: str | None, seconds: int | None) -> None:
    assert retry_after(value, AT) == (None if seconds is None else AT + timedelta(seconds=seconds))
