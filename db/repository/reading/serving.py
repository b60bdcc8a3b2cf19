"""Reads which campaigns may serve now, with the headroom left under the budgets that hold them.

A campaign may serve if enforcement decided that it is active and no budget of it or its brand is exhausted. The second
condition matters while a brand too large for one transaction is being paused in parts.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, TextClause, text

from db.repository.shared.arrays import array_of
from db.repository.shared.windows import LEFT_MICROS, SPEND_OF_BUDGETS, current_windows
from db.repository.shared.zones import readable_zones

# The campaigns that may serve, and of each the least that is left of its own and its brand's budgets in the current
# windows; null without a budget. Campaigns of a brand whose time zone does not exist are left out: it has no windows.
_SERVING: Final = f"""
    WITH lefts AS MATERIALIZED (
        SELECT budgets.brand_id, budgets.campaign_id, min({LEFT_MICROS}) AS left_micros
        {SPEND_OF_BUDGETS}
        WHERE {{budgets}}
        GROUP BY budgets.brand_id, budgets.campaign_id
    )
    SELECT campaigns.id, campaigns.brand_id, campaigns.platform, newest.change_id,
        LEAST(of_brand.left_micros, own.left_micros)::bigint AS headroom_micros,
        (SELECT row_to_json(fields)::text FROM (
            SELECT campaigns.id AS campaign_id, campaigns.brand_id, campaigns.platform, external_id,
                account_id AS account, newest.change_id, next_change_at
        ) AS fields) AS facts
    FROM campaigns
    JOIN brands ON brands.id = campaigns.brand_id AND brands.time_zone = ANY(CAST(:readable AS text[]))
    LEFT JOIN platform_accounts ON platform_accounts.id = platform_account_id
    LEFT JOIN lefts AS of_brand ON of_brand.brand_id = campaigns.brand_id AND of_brand.campaign_id IS NULL
    LEFT JOIN lefts AS own ON own.brand_id = campaigns.brand_id AND own.campaign_id = campaigns.id
    CROSS JOIN LATERAL (SELECT max(id) AS change_id FROM status_changes WHERE campaign_id = campaigns.id) AS newest
    WHERE {{campaigns}} AND effective_status = 'active' AND enforced_at IS NOT NULL
        AND (LEAST(of_brand.left_micros, own.left_micros) > 0
            OR LEAST(of_brand.left_micros, own.left_micros) IS NULL)
"""  # noqa: S608 - a constant, put together once

SERVING = text(_SERVING.format(budgets="true", campaigns="true"))

_OF_BRANDS: Final = "brand_id = ANY(CAST(:brand_ids AS bigint[]))"
SERVING_OF_BRANDS = text(_SERVING.format(budgets=f"budgets.{_OF_BRANDS}", campaigns=f"campaigns.{_OF_BRANDS}"))

# The same facts of chosen campaigns, for those that were toggled or edited.
_OF_CHOSEN: Final = """
    budgets.brand_id = ANY(ARRAY(SELECT brand_id FROM campaigns WHERE id = ANY(CAST(:campaign_ids AS bigint[]))))
    AND (budgets.campaign_id IS NULL OR budgets.campaign_id = ANY(CAST(:campaign_ids AS bigint[])))
"""
_IS_CHOSEN: Final = "campaigns.id = ANY(CAST(:campaign_ids AS bigint[]))"
SERVING_CHOSEN = text(_SERVING.format(budgets=_OF_CHOSEN, campaigns=_IS_CHOSEN))

ZONES = text("SELECT DISTINCT time_zone FROM brands")

TOGGLES_AFTER = text("SELECT id, campaign_id FROM status_changes WHERE id > :after ORDER BY id LIMIT :limit")

LAST_ENTRY = text("SELECT COALESCE(max(id), 0) FROM audit_entries")

ENTRIES_AFTER = text("SELECT id, subject, subject_id FROM audit_entries WHERE id > :after ORDER BY id LIMIT :limit")


class Row(NamedTuple):
    """A campaign that may serve. `facts`: a JSON object with all its fields but the headroom.

    `change_id`: its newest status change, None if it was never toggled. `headroom_micros`: more than 0; None without a
    budget.
    """

    campaign_id: int
    brand_id: int
    platform: str | None
    change_id: int | None
    headroom_micros: int | None
    facts: str


class Entry(NamedTuple):
    """An audit entry: its id, and the kind and the id of the edited row."""

    id: int
    subject: str
    subject_id: int


def serving(connection: Connection, brand_ids: Collection[int] | None, at: datetime) -> list[Row]:
    """The campaigns of these brands, or of all brands (None), that may serve at `at`.

    Leaves out brands with an unknown time zone.
    """
    if brand_ids is None:
        return _rows(connection, SERVING, {}, at)
    return _rows(connection, SERVING_OF_BRANDS, {"brand_ids": array_of(sorted(brand_ids))}, at)


def serving_of(connection: Connection, campaign_ids: Iterable[int], at: datetime) -> list[Row]:
    """Those of the given campaigns that may serve at `at`."""
    return _rows(connection, SERVING_CHOSEN, {"campaign_ids": array_of(sorted(campaign_ids))}, at)


def _rows(connection: Connection, statement: TextClause, ids: dict[str, Any], at: datetime) -> list[Row]:
    zones = list(readable_zones(connection.scalars(ZONES).all()))
    parameters = ids | current_windows(zones, at) | {"readable": zones}
    return [Row(*row) for row in connection.execute(statement, parameters)]


def toggles_after(connection: Connection, after: int, limit: int) -> list[tuple[int, int]]:
    """(status change id, campaign id) of the toggles with an id above `after`, in commit order, `limit` at most."""
    rows = connection.execute(TOGGLES_AFTER, {"after": after, "limit": limit})
    return [(change_id, campaign_id) for change_id, campaign_id in rows]


def entries_after(connection: Connection, after: int, limit: int) -> list[Entry]:
    """The audit entries with an id above `after`, by id, `limit` at most."""
    rows = connection.execute(ENTRIES_AFTER, {"after": after, "limit": limit})
    return [Entry(*row) for row in rows]


def last_entry(connection: Connection) -> int:
    """The largest id of an audit entry, 0 if there is none."""
    return int(connection.scalars(LAST_ENTRY).one())
