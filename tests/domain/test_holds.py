"""The words of each kind of hold."""

import pytest

from domain.budgets import Scope
from domain.holds import HOLD_WORDS, Hold
from domain.periods import Period


def test_every_hold_has_its_own_words() -> None:
    assert set(HOLD_WORDS) == set(Hold)
    assert len(set(HOLD_WORDS.values())) == len(Hold)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("period", Period)
def test_words_of_budget_holds_name_scope_and_period(scope: Scope, period: Period) -> None:
    words = HOLD_WORDS[f"{scope}_{period}_budget"]
    assert scope.value in words
    assert period.value in words
