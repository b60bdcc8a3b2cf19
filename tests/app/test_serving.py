"""Which differences are sent: every change of facts, and headroom exactly unless very many campaigns have a new one."""

import pytest

from app import serving
from app.serving import differences, has_moved
from db.repository.reading.serving import Campaign, Row


def row(campaign: int, headroom: int | None, external_id: str | None = None) -> Row:
    return Row(Campaign(campaign, 1, None, external_id, None, None, None, headroom), headroom or -1)


def rows(count: int, headroom: int) -> dict[int, Row]:
    return {campaign: row(campaign, headroom) for campaign in range(count)}


def test_added_changed_and_removed_campaigns_differ() -> None:
    old = {1: row(1, 5), 2: row(2, 5), 3: row(3, 5)}
    new = {2: row(2, 5), 3: row(3, 5, "7"), 4: row(4, None)}
    assert differences(old, new) == {1: None, 3: new[3], 4: new[4]}


def test_every_micro_of_headroom_is_told_of_few_campaigns() -> None:
    few = serving.EXACT_HEADROOMS
    assert differences(rows(few, 10_000), rows(few, 9_999)) == rows(few, 9_999)


def test_small_moves_of_headroom_are_not_told_of_very_many_campaigns() -> None:
    many = serving.EXACT_HEADROOMS + 2  # one of them has another external id too
    new = rows(many, 9_901) | {0: row(0, 9_900), 1: row(1, 9_901, "7")}
    assert differences(rows(many, 10_000), new) == {0: new[0], 1: new[1]}


@pytest.mark.parametrize(
    ("old_micros", "new_micros", "moved"),
    [
        (100, 99, True),
        (101, 100, False),
        (100, 101, True),
        (1, 2, True),
        (None, None, False),
        (None, 5, True),
        (5, None, True),
    ],
)
def test_headroom_has_moved_by_a_hundredth_of_itself(
    old_micros: int | None, new_micros: int | None, moved: bool
) -> None:
    assert has_moved(old_micros, new_micros) is moved
