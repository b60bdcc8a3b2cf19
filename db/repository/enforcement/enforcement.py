"""Loads the facts that enforcement decides from, and writes the decided changes."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from db.engine import Query, deferred, query_pipelined
from db.repository.enforcement.passes import FIRST_IDS, Pending, parts, passes_of, pending_in
from db.repository.shared.arrays import array_of, text_array_of
from db.repository.shared.windows import ENDLESS, SPEND_OF_BUDGETS, current_windows
from db.repository.shared.zones import readable_zones
from domain.budgets import Budget, BudgetSpend, Scope
from domain.campaigns import Brand, Campaign, ConfiguredStatus
from domain.holds import budget_hold
from domain.periods import Period, Window, local_day
from domain.schedules import Daypart, Schedule, normalised

# Locks brands, so that no other transaction enforces them; in id order, so that two transactions cannot deadlock.
LOCK_BRANDS = text("""
    SELECT id, time_zone, configured_status FROM brands
    WHERE id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE
""")

BRANDS = text("""
    SELECT id, time_zone, configured_status FROM brands WHERE id = ANY(CAST(:brand_ids AS bigint[])) ORDER BY id
""")

# A schedule is read as text, such as `1-540-1050 2-540-1050` (weekday, start, end), so that equal ones are parsed once.
CAMPAIGNS = """
    SELECT id, brand_id, configured_status, starts_on, ends_on, set_holds,
        (SELECT string_agg(concat_ws('-', weekday, starts_minute, ends_minute), ' ')
            FROM dayparts WHERE campaign_id = campaigns.id) AS schedule,
        effective_status, next_change_at, enforced_at IS NULL, holds
    FROM campaigns
    WHERE brand_id = ANY(CAST(:brand_ids AS bigint[]))
"""

CAMPAIGNS_OF_BRANDS = text(f"{CAMPAIGNS} ORDER BY id")

CHOSEN_CAMPAIGNS = text(f"{CAMPAIGNS} AND id = ANY(CAST(:campaign_ids AS bigint[])) ORDER BY id")

FIRST_CAMPAIGNS = text("SELECT id FROM campaigns WHERE brand_id = :brand_id ORDER BY id LIMIT :limit")

# The budgets of brands and of their campaigns, with their spend.
BUDGETS = f"""
    SELECT budgets.brand_id, campaign_id, budgets.period, limit_micros, first_day, end_day, spent_micros, ahead_micros
    {SPEND_OF_BUDGETS}
    WHERE budgets.brand_id = ANY(CAST(:brand_ids AS bigint[]))
"""

BUDGETS_OF_BRANDS = text(BUDGETS)

# Uses the index on brand and campaign, so that few chosen campaigns are found fast among many.
CHOSEN_BUDGETS = text(f"{BUDGETS} AND (campaign_id IS NULL OR campaign_id = ANY(CAST(:campaign_ids AS bigint[])))")

# The decided changes, a row for each campaign. Campaigns with equal changes refer to one change by its number.
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

# Writes decided holds to campaigns, and to their history if they changed.
APPLY = text(f"""
    WITH decided AS MATERIALIZED ({DECIDED}), applied AS (
        UPDATE campaigns
        SET effective_status = to_status, holds = holds_after, next_change_at = decided.next_change_at,
            enforced_at = CAST(:at AS timestamptz)
        FROM decided
        WHERE campaigns.brand_id = ANY(CAST(:brand_ids AS bigint[])) AND campaigns.brand_id = decided.brand_id
            AND campaigns.id = decided.campaign_id
    )
    INSERT INTO hold_changes (brand_id, campaign_id, changed_at, holds, cause, from_status)
    SELECT brand_id, campaign_id, CAST(:at AS timestamptz), holds_after, CAST(:cause AS text), from_status
    FROM decided WHERE changes_holds
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


# All campaigns of brands without a pass, :most at most, and the budgets of the brands and of these campaigns.
FEW = f"WITH few AS MATERIALIZED ({FIRST_IDS})"
IS_OF_FEW = "= ANY(ARRAY(SELECT id FROM few))"
FEW_CAMPAIGNS = text(f"{FEW} {CAMPAIGNS} AND id {IS_OF_FEW} ORDER BY id")
BUDGETS_OF_FEW = text(f"{FEW} {BUDGETS} AND (campaign_id IS NULL OR campaign_id {IS_OF_FEW})")


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
    """The loaded campaigns, and for each brand the holds of its own exhausted budgets."""

    campaigns: list[StoredCampaign]
    budget_holds: dict[int, tuple[str, ...]]


class SmallBrands(NamedTuple):
    """The facts of all campaigns of some brands, None if they are too many, and the brands' passes in progress."""

    facts: EnforcementFacts | None
    pending: dict[int, Pending]


class DecidedChange(NamedTuple):
    """The decided change of one campaign's row. `details`: the figures behind it. `is_first`: its first decision."""

    brand_id: int
    campaign_id: int
    from_status: str
    to_status: str
    holds_before: tuple[str, ...]
    holds_after: tuple[str, ...]
    next_change_at: datetime | None
    details: dict[str, Any]
    is_first: bool = False

    @property
    def kind(self) -> tuple[object, ...]:
        """A key that is equal for equal changes of different campaigns. Details are equal if they are one object."""
        return (
            self.from_status,
            self.to_status,
            self.holds_before,
            self.holds_after,
            self.next_change_at,
            id(self.details),
            self.is_first,
        )

    @property
    def is_toggle(self) -> bool:
        return self.from_status != self.to_status

    @property
    def changes_holds(self) -> bool:
        """Whether to write a hold change: the holds differ, or this is the campaign's first decision."""
        return self.is_first or self.holds_before != self.holds_after


def lock_brands(connection: Connection, brand_ids: Iterable[int]) -> dict[int, Brand]:
    """Locks the brands in id order, waiting for other transactions; returns them as read after the wait, by id.

    A brand whose time zone does not exist is locked too, but left out of the result.
    """
    (rows,) = query_pipelined(connection, (LOCK_BRANDS, {"brand_ids": array_of(brand_ids)}))
    return brands_of(rows)


def load(
    connection: Connection, brand_ids: Iterable[int], at: datetime, campaign_ids: Sequence[int] | None = None
) -> list[StoredCampaign]:
    """The campaigns of the brands, or only `campaign_ids`, with everything needed to decide their holds at `at`."""
    (rows,) = query_pipelined(connection, (BRANDS, {"brand_ids": array_of(brand_ids)}))
    return load_facts(connection, brands_of(rows), at, campaign_ids).campaigns


def first_campaigns(connection: Connection, brand_id: int, limit: int) -> list[int]:
    """The ids of the brand's first campaigns in id order, `limit` at most."""
    return list(connection.scalars(FIRST_CAMPAIGNS, {"brand_id": brand_id, "limit": limit}))


def load_facts(
    connection: Connection, brands: Mapping[int, Brand], at: datetime, campaign_ids: Sequence[int] | None = None
) -> EnforcementFacts:
    """Loads the campaigns of the given brands, or only `campaign_ids`, and the holds of the brands' own budgets."""
    chosen: dict[str, Any] = {"brand_ids": array_of(sorted(brands))}
    queries = (BUDGETS_OF_BRANDS, CAMPAIGNS_OF_BRANDS)
    if campaign_ids is not None:
        chosen["campaign_ids"] = array_of(campaign_ids)
        queries = (CHOSEN_BUDGETS, CHOSEN_CAMPAIGNS)
    windows = current_windows({brand.time_zone.key for brand in brands.values()}, at)
    limits, campaigns = query_pipelined(connection, (queries[0], chosen | windows), (queries[1], chosen))
    return _facts(brands, at, limits, campaigns)


def load_small_brands(connection: Connection, brands: Mapping[int, Brand], at: datetime, most: int) -> SmallBrands:
    """Loads, in one round trip, all campaigns of the brands without a pass, unless they are more than `most`."""
    chosen = parts(dict.fromkeys(sorted(brands), most + 1)) | {"most": most + 1}
    windows = current_windows({brand.time_zone.key for brand in brands.values()}, at)
    limits, campaigns, passes = query_pipelined(
        connection, (BUDGETS_OF_FEW, chosen | windows), (FEW_CAMPAIGNS, chosen), passes_of(brands)
    )
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


def apply(
    connection: Connection, changes: Sequence[DecidedChange], at: datetime, cause: str, before: Sequence[Query] = ()
) -> None:
    """Writes decided holds to the campaigns and their history, and a status change for each toggle.

    Call it last in a transaction, because it takes the lock that orders status changes. Sends them deferred, after
    the queries `before`.
    """
    queries = [*before, *_queries(changes, at, cause)]
    if queries:
        deferred(connection, *queries)


def _queries(changes: Sequence[DecidedChange], at: datetime, cause: str) -> list[Query]:
    if not changes:
        return []
    distinct, numbers = _numbered(changes)
    parameters = {
        "at": at,
        "cause": cause,
        "brand_ids": array_of(sorted({change.brand_id for change in changes})),
        "of_brands": array_of(change.brand_id for change in changes),
        "campaign_ids": array_of(change.campaign_id for change in changes),
        "numbers": array_of(numbers),
        "from_statuses": array_of(change.from_status for change in distinct),
        "to_statuses": array_of(change.to_status for change in distinct),
        "holds_before": text_array_of(",".join(change.holds_before) for change in distinct),
        "holds_after": text_array_of(",".join(change.holds_after) for change in distinct),
        "next_changes": text_array_of(_moment(change.next_change_at) for change in distinct),
        "details": text_array_of(json.dumps(change.details) for change in distinct),
        "changes_holds": array_of(str(change.changes_holds) for change in distinct),
    }
    statements = [APPLY, ADD_STATUS_CHANGES] if any(change.is_toggle for change in distinct) else [APPLY]
    return [(statement, parameters) for statement in statements]


def _numbered(changes: Iterable[DecidedChange]) -> tuple[list[DecidedChange], list[int]]:
    """The distinct changes, and for each change the number of its equal among them, from 1."""
    kinds: dict[tuple[object, ...], int] = {}
    distinct, numbers = list[DecidedChange](), list[int]()
    for change in changes:
        number = kinds.setdefault(change.kind, len(kinds) + 1)
        if number > len(distinct):
            distinct.append(change)
        numbers.append(number)
    return distinct, numbers


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
