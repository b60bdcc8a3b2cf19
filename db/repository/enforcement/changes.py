"""Writes the decided changes of campaigns: their holds, the history of holds, and a status change for each toggle."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, count, repeat
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from db.engine import Query, deferred
from db.local_settings import has_citus
from db.repository.shared.arrays import array_of, text_array_of
from db.repository.spread.written_by_edits import ORDER_STATUS_CHANGES

# The decided changes, a row for each campaign. Campaigns that share a change refer to it by its number.
DECIDED = """
    SELECT brand_id, campaign_id, from_status, to_status, string_to_array(before, ',') AS holds_before,
        string_to_array(after, ',') AS holds_after, next_change_at, details, changes_holds
    FROM unnest(CAST(:of_brands AS bigint[]), CAST(:campaign_ids AS bigint[]), CAST(:numbers AS bigint[]))
        AS campaign(brand_id, campaign_id, number)
    JOIN unnest(
        CAST(:from_statuses AS text[]), CAST(:to_statuses AS text[]), CAST(:holds_before AS text[]),
        CAST(:holds_after AS text[]), CAST(:next_changes AS timestamptz[]), CAST(:details AS jsonb[]),
        CAST(:changes_holds AS boolean[])
    ) WITH ORDINALITY
        AS change(from_status, to_status, before, after, next_change_at, details, changes_holds, number) USING (number)
"""

# Writes decided holds to campaigns.
APPLY = text(f"""
    UPDATE campaigns
    SET effective_status = to_status, holds = holds_after, next_change_at = decided.next_change_at,
        enforced_at = CAST(:at AS timestamptz)
    FROM ({DECIDED}) AS decided
    WHERE campaigns.brand_id = ANY(CAST(:brand_ids AS bigint[])) AND campaigns.brand_id = decided.brand_id
        AND campaigns.id = decided.campaign_id
""")  # noqa: S608 - a constant, put together once

# Adds the holds that changed to their history.
ADD_HOLD_CHANGES = text(f"""
    INSERT INTO hold_changes (brand_id, campaign_id, changed_at, holds, cause, from_status)
    SELECT brand_id, campaign_id, CAST(:at AS timestamptz), holds_after, CAST(:cause AS text), from_status
    FROM ({DECIDED}) AS decided WHERE changes_holds
""")  # noqa: S608 - a constant, put together once

# Adds a status change for each toggle. Before the first id is assigned, a trigger on the table takes the lock
# `status_changes` until the commit. So ids rise in commit order, and a reader that has seen an id misses no lower one.
ADD_STATUS_CHANGES = text(f"""
    INSERT INTO status_changes
        (brand_id, campaign_id, changed_at, from_status, to_status, holds_before, holds_after, cause, details)
    SELECT brand_id, campaign_id, CAST(:at AS timestamptz), from_status, to_status, holds_before, holds_after,
        CAST(:cause AS text), details
    FROM ({DECIDED}) AS decided WHERE from_status <> to_status
""")  # noqa: S608 - a constant, put together once


class DecidedChange(NamedTuple):
    """One decided change of the rows of several campaigns of a brand, whose facts and rows are equal.

    `campaign_ids`: these campaigns, in order, one at least. `details`: the figures behind the change. `is_first`: it is
    their first decision. `next_change_at`: when their holds may change without an edit or spend; None: never.
    """

    brand_id: int
    campaign_ids: Sequence[int]
    from_status: str
    to_status: str
    holds_before: tuple[str, ...]
    holds_after: tuple[str, ...]
    next_change_at: datetime | None
    details: dict[str, Any]
    is_first: bool = False

    @property
    def is_toggle(self) -> bool:
        return self.from_status != self.to_status

    @property
    def changes_holds(self) -> bool:
        """Whether to write hold changes: the holds differ, or this is the campaigns' first decision."""
        return self.is_first or self.holds_before != self.holds_after

    @property
    def toggles(self) -> int:
        """The number of campaigns that the change toggles: all or none."""
        return len(self.campaign_ids) if self.is_toggle else 0


def apply(
    connection: Connection, changes: Sequence[DecidedChange], at: datetime, cause: str, before: Sequence[Query] = ()
) -> None:
    """Queues the writes of decided holds to the campaigns and their history, and of a status change for each toggle.

    They are sent with the next round trip or COMMIT, after the queries `before`. Call it last in a transaction, because
    it takes the lock that orders status changes.
    """
    queries = [*before, *_queries(changes, at, cause, has_citus(connection))]
    if queries:
        deferred(connection, *queries)


def _queries(changes: Sequence[DecidedChange], at: datetime, cause: str, is_spread: bool) -> list[Query]:
    if not changes:
        return []
    sizes = [len(change.campaign_ids) for change in changes]
    parameters = {
        "at": at,
        "cause": cause,
        "brand_ids": array_of(sorted({change.brand_id for change in changes})),
        "of_brands": array_of(_repeated((change.brand_id for change in changes), sizes)),
        "campaign_ids": array_of(chain.from_iterable(change.campaign_ids for change in changes)),
        "numbers": array_of(_repeated(count(1), sizes)),
        "from_statuses": array_of(change.from_status for change in changes),
        "to_statuses": array_of(change.to_status for change in changes),
        "holds_before": text_array_of(",".join(change.holds_before) for change in changes),
        "holds_after": text_array_of(",".join(change.holds_after) for change in changes),
        "next_changes": text_array_of(_moment(change.next_change_at) for change in changes),
        "details": text_array_of(json.dumps(change.details) for change in changes),
        "changes_holds": array_of(str(change.changes_holds) for change in changes),
    }
    queries: list[Query] = [(APPLY, parameters)]
    if any(change.changes_holds for change in changes):
        queries.append((ADD_HOLD_CHANGES, parameters))
    if any(change.is_toggle for change in changes):
        # On several servers no trigger takes the lock.
        queries += [(ORDER_STATUS_CHANGES, {})] if is_spread else []
        queries.append((ADD_STATUS_CHANGES, parameters))
    return queries


def _repeated(values: Iterable[int], sizes: Sequence[int]) -> Iterator[int]:
    """Yields each value as often as its size says."""
    return chain.from_iterable(map(repeat, values, sizes))


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
