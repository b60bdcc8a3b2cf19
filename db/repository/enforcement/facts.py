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
from db.repository.enforcement.passes import FIRST_IDS, IDS, Pending, part_of, parts, passes_of, pending_in
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
from domain.passes import Pass
from domain.periods import Period, Window, local_day
from domain.schedules import Daypart, Schedule, normalised

BRANDS = text("""
    SELECT id, time_zone, configured_status FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY id
""")

# Lists are read as text, such as `1-540-1050 2-540-1050` for a schedule (weekday, start, end), so that equal rows are
# recognised and parsed once.
CAMPAIGNS = """
    SELECT id, brand_id, configured_status, starts_on, ends_on, array_to_string(set_holds, ','),
        (SELECT string_agg(concat_ws('-', weekday, starts_minute, ends_minute), ' ')
            FROM dayparts WHERE dayparts.brand_id = campaigns.brand_id AND campaign_id = campaigns.id
                /*citus AND dayparts.brand_id = ANY(CAST(:brand_ids AS bigint[])) */) AS schedule,
        effective_status, next_change_at, enforced_at IS NULL, array_to_string(holds, ',')
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
        COLUMNS: "id bigint, brand_id bigint, configured_status text, starts_on date, ends_on date, set_holds text,"
        " schedule text, effective_status text, next_change_at timestamptz, is_new boolean, holds text"
    }
)
BUDGETS_OF_FEW = text(f"{FEW} {BUDGETS} AND (campaign_id IS NULL OR campaign_id {IS_OF_FEW})").execution_options(
    **{
        COLUMNS: "brand_id bigint, campaign_id bigint, period text, limit_micros bigint, first_day date, end_day date,"
        " spent numeric, ahead numeric"
    }
)

# The campaigns of the next part of a pass, and the budgets of its brand and these campaigns.
PART = f"WITH few AS MATERIALIZED ({IDS})"
CAMPAIGNS_OF_PART = text(f"{PART} {CAMPAIGNS} AND id {IS_OF_FEW} ORDER BY id")
BUDGETS_OF_PART = text(f"{PART} {BUDGETS} AND (campaign_id IS NULL OR campaign_id {IS_OF_FEW})")


class StoredRow(NamedTuple):
    """The facts of a campaign, and its stored status, holds and `next_change_at`. `is_new`: it was never enforced."""

    brand_id: int
    campaign: Campaign
    effective_status: str
    next_change_at: datetime | None
    is_new: bool
    holds: tuple[str, ...]


class StoredCampaign(NamedTuple):
    """A campaign's id and row. Campaigns with equal rows share one `row` object."""

    campaign_id: int
    row: StoredRow


class SharedRow(NamedTuple):
    """A row, and the ids of the campaigns whose rows equal it, in order."""

    row: StoredRow
    campaign_ids: list[int]


class EnforcementFacts(NamedTuple):
    """The loaded campaigns, by equal rows, and by brand id the sorted holds of the brand's own exhausted budgets."""

    campaigns: list[SharedRow]
    budget_holds: dict[int, tuple[str, ...]]


class SmallBrands(NamedTuple):
    """The facts of all campaigns of brands without a pass in progress, and the passes of other brands by brand id.

    A pass enforces the campaigns of a large brand part by part. `facts` None: there were too many campaigns.
    """

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

    Leaves out brands with an unknown time zone. `campaign_ids` None: all campaigns. Sorted by id.
    """
    shared = load_shared(connection, brand_ids, at, campaign_ids)
    stored = [StoredCampaign(campaign_id, row) for row, of_row in shared for campaign_id in of_row]
    return sorted(stored, key=lambda one: one.campaign_id)


def load_shared(
    connection: Connection, brand_ids: Iterable[int], at: datetime, campaign_ids: Sequence[int] | None = None
) -> list[SharedRow]:
    """The campaigns of the brands, or only `campaign_ids`, with the facts that decide their holds at `at`.

    Campaigns with equal facts and rows share one SharedRow. Leaves out brands with an unknown time zone. `campaign_ids`
    None: all campaigns.
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
    return facts_in(brands, at, limits, campaigns)


def load_small_brands(connection: Connection, brands: Mapping[int, Brand], at: datetime, most: int) -> SmallBrands:
    """Reads, in one round trip, all campaigns of the brands without a pass in progress, and the passes of the others.

    A pass enforces the campaigns of a large brand part by part. The result has no facts if there are more than `most`
    campaigns.
    """
    rows = query_pipelined(connection, *queries_of_small_brands(brands, at, most))
    return small_brands_in(rows, brands, at, most)


def queries_of_small_brands(brands: Mapping[int, Brand], at: datetime, most: int) -> tuple[Query, Query, Query]:
    """The three queries of `load_small_brands`, to send with other queries; pass their rows to `small_brands_in`."""
    few = parts(dict.fromkeys(sorted(brands), most + 1)) | {"most": most + 1}
    windows = current_windows({brand.time_zone.key for brand in brands.values()}, at)
    return (BUDGETS_OF_FEW, few | windows), (FEW_CAMPAIGNS, few), passes_of(brands)


def small_brands_in(
    rows: Sequence[Sequence[tuple[Any, ...]]], brands: Mapping[int, Brand], at: datetime, most: int
) -> SmallBrands:
    """The facts and passes of brands in `rows`, the results of `queries_of_small_brands` for the other arguments."""
    limits, campaigns, passes = rows
    return SmallBrands(facts_in(brands, at, limits, campaigns) if len(campaigns) <= most else None, pending_in(passes))


def queries_of_part(brand_id: int, brand: Brand, current: Pass, at: datetime, most: int) -> tuple[Query, Query]:
    """The queries for the facts at `at` of the pass's next part, `most` campaigns; pass their rows to `facts_in`."""
    part = part_of(brand_id, current, most)
    return (BUDGETS_OF_PART, part | current_windows({brand.time_zone.key}, at)), (CAMPAIGNS_OF_PART, part)


def facts_in(
    brands: Mapping[int, Brand], at: datetime, limits: Iterable[Any], campaigns: Iterable[tuple[Any, ...]]
) -> EnforcementFacts:
    """The facts at `at` in the rows of the budgets and campaigns of these brands."""
    budgets = _budgets(limits)
    shared = _shared_rows(brands, budgets, campaigns)
    return EnforcementFacts(
        shared, {brand_id: _holds(budgets, brand_id, brand, at) for brand_id, brand in brands.items()}
    )


def _shared_rows(
    brands: Mapping[int, Brand],
    budgets: Mapping[tuple[int, int | None], list[BudgetSpend]],
    campaigns: Iterable[tuple[Any, ...]],
) -> list[SharedRow]:
    """Groups campaigns whose columns are equal but for the id. One with budgets of its own has a row for itself."""
    with_budgets = {campaign_id for _, campaign_id in budgets}
    ids_by_columns = defaultdict[tuple[Any, ...], list[int]](list)
    shared = []
    for columns in campaigns:
        if columns[0] in with_budgets:
            shared.append(SharedRow(_stored_row(brands, budgets, *columns), [columns[0]]))
        else:
            ids_by_columns[columns[1:]].append(columns[0])
    for columns, ids in ids_by_columns.items():
        shared.append(SharedRow(_stored_row(brands, budgets, ids[0], *columns), ids))
    return shared


def _stored_row(
    brands: Mapping[int, Brand],
    budgets: Mapping[tuple[int, int | None], list[BudgetSpend]],
    campaign_id: int,
    *columns: Any,
) -> StoredRow:
    brand_id, configured_status, starts_on, ends_on, set_holds, schedule, *decided = columns
    effective_status, next_change_at, is_new, holds = decided
    campaign = Campaign(
        brands[brand_id],
        ConfiguredStatus(configured_status),
        starts_on,
        ends_on,
        schedule=_schedule(schedule),
        budgets=(*budgets.get((brand_id, None), ()), *budgets.get((brand_id, campaign_id), ())),
        set_holds=_names(set_holds),
    )
    return StoredRow(brand_id, campaign, effective_status, next_change_at, is_new, _names(holds))


def _names(stored: str) -> tuple[str, ...]:
    return tuple(stored.split(",")) if stored else ()


def _holds(
    budgets: Mapping[tuple[int, int | None], list[BudgetSpend]], brand_id: int, brand: Brand, at: datetime
) -> tuple[str, ...]:
    today = local_day(at, brand.time_zone)
    own = budgets.get((brand_id, None), ())
    return tuple(sorted(budget_hold(spend).value for spend in own if spend.is_exhausted_on(today)))


def brands_of(rows: Iterable[tuple[Any, ...]]) -> dict[int, Brand]:
    """Makes brands, by id, from (id, time zone, configured status) rows; leaves out brands with an unknown zone."""
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
