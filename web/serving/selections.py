"""A selection: the serving campaigns of one brand or all, on one platform or all, and its recent differences."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Final, NamedTuple

from app.serving import Differences, Position
from db.repository.reading.serving import MARKS, Row
from web.serving import wire
from web.serving.wire import Body, Encoded

MAX_HISTORY: Final = 1_000
MAX_HISTORY_BYTES: Final = 8_388_608
"""Differences, and their bytes before compression, that a selection keeps for followers that are behind."""


class Key(NamedTuple):
    """The choice of a follower: the campaigns of a brand (None: all) on a platform (None: all, and those on none)."""

    brand_id: int | None
    platform: str | None

    def covers(self, row: Row) -> bool:
        return self.brand_id in {None, row.campaign.brand_id} and self.platform in {None, row.campaign.platform}


class Difference(NamedTuple):
    """A step of one selection: rows as they are afterwards (None: removed), and the event that says so."""

    rows: Differences
    marks: int
    event_id: str
    event: Encoded


class Snapshot(NamedTuple):
    """All rows of a selection after its `step`-th difference. `id` names this content."""

    id: str
    epoch: str
    step: int
    rows: list[Row]

    def body(self) -> Body:
        """Its JSON, the campaigns by id."""
        campaigns = sorted((row.campaign for row in self.rows), key=attrgetter("campaign_id"))
        return wire.body_of(wire.snapshot_rest(self.id, self.epoch, campaigns))


class Selection:
    """The campaigns of a key, an id that names this content, and its recent differences.

    The id is equal in all web processes with equal content. `step` counts the differences since this object was made.
    """

    def __init__(self, key: Key, epoch: str, rows: Mapping[int, Row]) -> None:
        self.key, self.epoch = key, epoch
        self.rows = {campaign_id: row for campaign_id, row in rows.items() if key.covers(row)}
        self.marks = sum(row.mark for row in self.rows.values()) % MARKS
        self.step = 0
        self._history: deque[tuple[str, Encoded]] = deque()
        """The id before each recent difference, and its event."""
        self._history_bytes = 0
        self.moved = asyncio.Event()
        """Set by the next difference."""

    @property
    def id(self) -> str:
        return _id(self.epoch, self.marks)

    def difference(self, rows: Differences, change_ids: Mapping[int, int]) -> Difference | None:
        """The step after which the selection has these rows; None if it has them already."""
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
        body = wire.difference_body(added, changed, removed)
        return Difference(changing, marks, event_id, wire.event("difference", body, event_id))

    def apply(self, difference: Difference) -> None:
        """Takes the step, and keeps it for followers that are behind."""
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
        """The latest step at which the content had this id; None if it never had, or too long ago."""
        if event_id == self.id:
            return self.step
        for behind, (before, _) in enumerate(reversed(self._history), start=1):
            if before == event_id:
                return self.step - behind
        return None

    def since(self, step: int) -> list[Encoded] | None:
        """The events of the differences after a step; None if it was too long ago."""
        behind = self.step - step
        if behind > len(self._history):
            return None
        return [self._history[place][1] for place in range(-behind, 0)]

    def snapshot(self) -> Snapshot:
        """The content now, to encode in another thread."""
        return Snapshot(self.id, self.epoch, self.step, list(self.rows.values()))


Step = tuple[Selection, Difference]


class Board:
    """The serving campaigns of some brands, or of all (None), and the selections that followers make from them."""

    def __init__(self, position: Position, brand_ids: frozenset[int] | None, rows: dict[int, Row]) -> None:
        self.position, self.brand_ids, self.rows = position, brand_ids, rows
        self.selections: dict[Key, Selection] = {}

    def select(self, keys: Iterable[Key]) -> None:
        """Makes the selections of these keys, and forgets all others."""
        self.selections = {
            key: self.selections.get(key) or Selection(key, self.position.epoch, self.rows) for key in keys
        }

    def steps(self, rows: Differences, change_ids: Mapping[int, int]) -> list[Step]:
        """The steps of all selections after which they have these rows.

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
        """Takes the steps, and keeps the rows for further selections."""
        for selection, difference in steps:
            selection.apply(difference)
        for campaign_id, row in rows.items():
            if row is None:
                self.rows.pop(campaign_id, None)
            else:
                self.rows[campaign_id] = row


def _keys_of(row: Row | None) -> set[Key]:
    """The keys of all selections that have the campaign."""
    if row is None:
        return set()
    one = row.campaign
    return {Key(brand_id, platform) for brand_id in (None, one.brand_id) for platform in (None, one.platform)}


def _mark_of(row: Row | None) -> int:
    return 0 if row is None else row.mark


def _id(epoch: str, marks: int) -> str:
    return f"{epoch}-{marks:016x}"
