"""A selection: the serving campaigns of one brand or all, on one platform or all, and its recent differences."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Final, NamedTuple

from app.serving import Differences, Position
from db.repository.reading.serving import MARKS, Row
from web.serving import encoding
from web.serving.encoding import Body, Encoded

MAX_HISTORY: Final = 1_000
"""Differences that a selection keeps for followers that are behind."""

MAX_HISTORY_BYTES: Final = 8_388_608
"""Bytes, before compression, of the differences that a selection keeps."""


class Key(NamedTuple):
    """The campaigns that a follower asks for: of a brand (None: of all), on a platform (None: on any or none)."""

    brand_id: int | None
    platform: str | None

    def covers(self, row: Row) -> bool:
        return self.brand_id in {None, row.campaign.brand_id} and self.platform in {None, row.campaign.platform}


class Difference(NamedTuple):
    """One change of a selection, and its event for followers.

    `rows`: the changed rows as they are after it, by campaign id; None: removed. `event_id`: the id of the content
    after it. `marks`: the sum of the marks (hashes) of all rows after it, from which that id is made.
    """

    rows: Differences
    marks: int
    event_id: str
    event: Encoded


class Snapshot(NamedTuple):
    """All rows of a selection after `step` differences. `id` names this content.

    `epoch`: the number that changes when the ids of status changes start again, such as after a restored backup.
    """

    id: str
    epoch: str
    step: int
    rows: list[Row]

    def body(self) -> Body:
        """The snapshot as JSON, its campaigns in order of their ids."""
        campaigns = sorted((row.campaign for row in self.rows), key=attrgetter("campaign_id"))
        return encoding.body_of(encoding.snapshot_rest(self.id, self.epoch, campaigns))


class Selection:
    """The campaigns of a key, an id that names this content, and its recent differences.

    The id is equal in all web processes with equal content. `step`: how many differences this object has had.
    """

    def __init__(self, key: Key, epoch: str, rows: Mapping[int, Row]) -> None:
        self.key, self.epoch = key, epoch
        self.rows = {campaign_id: row for campaign_id, row in rows.items() if key.covers(row)}
        self.marks = sum(row.mark for row in self.rows.values()) % MARKS
        self.step = 0
        self._history: deque[tuple[str, Encoded]] = deque()
        """For each recent difference, oldest first: the id of the content before it, and its event."""
        self._history_bytes = 0
        self.moved = asyncio.Event()
        """Set by the next difference, which then puts a new event in its place."""

    @property
    def id(self) -> str:
        return _id(self.epoch, self.marks)

    def difference(self, rows: Differences, change_ids: Mapping[int, int]) -> Difference | None:
        """The difference that gives the selection these rows; None if it has them already. Changes nothing.

        `rows`: by campaign id; None: removed. `change_ids`: by campaign id, the id of the newest status change of
        removed campaigns; for a campaign that it lacks, the event has the change id of the present row.
        """
        changing = {key: row for key, row in rows.items() if self.rows.get(key) != row}
        if not changing:
            return None
        gone = [(key, self.rows[key]) for key, row in changing.items() if row is None]
        removed = [(key, change_ids.get(key, row.campaign.change_id)) for key, row in gone]
        added = [row.campaign for key, row in changing.items() if row and key not in self.rows]
        changed = [row.campaign for key, row in changing.items() if row and key in self.rows]
        moved = (_mark_of(row) - _mark_of(self.rows.get(key)) for key, row in changing.items())
        marks = (self.marks + sum(moved)) % MARKS
        event_id = _id(self.epoch, marks)
        body = encoding.difference_body(added, changed, removed)
        return Difference(changing, marks, event_id, encoding.event("difference", body, event_id))

    def apply(self, difference: Difference) -> None:
        """Changes the rows by the difference, wakes followers, and keeps the event for followers that are behind."""
        self._history.append((self.id, difference.event))
        self._history_bytes += len(difference.event.plain)
        while self._history_bytes > MAX_HISTORY_BYTES or len(self._history) > MAX_HISTORY:
            self._history_bytes -= len(self._history.popleft()[1].plain)
        for campaign_id, row in difference.rows.items():
            if row is None:
                del self.rows[campaign_id]
            else:
                self.rows[campaign_id] = row
        self.marks, self.step = difference.marks, self.step + 1
        self.moved.set()
        self.moved = asyncio.Event()

    def step_of(self, event_id: str | None) -> int | None:
        """The `step` at which the content last had this id; None if it never had, or if that is no longer kept."""
        if event_id == self.id:
            return self.step
        for behind, (before, _) in enumerate(reversed(self._history), start=1):
            if before == event_id:
                return self.step - behind
        return None

    def since(self, step: int) -> list[Encoded] | None:
        """The events of the differences after this `step`, oldest first; None if they are no longer all kept."""
        behind = self.step - step
        if behind > len(self._history):
            return None
        return [self._history[place][1] for place in range(-behind, 0)]

    def snapshot(self) -> Snapshot:
        """A copy of the present content, which another thread can encode."""
        return Snapshot(self.id, self.epoch, self.step, list(self.rows.values()))


Step = tuple[Selection, Difference]
"""A difference, and the selection whose next difference it is."""


class Board:
    """The serving campaigns of `brand_ids` (None: of all brands), and by key the selections that are in use."""

    def __init__(self, position: Position, brand_ids: frozenset[int] | None, rows: dict[int, Row]) -> None:
        self.position, self.brand_ids, self.rows = position, brand_ids, rows
        self.selections: dict[Key, Selection] = {}

    def select(self, keys: Iterable[Key]) -> None:
        """Makes the missing selections of these keys, keeps the present ones, and removes selections of other keys."""
        self.selections = {
            key: self.selections.get(key) or Selection(key, self.position.epoch, self.rows) for key in keys
        }

    def steps(self, rows: Differences, change_ids: Mapping[int, int]) -> list[Step]:
        """The difference of each selection in use that these rows change. `rows`: by campaign id; None: removed.

        Changes nothing, so it may run in another thread.
        """
        by_key: dict[Key, Differences] = {}
        for campaign_id, row in rows.items():
            before = self.rows.get(campaign_id)
            for key in _keys_of(before) - _keys_of(row):
                by_key.setdefault(key, {})[campaign_id] = None
            for key in _keys_of(row):
                by_key.setdefault(key, {})[campaign_id] = row
        chosen = [(self.selections[key], by_key[key]) for key in by_key.keys() & self.selections.keys()]
        made = [(selection, selection.difference(changed, change_ids)) for selection, changed in chosen]
        return [(selection, difference) for selection, difference in made if difference is not None]

    def apply(self, rows: Differences, steps: Iterable[Step]) -> None:
        """Applies the differences `steps` to their selections. Stores `rows`, from which later selections are made."""
        for selection, difference in steps:
            selection.apply(difference)
        for campaign_id, row in rows.items():
            if row is None:
                self.rows.pop(campaign_id, None)
            else:
                self.rows[campaign_id] = row


def _keys_of(row: Row | None) -> set[Key]:
    """The keys of all selections that have the campaign, whether they are in use or not; an empty set for None."""
    if row is None:
        return set()
    one = row.campaign
    return {Key(brand_id, platform) for brand_id in (None, one.brand_id) for platform in (None, one.platform)}


def _mark_of(row: Row | None) -> int:
    return 0 if row is None else row.mark


def _id(epoch: str, marks: int) -> str:
    return f"{epoch}-{marks:016x}"
