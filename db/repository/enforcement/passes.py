"""Stores passes in `pending_enforcements`: enforcements, in parts, of brands too large for one transaction.

domain/passes.py decides the parts. `brands.enforced_budget_holds`: the holds of the brand's own budgets that all its
campaigns have, or will have when its pass is complete. While these match the budgets that are exhausted now, no
campaign needs to be read. Null: unknown. Both are written under the brand's lock.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from db.engine import Query, deferred, query_pipelined
from db.repository.enforcement.brand_locks import locks_of
from db.repository.shared.arrays import array_of, text_array_of
from db.repository.spread.on_shard import COLUMNS
from db.repository.spread.shards import by_shard
from domain.passes import Pass, Progress

LAST_ID: Final = 2**63 - 1

# The first campaigns of each brand within a range of ids; IDS_OF_BRANDS leaves out brands that have a pass.
IDS = """
    SELECT part.brand_id, campaign.id
    FROM unnest(
        CAST(:brand_ids AS bigint[]), CAST(:after_ids AS bigint[]), CAST(:last_ids AS bigint[]),
        CAST(:sizes AS bigint[])
    ) AS part(brand_id, after_id, last_id, size)
    CROSS JOIN LATERAL (
        SELECT id FROM campaigns
        WHERE campaigns.brand_id = part.brand_id AND id > part.after_id AND id <= part.last_id
            /*citus AND campaigns.brand_id = ANY(CAST(:brand_ids AS bigint[])) */
        ORDER BY id LIMIT part.size
    ) AS campaign
"""
IDS_OF_PARTS = text(f"{IDS} ORDER BY campaign.id")
FIRST_IDS = f"""
    {IDS} WHERE NOT EXISTS (
        SELECT FROM pending_enforcements AS pending
        WHERE pending.brand_id = part.brand_id /*citus AND pending.brand_id = ANY(CAST(:brand_ids AS bigint[])) */
    )
    LIMIT :most
"""
IDS_OF_BRANDS = text(FIRST_IDS)

# The number of campaigns of each brand; counting stops at :most.
SIZES = text("""
    SELECT brand_id, (
        SELECT count(*) FROM (
            SELECT FROM campaigns
            WHERE campaigns.brand_id = chosen.brand_id
                /*citus AND campaigns.brand_id = ANY(CAST(:brand_ids AS bigint[])) */
            LIMIT :most
        ) AS counted
    )
    FROM unnest(CAST(:brand_ids AS bigint[])) AS chosen(brand_id)
""")

NEVER_ENFORCED = text(
    "SELECT id FROM campaigns WHERE brand_id = :brand_id AND enforced_at IS NULL ORDER BY id LIMIT :most"
)

PENDING = text("""
    SELECT brand_id, after_campaign_id, stop_campaign_id, wrapped, done, paused, activated, cause, total
    FROM pending_enforcements WHERE brand_id = ANY(CAST(:brand_ids AS bigint[]))
""").execution_options(
    **{
        COLUMNS: "brand_id bigint, after_campaign_id bigint, stop_campaign_id bigint, wrapped boolean, done bigint,"
        " paused bigint, activated bigint, cause text, total bigint"
    }
)

KEEP = text("""
    INSERT INTO pending_enforcements AS pending
        (brand_id, after_campaign_id, stop_campaign_id, wrapped, done, paused, activated, cause, requested_at)
    SELECT *, CAST(:cause AS text), CAST(:at AS timestamptz) FROM unnest(
        CAST(:brand_ids AS bigint[]), CAST(:after_ids AS bigint[]), CAST(:stop_ids AS bigint[]),
        CAST(:wrapped AS boolean[]), CAST(:done AS bigint[]), CAST(:paused AS bigint[]), CAST(:activated AS bigint[])
    )
    ON CONFLICT (brand_id) DO UPDATE SET after_campaign_id = excluded.after_campaign_id,
        stop_campaign_id = excluded.stop_campaign_id, wrapped = excluded.wrapped, done = excluded.done,
        paused = excluded.paused, activated = excluded.activated, cause = excluded.cause,
        requested_at = CASE WHEN :is_new THEN excluded.requested_at ELSE pending.requested_at END
""")

END = text("DELETE FROM pending_enforcements WHERE brand_id = :brand_id")

WAITING = text("SELECT brand_id FROM pending_enforcements ORDER BY requested_at, brand_id")

COUNT_CAMPAIGNS = text("""
    SELECT count(*) FROM campaigns
    WHERE brand_id = (SELECT brand_id FROM pending_enforcements WHERE brand_id = :brand_id AND total IS NULL)
""")

SET_TOTAL = text("UPDATE pending_enforcements SET total = :total WHERE brand_id = :brand_id AND total IS NULL")

# Stores the decided holds if they were decided for all campaigns. If they were decided for some campaigns and differ
# from the stored ones, clears the stored ones. Returns the brands whose stored holds differed.
REMEMBER = text("""
    UPDATE brands SET enforced_budget_holds = CASE WHEN CAST(:of_all AS boolean) THEN string_to_array(holds, ',') END
    FROM unnest(CAST(:brand_ids AS bigint[]), CAST(:holds AS text[])) AS decided(brand_id, holds)
    WHERE brands.id = decided.brand_id /*citus AND brands.id = ANY(CAST(:brand_ids AS bigint[])) */
        AND enforced_budget_holds IS DISTINCT FROM string_to_array(holds, ',')
        AND (CAST(:of_all AS boolean) OR enforced_budget_holds IS NOT NULL)
    RETURNING brands.id
""")

KEPT_HOLDS = text("SELECT array_to_string(enforced_budget_holds, ',') FROM brands WHERE id = :brand_id")

# The brands are locked before, in order.
FORGET = text("UPDATE brands SET enforced_budget_holds = NULL WHERE id = ANY(CAST(:brand_ids AS bigint[]))")

Holds = tuple[str, ...]


class Pending(NamedTuple):
    """A pass (enforcement of a large brand in parts) in progress.

    `cause`: why it runs. `total`: the number of campaigns of the brand; None: not counted yet.
    """

    current: Pass
    cause: str
    total: int | None


def first_ids(
    connection: Connection, brand_ids: Iterable[int], most: int
) -> tuple[list[tuple[int, int]], dict[int, Pending]]:
    """At most `most` (brand id, campaign id) pairs of brands without a pass, and the passes of the others by brand id.

    A pass is the enforcement, in parts, of a large brand that is under way.
    """
    in_order = sorted(brand_ids)
    parameters = parts(dict.fromkeys(in_order, most)) | {"most": most}
    ids, rows = query_pipelined(connection, (IDS_OF_BRANDS, parameters), passes_of(in_order))
    return [(brand_id, campaign_id) for brand_id, campaign_id in ids], pending_in(rows)


def ids_of(connection: Connection, sizes: Mapping[int, int]) -> list[tuple[int, int]]:
    """(brand id, campaign id) pairs of the first `sizes[brand_id]` campaigns of each brand, sorted by campaign id."""
    (rows,) = query_pipelined(connection, (IDS_OF_PARTS, parts(sizes)))
    return [(brand_id, campaign_id) for brand_id, campaign_id in rows]


def part_of(brand_id: int, current: Pass, most: int) -> dict[str, Any]:
    """The parameters of `IDS` for the next part of a pass (enforcement in parts): at most `most` campaigns."""
    return parts({brand_id: most}, current.after_id, current.last_id)


def parts(sizes: Mapping[int, int], after_id: int = 0, last_id: int | None = None) -> dict[str, Any]:
    """The parameters of `IDS`: `sizes[brand_id]` campaigns of each brand with ids above `after_id`.

    `last_id`: the last id that is included; None: no bound.
    """
    return {
        "brand_ids": array_of(sizes),
        "sizes": array_of(sizes.values()),
        "after_ids": array_of(after_id for _ in sizes),
        "last_ids": array_of(LAST_ID if last_id is None else last_id for _ in sizes),
    }


def sizes(connection: Connection, brand_ids: Iterable[int], most: int) -> dict[int, int]:
    """The number of campaigns of each brand, by brand id; counted up to `most`."""
    shards = by_shard(connection, frozenset(brand_ids))
    queries = [(SIZES, {"brand_ids": array_of(sorted(some)), "most": most}) for some in shards]
    rows = chain.from_iterable(query_pipelined(connection, *queries))
    return {brand_id: campaigns for brand_id, campaigns in rows}  # noqa: C416 - rows are no pairs


def never_enforced(connection: Connection, brand_id: int, most: int) -> list[int]:
    """The ids of the brand's first campaigns that were never enforced, `most` at most."""
    return list(connection.scalars(NEVER_ENFORCED, {"brand_id": brand_id, "most": most}))


def pending(connection: Connection, brand_ids: Iterable[int]) -> dict[int, Pending]:
    """The passes (enforcements in parts) in progress, by brand id; brands without a pass are left out."""
    (rows,) = query_pipelined(connection, passes_of(brand_ids))
    return pending_in(rows)


def passes_of(brand_ids: Iterable[int]) -> Query:
    """The query for the passes (enforcements in parts) in progress of these brands; `pending_in` reads its rows."""
    return PENDING, {"brand_ids": array_of(brand_ids)}


def pending_in(rows: Iterable[tuple[Any, ...]]) -> dict[int, Pending]:
    """The passes (enforcements in parts) in rows of `PENDING`, by brand id."""
    return {brand_id: Pending(Pass(*current), cause, total) for brand_id, *current, cause, total in rows}


def progress(connection: Connection, brand_ids: Iterable[int]) -> dict[int, Progress]:
    """The progress of the brands' passes (enforcements in parts), by brand id; brands without a pass are left out."""
    passes = pending(connection, brand_ids)
    return {brand_id: Progress.of(one.current, one.total) for brand_id, one in passes.items()}


def keep_query(passes: Mapping[int, Pass], cause: str, at: datetime, *, is_new: bool) -> Query:
    """The query that stores the positions of passes (enforcements in parts), given by brand id, and their cause.

    `is_new`: the cause is new; stores `at` as its time. False: keeps the stored time.
    """
    current = passes.values()
    return KEEP, {
        "brand_ids": array_of(passes),
        "after_ids": array_of(one.after_id for one in current),
        "stop_ids": array_of(one.stop_id for one in current),
        "wrapped": array_of(str(one.wrapped) for one in current),
        "done": array_of(one.done for one in current),
        "paused": array_of(one.paused for one in current),
        "activated": array_of(one.activated for one in current),
        "cause": cause,
        "at": at,
        "is_new": is_new,
    }


def end_query(brand_id: int) -> Query:
    """The query that deletes the brand's pass (enforcement in parts)."""
    return END, {"brand_id": brand_id}


def end(connection: Connection, brand_id: int) -> None:
    """Deletes the brand's pass (enforcement in parts)."""
    query_pipelined(connection, end_query(brand_id))


def waiting(connection: Connection) -> list[int]:
    """The ids of brands with a pass (enforcement in parts) under way, the longest waiting first."""
    return list(connection.scalars(WAITING))


def count_campaigns(connection: Connection, brand_id: int) -> None:
    """Counts the brand's campaigns and stores the total with its pass (enforcement in parts), unless it is stored."""
    total = connection.scalar(COUNT_CAMPAIGNS, {"brand_id": brand_id})
    if total:
        connection.execute(SET_TOTAL, {"brand_id": brand_id, "total": total})


def keep_holds_query(holds: Mapping[int, Holds], *, of_all: bool) -> Query:
    """The query that stores the holds of brands' own budgets that were decided for their campaigns, by brand id.

    `of_all`: the holds were decided for all campaigns of the brands. False: for some campaigns; the query then stores
    nothing, and clears stored holds that differ. The query returns the ids of the brands whose stored holds differed.
    """
    lists = text_array_of(",".join(names) for names in holds.values())
    return REMEMBER, {"brand_ids": array_of(holds), "holds": lists, "of_all": of_all}


def kept_holds_of(brand_id: int) -> Query:
    """The query for the stored holds of the brand's own budgets; `has_kept` reads its rows."""
    return KEPT_HOLDS, {"brand_id": brand_id}


def has_kept(rows: Sequence[tuple[Any, ...]], holds: Holds) -> bool:
    """Whether these rows of `KEPT_HOLDS` say that all campaigns have, or will have after the pass, these holds."""
    return bool(rows) and rows[0][0] == ",".join(holds)


def remember(connection: Connection, holds: Mapping[int, Holds]) -> bool:
    """Stores, by brand id, the holds of the brand's own budgets that all its campaigns have.

    Returns whether stored holds of any brand differed.
    """
    (rows,) = query_pipelined(connection, keep_holds_query(holds, of_all=True))
    return bool(rows)


def forget(connection: Connection, brand_ids: Iterable[int]) -> None:
    """Locks these brands in order and clears their stored budget holds, so that the next spend reads their campaigns.

    Sends both with the transaction's next round trip.
    """
    chosen = sorted(brand_ids)
    deferred(connection, *locks_of(connection, chosen), (FORGET, {"brand_ids": array_of(chosen)}))
