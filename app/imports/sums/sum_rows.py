"""Decides whether rows that may be sums of others are sums, by arithmetic; asks if it proves nothing."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.imports.answers import Choice, Question, SumRows

ABOUT_SUMS: Final = "rows of sums"


class MaybeSum(NamedTuple):
    """A figure that may be the sum of `others`, all in the reader's units.

    `line`: the first line that states it. `others_count`: the number of the others that are not 0. `slack`: by how much
    the rounding of each of them can make the sum differ. `is_labelled`: a word such as «Total» says that it is a sum.
    """

    line: int
    figure: int
    others: int
    others_count: int
    slack: int
    is_labelled: bool

    @property
    def agrees(self) -> bool:
        """Whether the figure is the sum of the others, each of which may have been rounded."""
        return abs(self.figure - self.others) <= self.slack


def slack_of(total: int, count: int, step: int, step_of_rows: int = 1) -> int:
    """The largest difference between a stated sum and the sum of its `count` rows that rounding can make.

    The rows and the stated sum may each have been rounded. `step` and `step_of_rows`: the smallest differences that the
    sum and its rows can show. Rounded rows add at most a thousandth of a large sum. All are in the reader's units.
    """
    return step // 2 + min((count + 1) // 2 * step_of_rows, max(step_of_rows, abs(total) // 1000))


def are_sums(found: Sequence[MaybeSum], chosen: SumRows | None, why: str) -> bool:
    """Whether the figures are sums; if not, each is a part of its day beside the others.

    `chosen`: a person's choice, which decides; None: there is none. Then they are sums if all agree with the others and
    chance does not explain it. They are parts if none agrees and one is less than the others, because it cannot be
    their sum then. Else raises Question, with `why` as its reason.
    """
    if chosen is not None:
        return chosen == "sums"
    agreeing = [one for one in found if one.agrees]
    if len(agreeing) == len(found) and (not found or _is_no_chance(agreeing)):
        return True
    if not agreeing and any(one.figure < one.others for one in found):
        return False
    choices = [
        Choice("they are sums of the others, and counted once", {"sum_rows": "sums"}),
        Choice("they are parts like the others, and added to them", {"sum_rows": "parts"}),
    ]
    raise Question(ABOUT_SUMS, choices, why)


def _is_no_chance(agreeing: Sequence[MaybeSum]) -> bool:
    """Whether chance does not explain that the figures agree.

    True if a word says that one is a sum, if one is the sum of several others, or if two different figures agree.
    """
    return any(one.is_labelled or one.others_count > 1 for one in agreeing) or len({one.figure for one in agreeing}) > 1
