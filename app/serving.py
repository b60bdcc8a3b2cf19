"""The serving feed: which campaigns may serve, and how that differs from an earlier moment.

Two reads find differences. `read_since` is cheap: it reads again only campaigns that were toggled or edited since a
position. `read_all` reads every campaign, and so also finds changed headroom and edits made by SQL. Both return whole
rows, so that applying a difference twice changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from db.engine import snapshot
from db.repository.reading import serving, status_feed
from db.repository.reading.serving import Entry, Row
from runtime import clock

MAX_CHANGES: Final = 5_000
"""Toggles, or edits, since the last read from which on reading all campaigns is cheaper."""

REREAD_ENTRIES: Final = 500
"""Audit entries, the newest, that each read of changes looks at again.

Their ids are not in commit order: a lower id may become visible after a higher one, by at most as many ids as edits are
in progress.
"""

EXACT_HEADROOMS: Final = 1_000
"""Campaigns whose headroom alone changed, up to which a difference has each of them."""

HEADROOM_STEPS: Final = 100
"""Divisor: a headroom counts as moved if it changed by at least 1/100 of its old value.

If the headroom alone changed of more than EXACT_HEADROOMS campaigns, a difference has only those that moved.
"""

EDITS_OF_CAMPAIGNS: Final = frozenset({"campaign", "schedule"})
"""Subjects of audit entries whose edit changes one campaign."""

EDITS_OF_MANY: Final = frozenset({"brand", "budget", "platform_account", "import"})
"""Subjects of audit entries whose edit may change several campaigns, so that all must be read again."""

Differences = dict[int, Row | None]
"""The campaigns that differ, by id: as they are now, None if they may not serve."""


class Position(NamedTuple):
    """How far a reader has read the status changes and audit entries.

    `epoch`: changes when ids may have been assigned again, such as after a restored backup. `change_id`: the last
    status change read. `last_entry_id`: the highest id of an audit entry. `entry_ids`: the entries that the reader has
    seen among the last REREAD_ENTRIES, which it reads again.
    """

    epoch: str
    change_id: int
    entry_ids: frozenset[int]
    last_entry_id: int


class Changes(NamedTuple):
    """The campaigns toggled or edited since a position, as they are now.

    `change_ids`: the newest status change of each toggled campaign. `reads_all`: other campaigns may have changed too,
    such as by a new limit, so that the next `read_all` should come soon.
    """

    position: Position
    rows: Differences
    change_ids: Mapping[int, int]
    reads_all: bool


def read_all(brand_ids: Collection[int] | None) -> tuple[Position, dict[int, Row]]:
    """Reads the campaigns of these brands, or of all brands (None), that may serve now.

    Returns the position of this read, and the campaigns by id. Another connection reads the budgets meanwhile. It may
    see newer budgets than the position, which does no harm: campaigns that were toggled after the position are read
    again.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="serving-budgets") as pool, snapshot() as connection:
        last_entry_id = serving.last_entry(connection)
        entries = serving.entries_after(connection, last_entry_id - REREAD_ENTRIES, REREAD_ENTRIES)
        unseen = Position(status_feed.epoch(connection), status_feed.last_id(connection), frozenset(), last_entry_id)
        left = pool.submit(_lefts, brand_ids)
        rows = serving.serving(connection, brand_ids, left.result)
    return _moved(unseen, [], entries), {row.campaign.campaign_id: row for row in rows}


def _lefts(brand_ids: Collection[int] | None) -> serving.Lefts:
    with snapshot() as connection:
        return serving.lefts(connection, brand_ids, clock.now())


def read_since(position: Position, brand_ids: Collection[int] | None) -> Changes | None:
    """The campaigns of these brands, or of all brands (None), that were toggled or edited since the position.

    None if the epoch of the position has ended, or if MAX_CHANGES toggles or edits happened since: the caller must use
    `read_all`.
    """
    with snapshot() as connection:
        epoch = status_feed.epoch(connection)
        toggles = serving.toggles_after(connection, position.change_id, MAX_CHANGES)
        after = position.last_entry_id - REREAD_ENTRIES
        entries = serving.entries_after(connection, after, MAX_CHANGES + REREAD_ENTRIES)
        new = [entry for entry in entries if entry.id not in position.entry_ids]
        if epoch != position.epoch or max(len(toggles), len(new)) >= MAX_CHANGES:
            return None
        change_ids = {campaign_id: change_id for change_id, campaign_id in toggles}
        edited = {entry.subject_id for entry in new if entry.subject in EDITS_OF_CAMPAIGNS}
        rows = _chosen(connection, change_ids.keys() | edited, brand_ids, clock.now())
    reads_all = any(entry.subject in EDITS_OF_MANY for entry in new)
    return Changes(_moved(position, toggles, entries), rows, change_ids, reads_all)


def _moved(position: Position, toggles: Sequence[tuple[int, int]], entries: Sequence[Entry]) -> Position:
    """The position after these toggles and entries, which include all entries that are read again."""
    change_id = toggles[-1][0] if toggles else position.change_id
    last = max((entry.id for entry in entries), default=position.last_entry_id)
    recent = frozenset(entry.id for entry in entries if entry.id > last - REREAD_ENTRIES)
    return Position(position.epoch, change_id, recent, last)


def _chosen(
    connection: Connection, campaign_ids: Collection[int], brand_ids: Collection[int] | None, at: datetime
) -> Differences:
    """Each of the campaigns as it is now; None for one that may not serve or belongs to another brand."""
    if not campaign_ids:
        return {}
    chosen: Differences = dict.fromkeys(campaign_ids)
    for row in serving.serving_of(connection, campaign_ids, at):
        if brand_ids is None or row.campaign.brand_id in brand_ids:
            chosen[row.campaign.campaign_id] = row
    return chosen


def differences(old: Mapping[int, Row], new: Mapping[int, Row]) -> Differences:
    """The rows to change in `old` to get `new`, except small changes of headroom if very many campaigns have one."""
    changed = {key: row for key, row in new.items() if old.get(key) != row}
    only_headroom = [key for key, row in changed.items() if key in old and _differ_in_headroom_alone(old[key], row)]
    if len(only_headroom) > EXACT_HEADROOMS:
        for key in only_headroom:
            if not has_moved(old[key].campaign.headroom_micros, changed[key].campaign.headroom_micros):
                del changed[key]
    return {**changed, **dict.fromkeys(old.keys() - new.keys())}


def _differ_in_headroom_alone(old: Row, new: Row) -> bool:
    headroom_micros = new.campaign.headroom_micros
    return msgspec.structs.replace(old.campaign, headroom_micros=headroom_micros) == new.campaign


def has_moved(old_micros: int | None, new_micros: int | None) -> bool:
    """Whether the headroom changed by at least 1/HEADROOM_STEPS of its old value. None: there is no budget.

    Also True if only one of both is None.
    """
    if old_micros is None or new_micros is None:
        return old_micros is not new_micros
    return abs(new_micros - old_micros) * HEADROOM_STEPS >= old_micros
