"""Sequence numbers that sources give their events, collected in runs; gaps between runs show events lost upstream."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from domain.inputs.spend import sequence_of


class Run(NamedTuple):
    """Sequence numbers of one source that arrived without a gap, from `first` to `last`, both included."""

    source: str
    first: int
    last: int


def runs_in_inputs(inputs: Iterable[object]) -> list[Run]:
    """The runs of sequence numbers in decoded JSON values. Invalid events count if source and number are readable."""
    return runs_of_numbers(filter(None, map(sequence_of, inputs)))


def runs_of_numbers(numbers: Iterable[tuple[str, int]]) -> list[Run]:
    """Groups (source, number) pairs into runs, sorted by source and number. A repeated number counts once."""
    arrived: dict[str, set[int]] = {}
    for source, number in numbers:
        arrived.setdefault(source, set()).add(number)
    return [Run(source, *ends) for source, seen in sorted(arrived.items()) for ends in _stretches(sorted(seen))]


def _stretches(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """The first and the last number of each stretch without a gap. `numbers` are distinct and sorted."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1:
            yield first, last
            first = number
        last = number
    yield first, last
