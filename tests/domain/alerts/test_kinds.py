"""Every kind of alert has words, an order and an urgency, and the tables know it."""

import pytest

from db.models.alerts import ENDINGS, KINDS
from domain.alerts.kinds import FACTS, RANK, URGENT, AlertKind, Ending, parse_kind
from domain.alerts.rejection_rises import is_rise
from domain.errors import InvalidValue


def test_every_kind_has_words_and_a_rank_and_the_tables_allow_it() -> None:
    assert set(FACTS) == set(RANK) == set(AlertKind)
    assert all(facts.name and facts.advice.endswith(".") for facts in FACTS.values())
    assert set(AlertKind) - set(URGENT) == {AlertKind.FAILED_IMPORT, AlertKind.REJECTED_EVENTS}
    assert f"kind IN ({', '.join(map(repr, map(str, AlertKind)))})" == KINDS
    assert f"resolved_because IN ({', '.join(map(repr, map(str, Ending)))})" == ENDINGS


def test_unknown_kind_is_refused() -> None:
    assert parse_kind("overspend") is AlertKind.OVERSPEND
    with pytest.raises(InvalidValue):
        parse_kind("nonsense")


def test_rise_needs_ten_inputs_and_three_times_the_busiest_hour() -> None:
    assert is_rise(10, [])
    assert not is_rise(9, [])
    assert not is_rise(30, [1, 10])
    assert is_rise(31, [1, 10])
