"""The pause before a retry doubles from the first to the longest, with jitter."""

import pytest

from runtime.backoff import pause_seconds


@pytest.mark.parametrize(("failures", "whole"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (10_000, 8.0)])
def test_pause_doubles_up_to_the_longest_and_is_shortened_by_jitter(failures: int, whole: float) -> None:
    pauses = [pause_seconds(failures, 1.0, 8.0) for _ in range(200)]
    assert whole / 2 <= min(pauses) < max(pauses) <= whole
    assert max(pauses) - min(pauses) > whole / 4
