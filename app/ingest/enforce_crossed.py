"""Counts new spend and, in the same transaction, enforces the brands that it moved across a limit, either way."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import Connection

from app import passes
from app.decisions import with_other_holds
from db.engine import StaleRead
from db.repository.enforcement import headroom, search
from db.repository.enforcement import passes as pass_rows
from db.repository.enforcement.enforcement import DecidedChange, brands_of
from db.repository.enforcement.headroom import Headroom
from db.repository.enforcement.search import BrandBudgetState
from db.repository.ledger import spend
from db.repository.ledger.accounts import clear_campaign_cache, names_have_changed
from db.repository.ledger.spend import ClassifiedEvents, LockTimeouts, SpendSums
from db.repository.shared.zones import local_days
from domain.causes import Cause
from domain.inputs import CampaignKey, CampaignMatch, campaigns_of
from runtime import clock


def count_and_enforce(
    connection: Connection,
    sifted: ClassifiedEvents,
    judged_by: Mapping[CampaignKey, CampaignMatch],
    at: datetime,
    cause: Cause,
    *,
    only_brand_id: int | None = None,
    patience: LockTimeouts | None = None,
) -> list[DecidedChange]:
    """Counts what is new, received at `at`, and enforces the brands on which a budget has thereby crossed its limit.

    The brands are locked before their limits are read, so that a limit lowered meanwhile either waits for these
    counters or is seen here. Where a brand's headroom was enough, no budget of its own need be looked at. Raises
    StaleRead where a brand's zone or currency, or the campaign of a name, is not what the events were judged by.
    """
    added = sifted.added
    if not added.of_days:
        return []
    taken = spend.record(connection, sifted, at, patience)
    standing = {(brand_id, found.time_zone, found.currency) for brand_id, found in taken.items()}
    judged = {
        (account.brand_id, account.time_zone.key, account.currency) for account in campaigns_of(judged_by.values())
    }
    if any(account not in standing and account[0] in taken for account in judged):
        clear_campaign_cache()
        raise StaleRead("a brand's time zone or currency has changed")
    if names_have_changed(connection, judged_by, only_brand_id):
        raise StaleRead("an external id has changed hands")
    at = clock.now()
    today = local_days({found.time_zone for found in taken.values()}, at)
    unsure = [brand_id for brand_id, found in taken.items() if not found.is_enough_on(today.get(found.time_zone))]
    budget_states = _standings(connection, taken, unsure, added, at)
    left = {brand_id: standing.left_micros for brand_id, standing in budget_states.items()}
    headroom.renew(connection, {brand_id: taken[brand_id] for brand_id in unsure}, left, today)
    return _enforced(connection, taken, budget_states, _brands_ahead(added, taken, today), cause, at)


def _standings(
    connection: Connection,
    taken: Mapping[int, Headroom],
    unsure: Sequence[int],
    added: SpendSums,
    at: datetime,
) -> dict[int, BrandBudgetState]:
    """What budgets say of the brands whose headroom does not tell, and of those with budgets of campaigns."""
    brand_ids = {*unsure, *(brand_id for brand_id, found in taken.items() if found.has_campaign_budgets)}
    if not brand_ids:
        return {}
    campaign_ids = sorted(campaign_id for campaign_id, brand_id in added.brand_of.items() if brand_id in brand_ids)
    zones = {taken[brand_id].time_zone for brand_id in brand_ids}
    return search.budget_states(connection, zones, at, sorted(brand_ids), campaign_ids, passes.CAMPAIGNS_A_PART)


def _enforced(
    connection: Connection,
    taken: Mapping[int, Headroom],
    budget_states: Mapping[int, BrandBudgetState],
    ahead: Collection[int],
    cause: Cause,
    at: datetime,
) -> list[DecidedChange]:
    """Enforces the brands of which a budget crossed its limit, and those `ahead`; of other brands, the campaigns of
    which one did."""
    whole = {*ahead, *(brand_id for brand_id, one in budget_states.items() if one.is_crossed)}
    others = {brand_id: one for brand_id, one in budget_states.items() if brand_id not in whole}
    known = {brand_id: one.budget_holds for brand_id, one in others.items() if one.is_unknown}
    if known:
        pass_rows.remember(connection, known)
    chosen = {brand_id: one.crossed_campaigns for brand_id, one in others.items() if one.crossed_campaigns}
    if not whole and not chosen:
        return []
    brands = brands_of((one, taken[one].time_zone, taken[one].configured_status) for one in (*whole, *chosen))
    return with_other_holds(passes.enforce_all(connection, brands, cause, at, chosen=chosen))


def _brands_ahead(added: SpendSums, taken: Mapping[int, Headroom], today: Mapping[str, date]) -> set[int]:
    """The brands with spend dated on a day that has not begun: midnight may exhaust a budget with it."""
    first = min(today.values())
    return {
        brand_id
        for day in added.of_days
        if day > first
        for brand_id in {added.brand_of[campaign_id] for campaign_id in added.of_days[day]}
        if day > today[taken[brand_id].time_zone]
    }
