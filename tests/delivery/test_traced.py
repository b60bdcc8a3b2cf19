"""A worker process traces a bounded number of messages a second."""

from hypothesis import given
from hypothesis import strategies as st

from delivery.traced import Allowance


def test_allowance_refills_with_time_and_saves_up_one_second() -> None:
    allowance = Allowance(2)
    granted = [allowance.is_allowed(at) for at in (100, 100, 100, 100.25, 100.75, 101.5, 200, 200, 200)]
    assert granted == [True, True, False, False, True, True, True, True, False]


@given(st.integers(1, 50), st.lists(st.floats(0, 0.2), min_size=1, max_size=300))
def test_allowance_grants_at_most_its_rate_and_one_second_more(a_second: int, gaps: list[float]) -> None:
    allowance = Allowance(a_second)
    seconds, granted = 1_000.0, 0
    for gap in gaps:
        seconds += gap
        granted += allowance.is_allowed(seconds)
    assert granted <= a_second * (1 + sum(gaps)) + 1e-6
