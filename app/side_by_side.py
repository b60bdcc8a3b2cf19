"""Parts of one job done side by side: while one waits for Postgres, another decides."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import chain, islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item], at_once: int) -> Iterator[Result]:
    """What `work` makes of each item, in their order, so many at once; one that is alone is done in this thread.

    Items are drawn as there are threads for them. Raises what `work` raises; those begun by then are ended first.
    """
    remaining = iter(items)
    first = list(islice(remaining, 2))
    if len(first) < 2:
        yield from map(work, first)
        return
    with ThreadPoolExecutor(at_once, thread_name_prefix="part") as pool:
        begun: deque[Future[Result]] = deque()
        for item in chain(first, remaining):
            begun.append(pool.submit(copy_context().run, work, item))
            if len(begun) > at_once:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
