"""A pass over a brand's campaigns, in parts, until each campaign is decided after the newest reason."""

from bisect import bisect_right

from hypothesis import given
from hypothesis import strategies as st

from domain.passes import Direction, Pass, Progress, share_campaigns


def part_of(current: Pass, campaigns: list[int], most: int) -> list[int]:
    """The campaign ids of the next part, selected as the database does."""
    first = bisect_right(campaigns, current.after_id)
    end = len(campaigns) if current.last_id is None else bisect_right(campaigns, current.last_id)
    return campaigns[first:end][:most]


def finished(current: Pass | None, campaigns: list[int], most: int) -> list[int]:
    """All campaign ids that the pass still decides, in order."""
    decided = []
    while current is not None:
        part = part_of(current, campaigns, most)
        decided += part
        current = current.after_part(part, most)
    return decided


def test_a_pass_ends_after_the_last_campaign() -> None:
    assert finished(Pass(), [3, 5, 8, 9], most=2) == [3, 5, 8, 9]


def test_restarted_pass_wraps_and_ends_where_it_restarted() -> None:
    current = Pass().after_part([3, 5], most=2)
    assert current is not None
    assert finished(current.restarted(), [3, 5, 8, 9], most=2) == [8, 9, 3, 5]


def test_part_that_finds_a_new_reason_is_the_first_of_the_restarted_pass() -> None:
    current = Pass(after_id=5, stop_id=5).after_part([8, 9], most=2, begins_again=True)
    assert current == Pass(after_id=9, stop_id=5, done=2)
    assert finished(current, [3, 5, 8, 9], most=2) == [3, 5]


def test_new_reason_after_wrapping_also_covers_campaigns_beyond_the_stop() -> None:
    """The part ends at `stop_id`, so its size does not show that more campaigns follow."""
    current = Pass(after_id=3, stop_id=5, wrapped=True).after_part([5], most=2, begins_again=True)
    assert finished(current, [3, 5, 8, 9], most=2) == [8, 9, 3]


def test_pass_over_a_brand_without_campaigns_ends_at_once() -> None:
    assert Pass().after_part([], most=2) is None


def test_pass_counts_campaigns_since_its_restart() -> None:
    current = Pass().after_part([1, 2], most=2)
    assert current is not None
    assert current.done == 2
    assert current.restarted().done == 0


def test_direction_follows_from_the_toggles() -> None:
    assert Pass().direction is Direction.UPDATING
    assert Pass().with_toggles(paused=2, activated=0).direction is Direction.CLOSING
    assert Pass().with_toggles(paused=0, activated=2).direction is Direction.OPENING
    assert Pass().with_toggles(paused=1, activated=1).direction is Direction.UPDATING
    assert Pass().with_toggles(paused=1, activated=0).restarted().direction is Direction.UPDATING


def test_progress_in_words() -> None:
    current = Pass(done=120_000, paused=119_000)
    assert Progress.of(current, 300_000).in_words() == "pausing campaigns, 120,000 of 300,000 done"
    assert Progress.of(current, None).in_words() == "pausing campaigns, 120,000 done"
    assert Progress.of(Pass(done=12, activated=1), 10).in_words() == "activating campaigns, 12 of 12 done"


@given(
    campaigns=st.sets(st.integers(1, 40)),
    most=st.integers(1, 7),
    reasons=st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=6),
)
def test_every_campaign_is_decided_after_the_newest_reason_and_within_two_rounds(
    campaigns: set[int], most: int, reasons: list[tuple[int, bool]]
) -> None:
    """Each reason comes up after the given number of parts, between two of them or within the next."""
    ids = sorted(campaigns)
    current: Pass | None = Pass()
    for parts, within_a_part in reasons:
        for _ in range(parts):
            current = current and current.after_part(part_of(current, ids, most), most)
        if current is None:
            current = Pass()
        elif not within_a_part:
            current = current.restarted()
        decided = []
        if within_a_part:
            decided = part_of(current, ids, most)
            current = current.after_part(decided, most, begins_again=True)
        rest = finished(current, ids, most)
        assert set(decided + rest) == campaigns
        assert len(decided + rest) == len(campaigns)


@given(st.dictionaries(st.integers(1, 9), st.integers(0, 9)), st.integers(1, 20))
def test_campaigns_shared_out_over_brands_never_exceed_the_maximum(campaigns: dict[int, int], most: int) -> None:
    shares = share_campaigns(campaigns, most)
    assert shares.keys() == campaigns.keys()
    assert all(share <= campaigns[brand_id] for brand_id, share in shares.items())
    assert sum(shares.values()) == min(most, sum(campaigns.values()))
