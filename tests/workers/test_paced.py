"""Queries that grow with their table are read at most a fixed share of the time."""

import pytest

from workers.paced import RESTS, Paced


def test_figures_are_kept_for_a_multiple_of_the_time_of_their_query() -> None:
    moments = iter([100, 103, 103 + 3 * RESTS - 1, 103 + 3 * RESTS, 200, 1_000, 1_000])
    paced: Paced[int] = Paced(lambda: next(moments))
    figures = iter([1, 2, 3])
    assert [paced.read(lambda: next(figures)) for _ in range(4)] == [1, 1, 2, 3]


def test_failed_query_is_repeated_at_the_next_read() -> None:
    paced: Paced[int] = Paced(lambda: 0.0)
    results = iter(["no number", "7"])
    with pytest.raises(ValueError, match="no number"):
        paced.read(lambda: int(next(results)))
    assert paced.read(lambda: int(next(results))) == 7
