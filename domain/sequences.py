"""The numbers that sources give their events, by which a loss before us shows: runs of them arrive."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from domain.spend import sequence_of


class Run(NamedTuple):
    """Numbers of one source that arrived, `first` to `last`, both included, without a gap."""

    source: str
    first: int
    last: int


def runs_in(inputs: Iterable[object]) -> list[Run]:
    """The runs in decoded JSON values, good events or bad: whose source and number can be read has arrived."""
    return runs_of(filter(None, map(sequence_of, inputs)))


def runs_of(numbers: Iterable[tuple[str, int]]) -> list[Run]:
    """The runs that numbers make, each given with its source."""
    arrived: dict[str, set[int]] = {}
    for source, number in numbers:
        arrived.setdefault(source, set()).add(number)
    return [Run(source, *ends) for source, some in sorted(arrived.items()) for ends in _stretches(sorted(some))]


def _stretches(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """The first and the last of each stretch without a gap; the numbers are distinct and rise."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1:
            yield first, last
            first = number
        last = number
    yield first, last
