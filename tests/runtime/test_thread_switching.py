"""Threads that let others run sooner while long work is done."""

import sys
from collections.abc import Iterator

import pytest

from runtime.thread_switching import SHORT_SECONDS, frequent_switches

LONG_SECONDS = 0.05


@pytest.fixture(autouse=True)
def long_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(LONG_SECONDS)
    yield
    sys.setswitchinterval(before)


def test_interval_is_short_until_the_last_of_overlapping_blocks_ends() -> None:
    with frequent_switches():
        with frequent_switches():
            assert sys.getswitchinterval() == pytest.approx(SHORT_SECONDS, abs=1e-5)
        assert sys.getswitchinterval() == pytest.approx(SHORT_SECONDS, abs=1e-5)
    assert sys.getswitchinterval() == pytest.approx(LONG_SECONDS, abs=1e-5)


def test_interval_comes_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="of the block"), frequent_switches():
        raise ValueError("of the block")
    assert sys.getswitchinterval() == pytest.approx(LONG_SECONDS, abs=1e-5)
