"""`side_by_side`: results in order, a bounded number of threads, and errors as in a plain loop."""

import threading
from collections.abc import Iterator

import pytest
import structlog

from app.side_by_side import side_by_side
from tests.world import eventually


def test_results_come_in_the_order_of_the_items() -> None:
    first_may_end = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            first_may_end.wait(10)
        first_may_end.set()
        return number * 10

    assert list(side_by_side(work, range(5), 2)) == [0, 10, 20, 30, 40]


def test_single_item_runs_in_the_calling_thread() -> None:
    assert list(side_by_side(lambda _: threading.current_thread(), [1], 3)) == [threading.current_thread()]
    assert list(side_by_side(lambda _: 1, [], 3)) == []


@pytest.mark.parametrize("items", [1, 2, 3])
def test_items_drawn_before_an_error_of_the_iterable_are_worked_on(items: int) -> None:
    done: list[int] = []

    def drawn() -> Iterator[int]:
        yield from range(items)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(side_by_side(done.append, drawn(), 1))
    assert done == list(range(items))


def test_items_are_drawn_only_as_threads_become_free() -> None:
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


def test_error_of_a_part_is_raised_after_started_parts_have_ended() -> None:
    ended: list[int] = []

    def work(number: int) -> None:
        if number == 0:
            raise ValueError("part 0")
        ended.append(number)

    with pytest.raises(ValueError, match="part 0"):
        list(side_by_side(work, range(50), 2))
    assert set(ended) <= {1, 2, 3}


def test_each_part_has_the_jobs_log_context() -> None:
    with structlog.contextvars.bound_contextvars(actor="reset"):
        contexts = list(side_by_side(lambda _: structlog.contextvars.get_contextvars(), range(3), 2))
    assert contexts == [{"actor": "reset"}] * 3
