"""Runs parts of one job in parallel threads, so that one part computes while another waits for Postgres."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import chain, islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item], at_once: int) -> Iterator[Result]:
    """Yields `work(item)` for each item, in order, computed by `at_once` threads; a single item uses this thread.

    Items are drawn from the iterable as threads become free. An exception from `work` or from the iterable is raised
    after the work on all items drawn before is done.
    """
    remaining = iter(items)
    first = list(islice(remaining, 1))
    try:
        first.extend(islice(remaining, 1))
    except Exception:
        yield from map(work, first)
        raise
    if len(first) < 2:
        yield from map(work, first)
        return
    with ThreadPoolExecutor(at_once, thread_name_prefix="part") as pool:
        running: deque[Future[Result]] = deque()
        for item in chain(first, remaining):
            running.append(pool.submit(copy_context().run, work, item))
            if len(running) > at_once:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
