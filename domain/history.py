"""What held a campaign over a stretch of time, from the record of its changes."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple


class Stretch(NamedTuple):
    """A half-open stretch of time in which a campaign had just these holds; none: it served."""

    starts_at: datetime
    ends_at: datetime
    holds: tuple[str, ...]


def stretches(
    changes: Iterable[tuple[datetime, tuple[str, ...]]], starts_at: datetime, ends_at: datetime
) -> Iterator[Stretch]:
    """What held within [starts_at, ends_at), by changes in their order; nothing is known before the first of them.

    A change dated before the one it follows, by clocks that differ, holds from that one's moment on.
    """
    since: datetime | None = None
    holds: tuple[str, ...] = ()
    for changed_at, changed_to in changes:
        if since is not None and since < (until := min(changed_at, ends_at)):
            yield Stretch(since, until, holds)
        since, holds = max(changed_at, since or starts_at), changed_to
    if since is not None and since < ends_at:
        yield Stretch(since, ends_at, holds)
