"""A pass enforces the campaigns of one brand in parts, in the order of their ids, and comes round to where it began.

Where a newer reason to enforce the brand arises on the way, the pass begins again at its present position: every
campaign is decided once after the newest reason, and none waits for longer than one round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


class Direction(StrEnum):
    """What a pass does to the campaigns, by those it has toggled so far."""

    CLOSING = "closing"
    OPENING = "opening"
    UPDATING = "updating"


@dataclass(frozen=True, slots=True)
class Pass:
    """How far a pass has come.

    The next part begins after the campaign id `after_id`. Once the pass has `wrapped` from the last campaign to the
    first, it ends at the id `stop_id`, after which it began. `done`, `paused`, `activated` count campaigns since then.
    """

    after_id: int = 0
    stop_id: int = 0
    wrapped: bool = False
    done: int = 0
    paused: int = 0
    activated: int = 0

    @property
    def last_id(self) -> int | None:
        """The last id that the next part may have; None: any."""
        return self.stop_id if self.wrapped else None

    @property
    def direction(self) -> Direction:
        """Closing where it only paused so far, opening where it only activated."""
        if bool(self.paused) == bool(self.activated):
            return Direction.UPDATING
        return Direction.CLOSING if self.paused else Direction.OPENING

    def begun_again(self) -> "Pass":
        """The pass after a newer reason: it goes on from here, and comes round to here."""
        return Pass(after_id=self.after_id, stop_id=self.after_id)

    def after_part(self, ids: Sequence[int], most: int, *, begins_again: bool = False) -> "Pass | None":
        """The pass after a part with these campaigns, of at most so many; None: it has come round.

        `begins_again`: the part found a newer reason, and is the first one after it.
        """
        last_id = ids[-1] if ids else self.after_id
        if begins_again:
            return replace(self.begun_again(), after_id=last_id, done=len(ids))
        done = self.done + len(ids)
        if len(ids) >= most and last_id != self.last_id:
            return replace(self, after_id=last_id, done=done)
        if self.wrapped or self.stop_id == 0:
            return None
        return replace(self, after_id=0, wrapped=True, done=done)

    def counted(self, paused: int, activated: int) -> "Pass":
        """The pass after so many more toggles."""
        return replace(self, paused=self.paused + paused, activated=self.activated + activated)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pass is: how many campaigns it has done, of how many in all (None: not counted yet)."""

    direction: Direction
    done: int
    total: int | None

    @classmethod
    def of(cls, going: Pass, total: int | None) -> "Progress":
        """The pass's progress over a brand that had so many campaigns; those made since count too."""
        return cls(going.direction, going.done, None if total is None else max(total, going.done))

    def in_words(self) -> str:
        """As in «closing, 120,000 of 300,000 done»."""
        of_all = "" if self.total is None else f" of {self.total:,}"
        return f"{self.direction}, {self.done:,}{of_all} done"


def shared_out(campaigns: Mapping[int, int], most: int) -> dict[int, int]:
    """How many campaigns of each brand go into one transaction of at most `most`, brands in the order of their ids.

    A brand whose campaigns do not all go into it gets a smaller number, or 0.
    """
    left = most
    shares = {}
    for brand_id in sorted(campaigns):
        shares[brand_id] = min(campaigns[brand_id], left)
        left -= shares[brand_id]
    return shares
