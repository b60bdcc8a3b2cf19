"""A worker process traces a bounded number of messages a second."""

from hypothesis import given
from hypothesis import strategies as st

from delivery.traced import Allowance


def test_allowance_refills_with_time_and_saves_up_one_second() -> None:
    allowance = Allowance(2)
    granted = [allowance.take(1, at) for at in (100, 100, 100, 100.25, 100.75, 101.5, 200, 200, 200)]
    assert granted == [1, 1, 0, 0, 1, 1, 1, 1, 0]


def test_allowance_grants_a_bundle_as_many_messages_as_are_left() -> None:
    allowance = Allowance(20)
    assert [allowance.take(64, at) for at in (100, 100, 100.26, 101.5)] == [20, 0, 5, 20]


@given(st.integers(1, 50), st.lists(st.tuples(st.floats(0, 0.2), st.integers(1, 64)), min_size=1, max_size=300))
def test_allowance_grants_at_most_its_rate_and_one_second_more(a_second: int, calls: list[tuple[float, int]]) -> None:
    allowance = Allowance(a_second)
    seconds, granted = 1_000.0, 0
    for gap, wanted in calls:
        seconds += gap
        granted += allowance.take(wanted, seconds)
    assert granted <= a_second * (1 + seconds - 1_000.0) + 1e-6
