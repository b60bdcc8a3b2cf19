"""The holds of a campaign over time, rebuilt from hold changes."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from domain.reporting.history import Stretch, merge_short_stretches, stretches

NOON = datetime(2026, 6, 17, 12, tzinfo=UTC)
PAUSED, SPENT = ("user_paused",), ("brand_daily_budget",)


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def test_each_change_holds_until_the_next_and_the_last_to_the_end() -> None:
    result = list(stretches([(at(1), PAUSED), (at(3), ()), (at(4), SPENT)], at(0), at(8)))
    assert result == [Stretch(at(1), at(3), PAUSED), Stretch(at(3), at(4), ()), Stretch(at(4), at(8), SPENT)]


def test_holds_from_before_the_start_apply_from_the_start() -> None:
    assert list(stretches([(at(-5), PAUSED), (at(2), ())], at(0), at(4))) == [
        Stretch(at(0), at(2), PAUSED),
        Stretch(at(2), at(4), ()),
    ]


def test_changes_after_the_end_and_holds_over_before_the_start_are_left_out() -> None:
    assert list(stretches([(at(-5), PAUSED), (at(-4), SPENT), (at(9), ())], at(0), at(8))) == [
        Stretch(at(0), at(8), SPENT)
    ]
    assert list(stretches([(at(8), PAUSED)], at(0), at(8))) == []
    assert list(stretches([], at(0), at(8))) == []


Changes = list[tuple[int, tuple[str, ...]]]
CHANGES = st.lists(st.tuples(st.integers(-50, 150), st.sampled_from([(), PAUSED, SPENT])))


def test_change_dated_before_its_predecessor_counts_no_time_twice() -> None:
    result = list(stretches([(at(3), PAUSED), (at(1), SPENT), (at(5), ())], at(0), at(8)))
    assert result == [Stretch(at(3), at(5), SPENT), Stretch(at(5), at(8), ())]


@given(CHANGES)
def test_stretches_adjoin_from_the_first_change_on(
    changes: list[tuple[int, tuple[str, ...]]],
) -> None:
    moments = [(at(hours), holds) for hours, holds in changes]
    result = list(stretches(moments, at(0), at(100)))
    assert all(earlier.ends_at == later.starts_at for earlier, later in itertools.pairwise(result))
    assert all(stretch.starts_at < stretch.ends_at for stretch in result)
    if moments and all(moment < at(100) for moment, _ in moments):
        assert result[0].starts_at == max(moments[0][0], at(0))
        assert result[-1].ends_at == at(100)
        assert result[-1].holds == moments[-1][1]


# Merged stretches


def test_short_stretches_get_the_holds_that_lasted_longest() -> None:
    changes = [(at(quarter / 4), () if quarter % 4 else PAUSED) for quarter in range(16)]
    assert merge_short_stretches(stretches(changes, at(0), at(4)), timedelta(hours=1)) == [Stretch(at(0), at(4), ())]
    mostly_held = [(at(quarter / 4), (SPENT, PAUSED, SPENT, ())[quarter % 4]) for quarter in range(16)]
    assert merge_short_stretches(stretches(mostly_held, at(0), at(4)), timedelta(hours=1)) == [
        Stretch(at(0), at(4), SPENT)
    ]


def test_long_stretches_are_not_merged() -> None:
    result = list(stretches([(at(1), PAUSED), (at(3), ()), (at(4), SPENT)], at(0), at(8)))
    assert merge_short_stretches(result, timedelta(hours=1)) == result


@given(CHANGES, st.integers(1, 40))
def test_merged_stretches_cover_the_same_time_in_fewer_parts(changes: Changes, least: int) -> None:
    parts = list(stretches([(at(hours), holds) for hours, holds in changes], at(0), at(100)))
    result = merge_short_stretches(parts, timedelta(hours=least))
    assert [part.starts_at for part in result[:1]] == [part.starts_at for part in parts[:1]]
    assert [part.ends_at for part in result[-1:]] == [part.ends_at for part in parts[-1:]]
    assert len(result) <= 100 // least + 1
    for earlier, later in itertools.pairwise(result):
        assert earlier.ends_at == later.starts_at
        assert earlier.holds != later.holds
        assert earlier.ends_at - earlier.starts_at >= timedelta(hours=least)
