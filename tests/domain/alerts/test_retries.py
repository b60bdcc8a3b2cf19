"""A failed message is tried again for a day, at growing intervals."""

from datetime import timedelta

from domain.alerts.retries import DELAYS, next_try
from tests.world import moment


def test_pauses_grow_to_a_day_in_all_and_then_end() -> None:
    at = moment("2026-06-17T12:00")
    tries = [next_try(attempts, at) for attempts in range(1, len(DELAYS) + 1)]
    assert tries[0] == at + timedelta(seconds=30)
    assert list(DELAYS) == sorted(DELAYS)
    assert timedelta(hours=23) < sum(DELAYS, timedelta()) < timedelta(hours=25)
    assert next_try(len(DELAYS) + 1, at) is None
