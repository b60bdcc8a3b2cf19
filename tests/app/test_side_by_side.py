"""Parts of a job side by side: in order, bounded, and as failing as one after the other."""

import threading
from collections.abc import Iterator

import pytest
import structlog

from app.side_by_side import side_by_side
from tests.world import eventually


def test_tells_results_in_the_order_of_the_items() -> None:
    first_may_end = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            first_may_end.wait(10)
        first_may_end.set()
        return number * 10

    assert list(side_by_side(work, range(5), 2)) == [0, 10, 20, 30, 40]


def test_one_alone_is_done_in_the_thread_that_asks() -> None:
    assert list(side_by_side(lambda _: threading.current_thread(), [1], 3)) == [threading.current_thread()]
    assert list(side_by_side(lambda _: 1, [], 3)) == []


def test_draws_items_only_as_there_are_threads_for_them() -> None:
    drawn: list[int] = []
    may_end = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    results = side_by_side(lambda number: (may_end.wait(10), number)[1], items(), 2)
    reader = threading.Thread(target=lambda: list(results))
    reader.start()
    eventually(lambda: len(drawn) == 3)
    may_end.set()
    reader.join()
    assert drawn == list(range(100))


def test_raises_what_a_part_raised_after_those_begun_have_ended() -> None:
    ended: list[int] = []

    def work(number: int) -> None:
        if number == 0:
            raise ValueError("part 0")
        ended.append(number)

    with pytest.raises(ValueError, match="part 0"):
        list(side_by_side(work, range(50), 2))
    assert set(ended) <= {1, 2, 3}


def test_each_part_logs_within_the_context_of_the_job() -> None:
    with structlog.contextvars.bound_contextvars(actor="reset"):
        told = list(side_by_side(lambda _: structlog.contextvars.get_contextvars(), range(3), 2))
    assert told == [{"actor": "reset"}] * 3
