"""What held a campaign over a stretch of time, from the record of its changes."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
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


def thinned(parts: Iterable[Stretch], least: timedelta) -> list[Stretch]:
    """The same time in stretches of at least so long, but for the last: short ones become what held most of theirs."""
    found: list[Stretch] = []
    some: list[Stretch] = []
    for part in parts:
        some.append(part)
        if some[-1].ends_at - some[0].starts_at >= least:
            _append(found, _mostly(some))
            some = []
    if some:
        _append(found, _mostly(some))
    return found


def _mostly(parts: Sequence[Stretch]) -> Stretch:
    """One stretch for adjoining ones: held where they were held for the most part, by what held the longest."""
    lengths: dict[tuple[str, ...], timedelta] = {}
    for part in parts:
        lengths[part.holds] = lengths.get(part.holds, timedelta()) + (part.ends_at - part.starts_at)
    served = lengths.pop((), timedelta())
    is_held = sum(lengths.values(), timedelta()) > served
    return Stretch(parts[0].starts_at, parts[-1].ends_at, max(lengths, key=lengths.__getitem__) if is_held else ())


def _append(found: list[Stretch], part: Stretch) -> None:
    """Neighbours with the same holds become one."""
    if found and found[-1].holds == part.holds:
        part = Stretch(found.pop().starts_at, part.ends_at, part.holds)
    found.append(part)
