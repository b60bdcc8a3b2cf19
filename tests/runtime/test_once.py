"""A value that a process makes once."""

import time

import pytest

from runtime.once import Once
from tests.kit import at_once


def test_threads_that_call_it_first_at_once_get_one_value() -> None:
    made: list[object] = []
    returned: list[object] = []

    def make() -> object:
        made.append(object())
        time.sleep(0.05)
        return made[-1]

    value = Once(make)
    at_once(*[lambda: returned.append(value())] * 6)
    assert len(made) == 1
    assert returned == made * 6


def test_failed_making_is_tried_again_and_a_forgotten_value_is_made_anew() -> None:
    tries: list[int] = []

    def make() -> int:
        tries.append(len(tries))
        if len(tries) == 1:
            raise ValueError
        return tries[-1]

    value = Once(make)
    with pytest.raises(ValueError, match=r"^$"):
        value()
    assert not value.is_made
    assert (value(), value(), value.is_made) == (1, 1, True)
    value.cache_clear()
    assert value() == 2
