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
    arrived: dict[str, set[int]] = {}
    for source, number in filter(None, map(sequence_of, inputs)):
        arrived.setdefault(source, set()).add(number)
    return [Run(source, *ends) for source, numbers in sorted(arrived.items()) for ends in _stretches(sorted(numbers))]


def _stretches(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """The first and the last of each stretch without a gap; the numbers are distinct and rise."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1:
            yield first, last
            first = number
        last = number
    yield first, last
