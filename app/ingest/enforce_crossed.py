"""Counts new spend and, in the same transaction, enforces the brands that it moved across a limit, either way."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime

from sqlalchemy import Connection

from app import passes
from app.decisions import with_other_holds
from db.engine import Stale
from db.repository.enforcement import headroom, search
from db.repository.enforcement import passes as pass_rows
from db.repository.enforcement.enforcement import Applied, brands_of
from db.repository.enforcement.headroom import Headroom
from db.repository.enforcement.search import BrandStanding
from db.repository.ledger import spend
from db.repository.ledger.accounts import forget_accounts, names_have_changed
from db.repository.ledger.spend import Added, Patience, Sifted
from db.repository.shared.zones import local_days
from domain.causes import Cause
from domain.inputs import CampaignKey, Known, campaigns_of
from runtime import clock


def count_and_enforce(
    connection: Connection,
    sifted: Sifted,
    judged_by: Mapping[CampaignKey, Known],
    at: datetime,
    cause: Cause,
    *,
    only_brand_id: int | None = None,
    patience: Patience | None = None,
) -> list[Applied]:
    """Counts what is new, received at `at`, and enforces the brands on which a budget has thereby crossed its limit.

    The brands are locked before their limits are read, so that a limit lowered meanwhile either waits for these
    counters or is seen here. Where a brand's headroom was enough, no budget of its own need be looked at. Raises Stale
    where a brand's zone or currency, or the campaign of a name, is not what the events were judged by.
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
        forget_accounts()
        raise Stale("a brand's time zone or currency has changed")
    if names_have_changed(connection, judged_by, only_brand_id):
        raise Stale("an external id has changed hands")
    at = clock.now()
    today = local_days({found.time_zone for found in taken.values()}, at)
    unsure = [brand_id for brand_id, found in taken.items() if not found.is_enough_on(today.get(found.time_zone))]
    standing_of = _standings(connection, taken, unsure, added, at)
    left = {brand_id: standing.left_micros for brand_id, standing in standing_of.items()}
    headroom.renew(connection, {brand_id: taken[brand_id] for brand_id in unsure}, left, today)
    return _enforced(connection, taken, standing_of, _brands_ahead(added, taken, today), cause, at)


def _standings(
    connection: Connection,
    taken: Mapping[int, Headroom],
    unsure: Sequence[int],
    added: Added,
    at: datetime,
) -> dict[int, BrandStanding]:
    """What budgets say of the brands whose headroom does not tell, and of those with budgets of campaigns."""
    brand_ids = {*unsure, *(brand_id for brand_id, found in taken.items() if found.has_campaign_budgets)}
    if not brand_ids:
        return {}
    campaign_ids = sorted(campaign_id for campaign_id, brand_id in added.brand_of.items() if brand_id in brand_ids)
    zones = {taken[brand_id].time_zone for brand_id in brand_ids}
    return search.standing_of(connection, zones, at, sorted(brand_ids), campaign_ids, passes.CAMPAIGNS_A_PART)


def _enforced(
    connection: Connection,
    taken: Mapping[int, Headroom],
    standing_of: Mapping[int, BrandStanding],
    ahead: Collection[int],
    cause: Cause,
    at: datetime,
) -> list[Applied]:
    """Enforces the brands of which a budget crossed its limit, and those `ahead`; of other brands, the campaigns of
    which one did."""
    whole = {*ahead, *(brand_id for brand_id, one in standing_of.items() if one.is_crossed)}
    others = {brand_id: one for brand_id, one in standing_of.items() if brand_id not in whole}
    known = {brand_id: one.budget_holds for brand_id, one in others.items() if one.is_unknown}
    if known:
        pass_rows.remember(connection, known)
    chosen = {brand_id: one.crossed_campaigns for brand_id, one in others.items() if one.crossed_campaigns}
    if not whole and not chosen:
        return []
    brands = brands_of((one, taken[one].time_zone, taken[one].configured_status) for one in (*whole, *chosen))
    return with_other_holds(passes.enforce_all(connection, brands, cause, at, chosen=chosen))


def _brands_ahead(added: Added, taken: Mapping[int, Headroom], today: Mapping[str, date]) -> set[int]:
    """The brands with spend dated on a day that has not begun: midnight may exhaust a budget with it."""
    first = min(today.values())
    return {
        brand_id
        for day in added.of_days
        if day > first
        for brand_id in {added.brand_of[campaign_id] for campaign_id in added.of_days[day]}
        if day > today[taken[brand_id].time_zone]
    }
