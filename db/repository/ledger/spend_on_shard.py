"""The statements that count spend on one shard of Citus, which has all brands of the transaction.

Citus sends `INSERT … VALUES` to its shard as it is. An `INSERT … SELECT` of new rows or a COPY passes through the
coordinator, which then commits in two phases; for few rows that takes several times as long as the rows do.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import repeat
from typing import Any, Final, NamedTuple

from sqlalchemy import TextClause, text

from db.engine import Query
from db.repository.enforcement import brand_locks
from db.repository.ledger.sums import SpendSums
from db.repository.shared.arrays import array_of
from db.statements import PREPARED
from domain.inputs.columns import EventColumns

FEW_ROWS: Final = 100
"""Rows in one `INSERT … VALUES`, at most: its text has each value, and a process keeps it for each number of rows."""

TEXTS_KEPT: Final = 3 * FEW_ROWS


class Insert(NamedTuple):
    """An insert of rows with these columns. `conflict`: its clause ON CONFLICT."""

    table: str
    columns: tuple[str, ...]
    conflict: str = ""

    def of(self, rows: Sequence[tuple[Any, ...]]) -> Query:
        """The query that inserts the rows, in this order."""
        values = {
            f"{column}_{number}": value
            for number, row in enumerate(rows)
            for column, value in zip(self.columns, row, strict=True)
        }
        return _insert(self, len(rows)), values


@lru_cache(TEXTS_KEPT)
def _insert(insert: Insert, rows: int) -> TextClause:
    values = (f"({', '.join(f':{column}_{number}' for column in insert.columns)})" for number in range(rows))
    into = f"{insert.table} AS stored ({', '.join(insert.columns)})"
    statement = text(f"INSERT INTO {into} VALUES {', '.join(values)} {insert.conflict}")  # noqa: S608 - of constants
    return statement.execution_options(**{PREPARED: rows == 1})


ADD_EVENTS: Final = Insert(
    "spend_events",
    ("brand_id", "event_id", "campaign_id", "occurred_at", "amount_micros", "received_at", "source"),
)

ADD_TO_CAMPAIGNS: Final = Insert(
    "campaign_days",
    ("brand_id", "campaign_id", "day", "spent_micros"),
    "ON CONFLICT (brand_id, campaign_id, day) DO UPDATE SET spent_micros = stored.spent_micros + excluded.spent_micros",
)

ADD_TO_BRANDS: Final = Insert(
    "brand_days",
    ("brand_id", "day", "spent_micros"),
    "ON CONFLICT (brand_id, day) DO UPDATE SET spent_micros = stored.spent_micros + excluded.spent_micros",
)

# Adds to more counters of campaigns, in the order of the parameters.
ADD_TO_MANY_CAMPAIGNS = text("""
    INSERT INTO campaign_days AS counter (brand_id, campaign_id, day, spent_micros)
    SELECT * FROM unnest(
        CAST(:campaign_brand_ids AS bigint[]), CAST(:campaign_ids AS bigint[]), CAST(:campaign_days AS date[]),
        CAST(:campaign_amounts AS bigint[])
    )
    ON CONFLICT (brand_id, campaign_id, day)
    DO UPDATE SET spent_micros = counter.spent_micros + excluded.spent_micros
""")

# Adds to more counters of brands, in the order of the parameters.
ADD_TO_MANY_BRANDS = text("""
    INSERT INTO brand_days AS counter (brand_id, day, spent_micros)
    SELECT * FROM unnest(
        CAST(:counted_brand_ids AS bigint[]), CAST(:brand_days AS date[]), CAST(:brand_amounts AS bigint[])
    )
    ON CONFLICT (brand_id, day)
    DO UPDATE SET spent_micros = counter.spent_micros + excluded.spent_micros
""")

LOCKED: Final = "brands.id, time_zone, currency, configured_status, headroom_micros, headroom_on, has_campaign_budgets"
"""The columns of a locked brand that counting returns."""

LESSENED: Final = """
    headroom_micros = CASE WHEN headroom_micros >= {spent} THEN headroom_micros - {spent} END,
        spend_received_at = greatest(spend_received_at, CAST(:at AS timestamptz))
"""
"""The new values of a brand after spend was counted: headroom that is less than the spend becomes null."""

# Subtracts the counted spend from a brand's headroom, and locks the brand; headroom that is less becomes null.
LESSEN_OF_ONE = text(f"""
    UPDATE brands
    SET {LESSENED.format(spent=":spent")}
    WHERE id = :brand_id
    RETURNING {LOCKED}
""").execution_options(**{PREPARED: True})  # noqa: S608 - a constant, put together once

# As LESSEN_OF_ONE, of the locked brands.
LESSEN = text(f"""
    UPDATE brands
    SET {LESSENED.format(spent="spent_micros")}
    FROM unnest(CAST(:brand_ids AS bigint[]), CAST(:spent AS bigint[])) AS sent(brand_id, spent_micros)
    WHERE brands.id = sent.brand_id AND brands.id = ANY(CAST(:brand_ids AS bigint[]))
    RETURNING {LOCKED}
""")  # noqa: S608 - a constant, put together once


def counting(events: EventColumns, added: SpendSums, parameters: Mapping[str, object], at: datetime) -> list[Query]:
    """The queries that write the events and add to the counters, in the order of all transactions that count.

    `parameters`: those of the statements for many rows.
    """
    queries = [ADD_EVENTS.of(_rows(events, at))] if events.event_ids else []
    days = sorted(added.of_days)
    campaigns = [
        (added.brand_of[campaign_id], campaign_id, day, micros)
        for day in days
        for campaign_id, micros in sorted(added.of_days[day].items())
    ]
    brands = [(brand_id, day, micros) for day in days for brand_id, micros in sorted(added.of_brands[day].items())]
    is_few = len(campaigns) <= FEW_ROWS
    queries.append(ADD_TO_CAMPAIGNS.of(campaigns) if is_few else (ADD_TO_MANY_CAMPAIGNS, parameters))
    is_few = len(brands) <= FEW_ROWS
    queries.append(ADD_TO_BRANDS.of(brands) if is_few else (ADD_TO_MANY_BRANDS, parameters))
    return queries


def _rows(events: EventColumns, at: datetime) -> list[tuple[Any, ...]]:
    """The events' rows in key order."""
    columns = (events.brand_ids, events.event_ids, events.campaign_ids, events.occurred_at, events.amounts_micros)
    return sorted(zip(*columns, repeat(at, len(events.event_ids)), events.sources, strict=True))


def lessening(spent: Mapping[int, int], at: datetime) -> list[Query]:
    """The queries that lock the brands and subtract the micros from their headroom; the last returns their rows."""
    if len(spent) == 1:
        ((brand_id, micros),) = spent.items()
        return [(LESSEN_OF_ONE, {"brand_id": brand_id, "spent": micros, "at": at})]
    brand_ids = sorted(spent)
    values = {"brand_ids": array_of(brand_ids), "spent": array_of(spent[one] for one in brand_ids), "at": at}
    return [(brand_locks.LOCK_BRANDS, values), (LESSEN, values)]
