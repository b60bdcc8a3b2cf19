"""Reads which campaigns may serve now, with the least that is left of their own and their brand's budgets.

A campaign may serve if enforcement decided that it is active and no budget of it or its brand is exhausted. The second
condition matters while a brand too large for one transaction is being paused in parts.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, TextClause, text

from db.repository.shared.amounts import bounded
from db.repository.shared.arrays import array_of
from db.repository.shared.served_ids import OWN_OR_RELEASED_ID
from db.repository.shared.windows import LEFT_MICROS, SPEND_OF_BUDGETS, current_windows
from db.repository.shared.zones import readable_zones

# The least that is left of the budgets of each brand, and of each campaign, in the current windows.
_LEFT: Final = f"""
    SELECT budgets.brand_id, budgets.campaign_id, {bounded(f"min({LEFT_MICROS})")}
    {SPEND_OF_BUDGETS}
    WHERE {{condition}}
    GROUP BY budgets.brand_id, budgets.campaign_id
"""

# The active campaigns, without those of a brand whose time zone does not exist: it has no windows.
_ACTIVE: Final = f"""
    SELECT campaigns.id, campaigns.brand_id, campaigns.platform, named.external_id, account_id, newest.change_id,
        next_change_at,
        hash_record_extended(
            ROW(campaigns.id, campaigns.brand_id, campaigns.platform, named.external_id, account_id, newest.change_id,
                next_change_at), 0
        )
    FROM campaigns
    JOIN brands ON brands.id = campaigns.brand_id AND brands.time_zone = ANY(CAST(:readable AS text[]))
    LEFT JOIN platform_accounts ON platform_accounts.id = platform_account_id
    CROSS JOIN LATERAL (
        SELECT max(id) AS change_id FROM status_changes
        WHERE campaign_id = campaigns.id /*citus AND status_changes.brand_id = campaigns.brand_id */
    ) AS newest
    /*citus LEFT JOIN (
        SELECT DISTINCT ON (campaign_id, platform_account_id, until_day)
            campaign_id, platform_account_id, until_day, external_id
        FROM released_external_ids
    ) AS released ON released.campaign_id = campaigns.id
        AND released.platform_account_id = campaigns.platform_account_id
        AND released.until_day = campaigns.ends_on + 1 */
    CROSS JOIN LATERAL (SELECT /*plain*/ {OWN_OR_RELEASED_ID} /*end*/
        /*citus COALESCE(campaigns.external_id, released.external_id) */ AS external_id) AS named
    WHERE {{condition}} AND effective_status = 'active' AND enforced_at IS NOT NULL
"""  # noqa: S608 - a constant, put together once

LEFT = text(_LEFT.format(condition="true"))
ACTIVE = text(_ACTIVE.format(condition="true"))

_OF_BRANDS: Final = "brand_id = ANY(CAST(:brand_ids AS bigint[]))"
LEFT_OF_BRANDS = text(_LEFT.format(condition=f"budgets.{_OF_BRANDS}"))
ACTIVE_OF_BRANDS = text(_ACTIVE.format(condition=f"campaigns.{_OF_BRANDS}"))

# For campaigns that were toggled or edited.
LEFT_OF_CHOSEN = text(
    _LEFT.format(
        condition="""
            budgets.brand_id = ANY(ARRAY(
                SELECT brand_id FROM campaigns WHERE id = ANY(CAST(:campaign_ids AS bigint[]))
            ))
            AND (budgets.campaign_id IS NULL OR budgets.campaign_id = ANY(CAST(:campaign_ids AS bigint[])))
        """
    )
)
ACTIVE_CHOSEN = text(_ACTIVE.format(condition="campaigns.id = ANY(CAST(:campaign_ids AS bigint[]))"))

ZONES = text("SELECT DISTINCT time_zone FROM brands")

TOGGLES_AFTER = text("SELECT id, campaign_id FROM status_changes WHERE id > :after ORDER BY id LIMIT :limit")

LAST_ENTRY = text("SELECT COALESCE(max(id), 0) FROM audit_entries")

ENTRIES_AFTER = text("SELECT id, subject, subject_id FROM audit_entries WHERE id > :after ORDER BY id LIMIT :limit")


class Campaign(msgspec.Struct, frozen=True, gc=False):
    """A campaign that may serve, as it is in JSON.

    `change_id`: the id of its newest status change, None if it was never toggled. `next_change_at`: when its holds may
    change without an edit or spend; None: never. `headroom_micros`: the least that is left of its own and its brand's
    budgets, more than 0; None without a budget.
    """

    campaign_id: int
    brand_id: int
    platform: str | None
    external_id: str | None
    account: str | None
    change_id: int | None
    next_change_at: datetime | None
    headroom_micros: int | None


class Row(NamedTuple):
    """A campaign that may serve. `mark`: a hash of all its fields, as an integer of 64 bits."""

    campaign: Campaign
    mark: int


MARKS: Final = 2**64
"""The modulus of marks, which are hashes of rows, and of sums of marks.

Equal sums mean equal rows, in whatever order.
"""

Lefts = dict[tuple[int, int | None], int]
"""The least micros left by (brand, campaign), with campaign None for the brand's own budgets; may be below 0."""


class Entry(NamedTuple):
    """An audit entry: its id, and the kind and the id of the edited row."""

    id: int
    subject: str
    subject_id: int


def lefts(connection: Connection, brand_ids: Collection[int] | None, at: datetime) -> Lefts:
    """The least micros left of budgets at `at`, by brand and campaign. `brand_ids` None: of all brands."""
    if brand_ids is None:
        return _lefts(connection, LEFT, {}, at)
    return _lefts(connection, LEFT_OF_BRANDS, {"brand_ids": array_of(sorted(brand_ids))}, at)


def serving(connection: Connection, brand_ids: Collection[int] | None, left: Callable[[], Lefts]) -> list[Row]:
    """The campaigns of these brands, or of all (None), that are stored as active and have micros left, or no budget.

    Leaves out brands with an unknown time zone. `left`: returns the least micros left; called after the campaigns are
    read.
    """
    if brand_ids is None:
        return _rows(connection, ACTIVE, {}, left)
    return _rows(connection, ACTIVE_OF_BRANDS, {"brand_ids": array_of(sorted(brand_ids))}, left)


def serving_of(connection: Connection, campaign_ids: Iterable[int], at: datetime) -> list[Row]:
    """The given campaigns that are stored as active and have micros left of every budget at `at`, or no budget.

    Leaves out brands with an unknown time zone.
    """
    chosen = {"campaign_ids": array_of(sorted(campaign_ids))}
    return _rows(connection, ACTIVE_CHOSEN, chosen, partial(_lefts, connection, LEFT_OF_CHOSEN, chosen, at))


def _lefts(connection: Connection, statement: TextClause, chosen: dict[str, Any], at: datetime) -> Lefts:
    found = _all(connection, statement, chosen | current_windows(_zones(connection), at))
    return {(brand_id, campaign_id): left_micros for brand_id, campaign_id, left_micros in found}


def _rows(
    connection: Connection, statement: TextClause, chosen: dict[str, Any], left: Callable[[], Lefts]
) -> list[Row]:
    """The active campaigns that have micros left or no budget.

    The mark of each row is multiplied by an odd factor made from the headroom, so that it depends on the headroom too.
    """
    found = _all(connection, statement, chosen | {"readable": _zones(connection)})
    lefts, rows = left(), []
    for campaign_id, brand_id, platform, external_id, account, change_id, next_change_at, mark in found:
        of_brand, own = lefts.get((brand_id, None)), lefts.get((brand_id, campaign_id))
        micros = own if of_brand is None else of_brand if own is None else min(of_brand, own)
        if micros is None or micros > 0:
            factor = -1 if micros is None else 2 * micros + 1
            one = Campaign(campaign_id, brand_id, platform, external_id, account, change_id, next_change_at, micros)
            rows.append(Row(one, mark * factor % MARKS))
    return rows


def _zones(connection: Connection) -> list[str]:
    """The names of the brands' time zones, without those that do not exist."""
    return list(readable_zones(connection.scalars(ZONES).all()))


def _all(connection: Connection, statement: TextClause, parameters: dict[str, Any]) -> list[Any]:
    """All rows as tuples of the driver, which take half as long as SQLAlchemy's rows where there are 100,000."""
    cursor: Any = connection.execute(statement, parameters).cursor
    rows: list[Any] = cursor.fetchall()
    return rows


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
