"""A pass enforces the campaigns of one large brand in several parts, each its own transaction, in id order.

If a new reason to enforce the brand comes up during a pass, the pass restarts at its present position: it goes on to
the last campaign, wraps to the first, and ends where it restarted. So every campaign is decided after the newest
reason, and waits for at most one round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Direction(StrEnum):
    """The direction of a pass, by the campaigns it toggled so far: only paused, only activated, or both or none."""

    CLOSING = "closing"
    OPENING = "opening"
    UPDATING = "updating"


DIRECTION_WORDS = {
    Direction.CLOSING: "pausing campaigns",
    Direction.OPENING: "activating campaigns",
    Direction.UPDATING: "updating campaigns",
}


@dataclass(frozen=True, slots=True)
class Pass:
    """The position of a pass.

    The next part begins after the campaign id `after_id`. The pass began after the id `stop_id`; once it has `wrapped`
    from the last campaign to the first, it ends there. `done`, `paused`, `activated`: how many campaigns it enforced,
    paused and activated since it began or restarted.
    """

    after_id: int = 0
    stop_id: int = 0
    wrapped: bool = False
    done: int = 0
    paused: int = 0
    activated: int = 0

    @property
    def last_id(self) -> int | None:
        """The last campaign id that the next part may include; None for no bound."""
        return self.stop_id if self.wrapped else None

    @property
    def direction(self) -> Direction:
        """Closing if the pass has only paused campaigns so far, opening if only activated some, else updating."""
        if bool(self.paused) == bool(self.activated):
            return Direction.UPDATING
        return Direction.CLOSING if self.paused else Direction.OPENING

    def restarted(self) -> "Pass":
        """The pass restarted at its present position, after a new reason to enforce: it covers all campaigns again."""
        return Pass(after_id=self.after_id, stop_id=self.after_id)

    def after_part(self, ids: Sequence[int], most: int, *, begins_again: bool = False) -> "Pass | None":
        """Returns the pass's position after a part that enforced the campaigns `ids`; None if the pass is complete.

        `most`: the size limit of the part; fewer ids mean that it reached the last campaign. `begins_again`: a new
        reason came up, and this part is the first of the restarted pass.
        """
        last_id = ids[-1] if ids else self.after_id
        if begins_again:
            return replace(self.restarted(), after_id=last_id, done=len(ids))
        done = self.done + len(ids)
        if len(ids) >= most and last_id != self.last_id:
            return replace(self, after_id=last_id, done=done)
        if self.wrapped or self.stop_id == 0:
            return None
        return replace(self, after_id=0, wrapped=True, done=done)

    def with_toggles(self, paused: int, activated: int) -> "Pass":
        """The pass with these numbers of paused and activated campaigns added to its counts."""
        return replace(self, paused=self.paused + paused, activated=self.activated + activated)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a pass: campaigns done, of `total` in the brand (None: not counted yet)."""

    direction: Direction
    done: int
    total: int | None

    @classmethod
    def of(cls, current: Pass, total: int | None) -> "Progress":
        """The progress of a pass over a brand that had `total` campaigns when counted.

        The total is raised to the number done where campaigns were created since. `total` None: unknown.
        """
        return cls(current.direction, current.done, None if total is None else max(total, current.done))

    def in_words(self) -> str:
        """The progress for people, such as `pausing campaigns, 120,000 of 300,000 done`."""
        of_all = "" if self.total is None else f" of {self.total:,}"
        return f"{DIRECTION_WORDS[self.direction]}, {self.done:,}{of_all} done"


def share_campaigns(campaigns: Mapping[int, int], most: int) -> dict[int, int]:
    """How many campaigns of each brand to enforce in one transaction of at most `most` campaigns.

    `campaigns` is the number of campaigns by brand id. Brands are served in id order, so that the later ones may get
    fewer than they have, or 0.
    """
    left = most
    shares = {}
    for brand_id in sorted(campaigns):
        shares[brand_id] = min(campaigns[brand_id], left)
        left -= shares[brand_id]
    return shares
