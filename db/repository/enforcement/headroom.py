"""Headroom: how much more a brand can surely spend before one of its own budgets runs out.

While spend stays within the headroom, counting need not read the budgets. `headroom_micros` is at most one micro less
than what is left of each of the brand's own budgets; spend lowers it, refunds do not raise it. It is valid on one
brand-local day, `headroom_on`, because windows end at midnight. It is null after a budget ran out, and after a limit
was edited (set by a trigger on `budgets`): the next spend then reads the budgets.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from db.engine import deferred, query_pipelined
from db.local_settings import has_citus
from db.repository.enforcement.brand_locks import locks_of
from db.repository.shared.arrays import array_of, text_array_of
from db.repository.shared.windows import LEFT_MICROS, SPEND_OF_BUDGETS, current_windows
from db.repository.shared.zones import local_days
from db.repository.spread.on_shard import COLUMNS, on_shard

NO_LIMIT: Final = 2**62
"""The headroom, in micros, that is stored for a brand without budgets of its own: more than it can ever spend."""

RENEW = text("""
    UPDATE brands SET headroom_micros = renewed.micros, headroom_on = renewed.day
    FROM unnest(CAST(:brand_ids AS bigint[]), CAST(:micros AS bigint[]), CAST(:days AS date[]))
        AS renewed(brand_id, micros, day)
    WHERE brands.id = renewed.brand_id /*citus AND brands.id = ANY(CAST(:brand_ids AS bigint[])) */
""")
RENEW_ON_SHARD = text(f"{RENEW} RETURNING brands.id").execution_options(**{COLUMNS: "id bigint"})

# Brands whose headroom for today exceeds the least left of their own budgets, minus one micro.
OVERSTATED = text(f"""
    SELECT brands.id AS brand_id, headroom_micros, min({LEFT_MICROS}) - 1 AS left_micros
    {SPEND_OF_BUDGETS}
    WHERE campaign_id IS NULL AND (brands.time_zone, headroom_on) IN (
        SELECT * FROM unnest(CAST(:zones_today AS text[]), CAST(:todays AS date[]))
    )
    GROUP BY brands.id, headroom_micros
    HAVING headroom_micros > min({LEFT_MICROS}) - 1
    ORDER BY brands.id
    LIMIT :limit
""")  # noqa: S608 - a constant, put together once

# The brands are locked before, in order.
FORGET = text("UPDATE brands SET headroom_micros = NULL WHERE id = ANY(CAST(:brand_ids AS bigint[]))")


class Headroom(NamedTuple):
    """A locked brand and its headroom: what it can still spend on `day` before a budget of its own is exhausted.

    `micros`: the headroom, after the counted spend was subtracted. None: spend exceeded the headroom, or it was not
    known. `day`: the local day for which it is valid; None: never set. `has_campaign_budgets`: whether a campaign of
    the brand has a budget of its own.
    """

    time_zone: str
    currency: str
    configured_status: str
    micros: int | None
    day: date | None
    has_campaign_budgets: bool

    def is_enough_on(self, today: date | None) -> bool:
        """Whether the headroom is valid today, so that no budget of the brand itself crossed its limit, up or down.

        False if `today` is None, as without a known time zone.
        """
        return self.micros is not None and self.day == today


def renew(
    connection: Connection,
    unsure: Mapping[int, Headroom],
    left_micros: Mapping[int, int | None],
    days: Mapping[str, date],
) -> None:
    """Stores new headroom for the brands in `unsure`, null for a brand of which a budget has run out.

    Headroom is what a brand can still spend today before a budget of its own is exhausted. Call it after counting spend
    of the brands, which are of one shard. `left_micros`: the least that is left of each brand's own budgets; None: it
    has none. `days`: today by time zone; brands of other zones are left out.
    """
    renewals = []
    for brand_id, headroom in unsure.items():
        left = left_micros.get(brand_id)
        micros = NO_LIMIT if left is None else min(left - 1, NO_LIMIT)
        if headroom.time_zone in days and (micros >= 0 or headroom.micros is not None):
            renewals.append((brand_id, micros if micros >= 0 else None, days[headroom.time_zone]))
    if renewals:
        brand_ids, headrooms, brand_days = zip(*renewals, strict=True)
        columns = {"brand_ids": array_of(brand_ids), "micros": _or_null(headrooms), "days": array_of(brand_days)}
        if has_citus(connection):
            query_pipelined(connection, on_shard(connection, min(brand_ids), (RENEW_ON_SHARD, columns)))
        else:
            connection.execute(RENEW, columns)


def overstated(
    connection: Connection, zones: Iterable[str], at: datetime, limit: int | None = None
) -> list[dict[str, int]]:
    """The brands whose headroom for today is too large, for example after counters were edited by SQL, in id order.

    Headroom is what a brand can still spend today before a budget of its own is exhausted; if it is too large, counting
    does not read the budgets when one runs out. Returns `brand_id`, `headroom_micros`, and `left_micros`, the largest
    headroom that would be right. `limit`: the most brands returned; None: all.
    """
    today = local_days(zones, at)
    parameters = {"zones_today": list(today), "todays": list(today.values()), "limit": limit}
    rows = connection.execute(OVERSTATED, parameters | current_windows(today, at))
    return [{**row, "left_micros": int(row["left_micros"])} for row in rows.mappings()]


def forget(connection: Connection, brand_ids: Iterable[int]) -> None:
    """Locks these brands in order and clears their headroom, so that the next spend reads their budgets.

    Headroom is what a brand can still spend today before a budget of its own is exhausted. Sends both statements with
    the transaction's next round trip.
    """
    chosen = sorted(brand_ids)
    deferred(connection, *locks_of(connection, chosen), (FORGET, {"brand_ids": array_of(chosen)}))


def _or_null(micros: Iterable[int | None]) -> str:
    return text_array_of(None if one is None else str(one) for one in micros)
