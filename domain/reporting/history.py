"""A campaign's holds over time, rebuilt from the history of its hold changes."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple


class Stretch(NamedTuple):
    """Time from `starts_at` up to, excluding, `ends_at`, with unchanged holds. Without holds the campaign served."""

    starts_at: datetime
    ends_at: datetime
    holds: tuple[str, ...]


def stretches(
    changes: Iterable[tuple[datetime, tuple[str, ...]]], starts_at: datetime, ends_at: datetime
) -> Iterator[Stretch]:
    """Yields the campaign's stretches within [starts_at, ends_at), from (changed_at, holds) pairs in id order.

    Time before the first change is unknown and left out. If clocks differed and a change is dated before its
    predecessor, it counts from the predecessor's time on.
    """
    since: datetime | None = None
    holds: tuple[str, ...] = ()
    for changed_at, changed_to in changes:
        if since is not None and since < (until := min(changed_at, ends_at)):
            yield Stretch(since, until, holds)
        since, holds = max(changed_at, since or starts_at), changed_to
    if since is not None and since < ends_at:
        yield Stretch(since, ends_at, holds)


def merge_short_stretches(parts: Iterable[Stretch], least: timedelta) -> list[Stretch]:
    """Merges neighbouring stretches until each lasts at least `least`; the last may be shorter.

    A merged stretch gets the holds that lasted longest in it, or none if the campaign served for half of it or more.
    """
    merged: list[Stretch] = []
    pending: list[Stretch] = []
    for part in parts:
        pending.append(part)
        if pending[-1].ends_at - pending[0].starts_at >= least:
            _append(merged, _merge(pending))
            pending = []
    if pending:
        _append(merged, _merge(pending))
    return merged


def _merge(parts: Sequence[Stretch]) -> Stretch:
    """One stretch for adjoining ones, with the holds that lasted longest.

    It has no holds if the campaign served for half of the time or more.
    """
    lengths: dict[tuple[str, ...], timedelta] = {}
    for part in parts:
        lengths[part.holds] = lengths.get(part.holds, timedelta()) + (part.ends_at - part.starts_at)
    served = lengths.pop((), timedelta())
    is_held = sum(lengths.values(), timedelta()) > served
    return Stretch(parts[0].starts_at, parts[-1].ends_at, max(lengths, key=lengths.__getitem__) if is_held else ())


def _append(merged: list[Stretch], part: Stretch) -> None:
    """Appends `part`, or extends the last stretch if that has the same holds."""
    if merged and merged[-1].holds == part.holds:
        part = Stretch(merged.pop().starts_at, part.ends_at, part.holds)
    merged.append(part)
