"""Counts new spend and, in the same transaction, enforces brands whose budgets it moved across a limit, up or down."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Final, NamedTuple

from sqlalchemy import Connection

from app import passes
from app.decisions import changes_of_holds
from db.failures import StaleRead
from db.local_settings import has_citus
from db.repository.enforcement import headroom, search
from db.repository.enforcement import passes as pass_rows
from db.repository.enforcement.changes import DecidedChange
from db.repository.enforcement.facts import SmallBrands, brands_of, queries_of_small_brands, small_brands_in
from db.repository.enforcement.headroom import Headroom
from db.repository.enforcement.search import BrandBudgetState
from db.repository.ledger import directory_checks, spend
from db.repository.ledger.counting import LockTimeouts
from db.repository.ledger.named_campaigns import clear_campaign_cache, names_have_changed
from db.repository.ledger.new_events import ClassifiedEvents
from db.repository.ledger.sums import SpendSums
from db.repository.shared.zones import local_days
from db.repository.spread.shards import by_shard
from domain.campaigns import Brand
from domain.causes import Cause
from domain.inputs.campaign_names import CampaignKey, CampaignMatch, campaigns_of
from runtime import clock

LOADED_AHEAD: Final = 2
"""Brands without enough headroom up to which their campaigns are loaded before a limit is known to be crossed."""

CAMPAIGNS_AHEAD: Final = 200
"""Campaigns that are loaded ahead, at most; a load that turns out not to be needed stays cheap."""


class Loaded(NamedTuple):
    """Brands whose campaigns were loaded ahead, and their facts."""

    brands: dict[int, Brand]
    small: SmallBrands


def count_and_enforce(
    connection: Connection,
    classified: ClassifiedEvents,
    judged_by: Mapping[CampaignKey, CampaignMatch],
    at: datetime,
    cause: Cause,
    *,
    only_brand_id: int | None = None,
    lock_timeouts: LockTimeouts | None = None,
) -> list[DecidedChange]:
    """Counts the new events, received at `at`, and enforces brands of which a budget crossed its limit.

    Returns the changes of holds. Locks the brands before it reads their limits, so that a limit lowered meanwhile
    either waits for these counters or is read by this transaction. Does not check the own budgets of a brand whose
    headroom (the amount that it can surely still spend today) is enough. `only_brand_id`: the only brand whose
    campaigns the sender may name; None: all brands. `lock_timeouts` None: the connection's lock timeout. Raises
    StaleRead if a brand's zone or currency, or the campaign of an external id, differs from `judged_by`, by which the
    events were validated.
    """
    added = classified.added
    if not added.of_days:
        return []
    counted = spend.record(connection, classified, at, lock_timeouts)
    current = {(brand_id, one.time_zone, one.currency) for brand_id, one in counted.items()}
    judged = {
        (campaign.brand_id, campaign.time_zone.key, campaign.currency) for campaign in campaigns_of(judged_by.values())
    }
    if any(brand not in current and brand[0] in counted for brand in judged):
        clear_campaign_cache()
        first = [partial(directory_checks.refresh, brand_ids=list(counted))] if has_citus(connection) else ()
        raise StaleRead("a brand's time zone or currency has changed", first)
    if names_have_changed(connection, judged_by, only_brand_id, counted):
        raise StaleRead("an external id belongs to another campaign now")
    at = clock.now()
    shards = by_shard(connection, counted.keys())
    if len(shards) == 1:
        return _enforce_if_crossed(connection, counted, added, cause, at)
    changes = list[DecidedChange]()
    for brands in shards:
        of_shard = {brand_id: one for brand_id, one in counted.items() if brand_id in brands}
        changes += _enforce_if_crossed(connection, of_shard, added.only(brands), cause, at)
    return changes


def _enforce_if_crossed(
    connection: Connection, counted: Mapping[int, Headroom], added: SpendSums, cause: Cause, at: datetime
) -> list[DecidedChange]:
    """Enforces brands of which a budget crossed its limit; returns the changes of holds. The brands are of one shard.

    Reads the budgets of brands without enough headroom for today, and stores their new headroom.
    """
    today = local_days({one.time_zone for one in counted.values()}, at)
    unsure = [brand_id for brand_id, one in counted.items() if not one.is_enough_on(today.get(one.time_zone))]
    budget_states, loaded = _budget_states(connection, counted, unsure, added, at)
    remaining = {brand_id: state.left_micros for brand_id, state in budget_states.items()}
    headroom.renew(connection, {brand_id: counted[brand_id] for brand_id in unsure}, remaining, today)
    return _enforce(connection, counted, budget_states, _brands_ahead(added, counted, today), cause, at, loaded)


def _budget_states(
    connection: Connection,
    counted: Mapping[int, Headroom],
    unsure: Sequence[int],
    added: SpendSums,
    at: datetime,
) -> tuple[dict[int, BrandBudgetState], Loaded | None]:
    """The budget states, by brand id, of brands without enough headroom (`unsure`) or with campaign budgets.

    Also returns the facts of campaigns loaded ahead, None if none were loaded. If headroom is not enough, a limit was
    nearly always crossed: so for a few such brands, the same round trip loads the campaigns to enforce.
    """
    brand_ids = sorted({*unsure, *(brand_id for brand_id, one in counted.items() if one.has_campaign_budgets)})
    if not brand_ids:
        return {}, None
    campaign_ids = sorted(campaign_id for campaign_id, brand_id in added.brand_of.items() if brand_id in brand_ids)
    zones = {counted[brand_id].time_zone for brand_id in brand_ids}
    brands = _brands(counted, unsure if len(unsure) <= LOADED_AHEAD else ())
    most = min(CAMPAIGNS_AHEAD, passes.CAMPAIGNS_A_PART)
    also = queries_of_small_brands(brands, at, most) if brands else ()
    states, rows = search.budget_states(connection, zones, at, brand_ids, campaign_ids, passes.CAMPAIGNS_A_PART, also)
    return states, Loaded(brands, small_brands_in(rows, brands, at, most)) if brands else None


def _enforce(
    connection: Connection,
    counted: Mapping[int, Headroom],
    budget_states: Mapping[int, BrandBudgetState],
    ahead: Collection[int],
    cause: Cause,
    at: datetime,
    loaded: Loaded | None,
) -> list[DecidedChange]:
    """Enforces brands and campaigns whose budgets crossed a limit; returns the changes of holds.

    If a brand's own budget crossed its limit, or the brand is in `ahead`, enforces all its campaigns; else only the
    campaigns whose own budgets crossed a limit. `loaded`: the facts of campaigns loaded ahead; None: none were loaded.
    """
    whole = {*ahead, *(brand_id for brand_id, one in budget_states.items() if one.is_crossed)}
    others = {brand_id: one for brand_id, one in budget_states.items() if brand_id not in whole}
    known = {brand_id: one.budget_holds for brand_id, one in others.items() if one.is_unknown}
    if known:
        pass_rows.remember(connection, known)
    chosen = {brand_id: one.crossed_campaigns for brand_id, one in others.items() if one.crossed_campaigns}
    if not whole and not chosen:
        return []
    brands = _brands(counted, (*whole, *chosen))
    small = loaded.small if loaded is not None and loaded.brands.keys() == brands.keys() else None
    return changes_of_holds(passes.enforce_all(connection, brands, cause, at, chosen=chosen, small=small))


def _brands(counted: Mapping[int, Headroom], brand_ids: Iterable[int]) -> dict[int, Brand]:
    return brands_of((one, counted[one].time_zone, counted[one].configured_status) for one in brand_ids)


def _brands_ahead(added: SpendSums, counted: Mapping[int, Headroom], today: Mapping[str, date]) -> set[int]:
    """The brands with spend dated after today: it may exhaust a budget at midnight, so `next_change_at` must be set."""
    first = min(today.values())
    return {
        brand_id
        for day in added.of_days
        if day > first
        for brand_id in {added.brand_of[campaign_id] for campaign_id in added.of_days[day]}
        if day > today[counted[brand_id].time_zone]
    }
