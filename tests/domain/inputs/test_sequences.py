"""Sequence numbers: which ones are valid, and how they group into runs."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.inputs.reasons import Reason, Rejection
from domain.inputs.sequences import Run, runs_in_inputs
from domain.inputs.spend import read_event, sequence_of
from domain.inputs.values import MAX_SEQUENCE
from tests.domain.inputs.messages import json_values, nearly_good, raw_event, reason


def numbered(*numbers: object, source: object = "bidder") -> list[object]:
    return [raw_event(source=source, sequence=number) for number in numbers]


@pytest.mark.parametrize("number", [0, 1, MAX_SEQUENCE])
def test_sequence_numbers_from_0_to_max_sequence_are_accepted(number: int) -> None:
    (event,) = numbered(number)
    assert not isinstance(read_event(event), Rejection)
    assert sequence_of(event) == ("bidder", number)


@pytest.mark.parametrize("number", [-1, MAX_SEQUENCE + 1, 10**400, 1.0, math.nan, "1", True, [1], {}])
def test_invalid_sequence_number_makes_the_event_malformed(number: object) -> None:
    (event,) = numbered(number)
    read = read_event(event)
    assert reason(read) is Reason.MALFORMED
    assert isinstance(read, Rejection)
    assert "sequence" in read.detail
    assert sequence_of(event) is None


@pytest.mark.parametrize("source", [..., None, "", 5, "x" * 201, "nul \0", "\ud800"])
def test_a_sequence_without_a_source_is_malformed(source: object) -> None:
    (event,) = numbered(1, source=source)
    assert reason(read_event(event)) is Reason.MALFORMED
    assert runs_in_inputs([event]) == []


def test_sequence_number_may_be_left_out() -> None:
    assert sequence_of(raw_event(source="bidder")) is None
    assert sequence_of(raw_event(source="bidder", sequence=None)) is None
    assert not isinstance(read_event(raw_event(sequence=None)), Rejection)


def test_malformed_event_counts_as_arrived_if_source_and_number_are_readable() -> None:
    assert runs_in_inputs(
        [{"source": "bidder", "sequence": 7}, raw_event(event_id=5, source="bidder", sequence=8)]
    ) == [Run("bidder", 7, 8)]


def test_adjoining_numbers_make_one_run_in_any_order() -> None:
    assert runs_in_inputs(numbered(3, 1, 2, 2, 7, 0)) == [Run("bidder", 0, 3), Run("bidder", 7, 7)]


def test_each_source_has_its_own_runs() -> None:
    assert runs_in_inputs([*numbered(1, source="b"), *numbered(2, source="a"), *numbered(2, source="b")]) == [
        Run("a", 2, 2),
        Run("b", 1, 2),
    ]


@given(st.lists(st.integers(0, 30)))
def test_runs_contain_exactly_the_given_numbers(numbers: list[int]) -> None:
    runs = runs_in_inputs(numbered(*numbers))
    assert [number for run in runs for number in range(run.first, run.last + 1)] == sorted(set(numbers))
    assert all(before.last + 1 < after.first for before, after in itertools.pairwise(runs))


@given(json_values | nearly_good)
def test_any_json_value_is_read_without_an_exception(given_value: object) -> None:
    assert isinstance(runs_in_inputs([given_value]), list)
