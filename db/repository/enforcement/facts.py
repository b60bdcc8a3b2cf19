"""Loads the facts that enforcement decides from, and locks the brands it decides about."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from db.engine import Query, query_pipelined
from db.repository.enforcement.brand_locks import locks_of
from db.repository.enforcement.passes import FIRST_IDS, Pending, parts, passes_of, pending_in
from db.repository.shared.arrays import array_of
from db.repository.shared.windows import (
    AHEAD_MICROS,
    ENDLESS,
    SPEND_OF_BUDGETS_OF_BRANDS,
    SPENT_MICROS,
    current_windows,
)
from db.repository.shared.zones import readable_zones
from db.repository.spread.on_shard import COLUMNS
from domain.budgets import Budget, BudgetSpend, Scope
from domain.campaigns import Brand, Campaign, ConfiguredStatus
from domain.holds import budget_hold
from domain.periods import Period, Window, local_day
from domain.schedules import Daypart, Schedule, normalised

BRANDS = text("""
    SELECT id, time_zone, configured_status FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY id
""")

# A schedule is read as text, such as `1-540-1050 2-540-1050` (weekday, start, end), so that equal ones are parsed once.
CAMPAIGNS = """
    SELECT id, brand_id, configured_status, starts_on, ends_on, set_holds,
        (SELECT string_agg(concat_ws('-', weekday, starts_minute, ends_minute), ' ')
            FROM dayparts WHERE dayparts.brand_id = campaigns.brand_id AND campaign_id = campaigns.id
                /*citus AND dayparts.brand_id = ANY(CAST(:brand_ids AS bigint[])) */) AS schedule,
        effective_status, next_change_at, enforced_at IS NULL, holds
    FROM campaigns
    WHERE brand_id = ANY(CAST(:brand_ids AS bigint[]))
"""

CAMPAIGNS_OF_BRANDS = text(f"{CAMPAIGNS} ORDER BY id")

CHOSEN_CAMPAIGNS = text(f"{CAMPAIGNS} AND id = ANY(CAST(:campaign_ids AS bigint[])) ORDER BY id")

FIRST_CAMPAIGNS = text("SELECT id FROM campaigns WHERE brand_id = :brand_id ORDER BY id LIMIT :limit")

# The budgets of brands and of their campaigns, with their spend.
BUDGETS = f"""
    SELECT budgets.brand_id, campaign_id, budgets.period, limit_micros, first_day, end_day, {SPENT_MICROS},
        {AHEAD_MICROS}
    {SPEND_OF_BUDGETS_OF_BRANDS}
    WHERE budgets.brand_id = ANY(CAST(:brand_ids AS bigint[]))
"""

BUDGETS_OF_BRANDS = text(BUDGETS)

# Uses the index on brand and campaign, so that few chosen campaigns are found fast among many.
CHOSEN_BUDGETS = text(f"{BUDGETS} AND (campaign_id IS NULL OR campaign_id = ANY(CAST(:campaign_ids AS bigint[])))")

# All campaigns of brands without a pass in progress, :most at most, and the budgets of the brands and these campaigns.
FEW = f"WITH few AS MATERIALIZED ({FIRST_IDS})"
IS_OF_FEW = "= ANY(ARRAY(SELECT id FROM few))"
FEW_CAMPAIGNS = text(f"{FEW} {CAMPAIGNS} AND id {IS_OF_FEW} ORDER BY id").execution_options(
    **{
        COLUMNS: "id bigint, brand_id bigint, configured_status text, starts_on date, ends_on date, set_holds text[],"
        " schedule text, effective_status text, next_change_at timestamptz, is_new boolean, holds text[]"
    }
)
BUDGETS_OF_FEW = text(f"{FEW} {BUDGETS} AND (campaign_id IS NULL OR campaign_id {IS_OF_FEW})").execution_options(
    **{
        COLUMNS: "brand_id bigint, campaign_id bigint, period text, limit_micros bigint, first_day date, end_day date,"
        " spent numeric, ahead numeric"
    }
)


class StoredCampaign(NamedTuple):
    """A campaign's facts, and its stored status, holds and `next_change_at`.

    Campaigns with equal facts share one `campaign` object. `is_new`: it was never enforced.
    """

    campaign_id: int
    brand_id: int
    campaign: Campaign
    effective_status: str
    next_change_at: datetime | None
    is_new: bool
    holds: tuple[str, ...]


class EnforcementFacts(NamedTuple):
    """The loaded campaigns, and by brand id the sorted holds of the brand's own exhausted budgets."""

    campaigns: list[StoredCampaign]
    budget_holds: dict[int, tuple[str, ...]]


class SmallBrands(NamedTuple):
    """The facts of all campaigns of some brands, None if they are too many, and by brand id the passes in progress."""

    facts: EnforcementFacts | None
    pending: dict[int, Pending]


def lock_brands(connection: Connection, brand_ids: Iterable[int]) -> dict[int, Brand]:
    """Locks the brands in id order, waiting for other transactions; returns them as read after the wait, by id.

    So no other transaction enforces them. Where Citus spreads brands over servers, locks them shard by shard. A brand
    whose time zone does not exist is locked too, but left out of the result.
    """
    return brands_of(chain.from_iterable(query_pipelined(connection, *locks_of(connection, brand_ids))))


def load(
    connection: Connection, brand_ids: Iterable[int], at: datetime, campaign_ids: Sequence[int] | None = None
) -> list[StoredCampaign]:
    """The campaigns of the brands, or only `campaign_ids`, with everything needed to decide their holds at `at`.

    Leaves out brands with an unknown time zone. `campaign_ids` None: all campaigns.
    """
    (rows,) = query_pipelined(connection, (BRANDS, {"brand_ids": array_of(brand_ids)}))
    return load_facts(connection, brands_of(rows), at, campaign_ids).campaigns


def first_campaigns(connection: Connection, brand_id: int, limit: int) -> list[int]:
    """The ids of the brand's first campaigns in id order, `limit` at most."""
    return list(connection.scalars(FIRST_CAMPAIGNS, {"brand_id": brand_id, "limit": limit}))


def load_facts(
    connection: Connection, brands: Mapping[int, Brand], at: datetime, campaign_ids: Sequence[int] | None = None
) -> EnforcementFacts:
    """The campaigns of the brands, or only `campaign_ids`, and the holds of the brands' own budgets exhausted at `at`.

    `campaign_ids` None: all campaigns.
    """
    ids: dict[str, Any] = {"brand_ids": array_of(sorted(brands))}
    queries = (BUDGETS_OF_BRANDS, CAMPAIGNS_OF_BRANDS)
    if campaign_ids is not None:
        ids["campaign_ids"] = array_of(campaign_ids)
        queries = (CHOSEN_BUDGETS, CHOSEN_CAMPAIGNS)
    windows = current_windows({brand.time_zone.key for brand in brands.values()}, at)
    limits, campaigns = query_pipelined(connection, (queries[0], ids | windows), (queries[1], ids))
    return _facts(brands, at, limits, campaigns)


def load_small_brands(connection: Connection, brands: Mapping[int, Brand], at: datetime, most: int) -> SmallBrands:
    """All campaigns of the brands without a pass in progress, and the passes of the others, read in one round trip.

    The result has no facts if there are more than `most` campaigns.
    """
    rows = query_pipelined(connection, *queries_of_small_brands(brands, at, most))
    return small_brands_in(rows, brands, at, most)


def queries_of_small_brands(brands: Mapping[int, Brand], at: datetime, most: int) -> tuple[Query, Query, Query]:
    """The three queries of `load_small_brands`, to send with others; pass their rows to `small_brands_in`."""
    few = parts(dict.fromkeys(sorted(brands), most + 1)) | {"most": most + 1}
    windows = current_windows({brand.time_zone.key for brand in brands.values()}, at)
    return (BUDGETS_OF_FEW, few | windows), (FEW_CAMPAIGNS, few), passes_of(brands)


def small_brands_in(
    rows: Sequence[Sequence[tuple[Any, ...]]], brands: Mapping[int, Brand], at: datetime, most: int
) -> SmallBrands:
    """The result of `load_small_brands`, from the rows of `queries_of_small_brands` for the same arguments."""
    limits, campaigns, passes = rows
    return SmallBrands(_facts(brands, at, limits, campaigns) if len(campaigns) <= most else None, pending_in(passes))


def _facts(
    brands: Mapping[int, Brand], at: datetime, limits: Iterable[Any], campaigns: Iterable[tuple[Any, ...]]
) -> EnforcementFacts:
    budgets = _budgets(limits)
    stored = _stored_campaigns(brands, budgets, campaigns)
    return EnforcementFacts(
        stored, {brand_id: _holds(budgets, brand_id, brand, at) for brand_id, brand in brands.items()}
    )


def _stored_campaigns(
    brands: Mapping[int, Brand],
    budgets: Mapping[tuple[int, int | None], list[BudgetSpend]],
    campaigns: Iterable[tuple[Any, ...]],
) -> list[StoredCampaign]:
    shared: dict[tuple[object, ...], Campaign] = {}
    loaded = []
    for campaign_id, brand_id, status, starts_on, ends_on, set_holds, schedule, *decided in campaigns:
        effective_status, next_change_at, is_new, holds = decided
        own = budgets.get((brand_id, campaign_id), ())
        facts = (brand_id, status, starts_on, ends_on, tuple(set_holds), schedule, campaign_id if own else None)
        if facts not in shared:
            both = (*budgets.get((brand_id, None), ()), *own)
            shared[facts] = Campaign(
                brands[brand_id],
                ConfiguredStatus(status),
                starts_on,
                ends_on,
                schedule=_schedule(schedule),
                budgets=both,
                set_holds=tuple(set_holds),
            )
        stored = (effective_status, next_change_at, is_new, tuple(holds))
        loaded.append(StoredCampaign(campaign_id, brand_id, shared[facts], *stored))
    return loaded


def _holds(
    budgets: Mapping[tuple[int, int | None], list[BudgetSpend]], brand_id: int, brand: Brand, at: datetime
) -> tuple[str, ...]:
    today = local_day(at, brand.time_zone)
    own = budgets.get((brand_id, None), ())
    return tuple(sorted(budget_hold(spend).value for spend in own if spend.is_exhausted_on(today)))


def brands_of(rows: Iterable[tuple[Any, ...]]) -> dict[int, Brand]:
    """Makes brands, by id, from (id, time zone, configured status) rows; leaves out those with an unknown time zone."""
    brands = list(rows)
    zones = readable_zones({zone for _, zone, _ in brands})
    return {
        brand_id: Brand(zones[zone], ConfiguredStatus(status)) for brand_id, zone, status in brands if zone in zones
    }


def _schedule(stored: str | None) -> Schedule:
    return normalised(Daypart(*map(int, part.split("-"))) for part in (stored or "").split())


def _budgets(
    rows: Iterable[tuple[int, int | None, str, int, date, date, Decimal, Decimal]],
) -> dict[tuple[int, int | None], list[BudgetSpend]]:
    budgets: defaultdict[tuple[int, int | None], list[BudgetSpend]] = defaultdict(list)
    for brand_id, campaign_id, period, limit_micros, first_day, end_day, spent_micros, ahead_micros in rows:
        scope = Scope.BRAND if campaign_id is None else Scope.CAMPAIGN
        budget = Budget(scope, Period(period), limit_micros)
        window = Window(first_day, None if end_day == ENDLESS else end_day)
        budgets[brand_id, campaign_id].append(BudgetSpend(budget, window, int(spent_micros), int(ahead_micros)))
    return budgets
