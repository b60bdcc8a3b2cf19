"""Looks up the campaigns that spend inputs name, by id or by a platform's external id."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, text

from db.engine import Query, query_pipelined
from db.repository.shared.arrays import array_of, text_array_of
from db.repository.shared.zones import readable_zones
from domain.inputs.campaign_names import CampaignKey, CampaignMatch, Claim, Claims, KnownCampaign
from domain.inputs.values import MAX_ID

# The campaigns with the given ids.
ACCOUNTS_BY_ID = text("""
    SELECT campaigns.id, brand_id, time_zone, currency
    FROM campaigns JOIN brands ON brands.id = brand_id WHERE campaigns.id = ANY(CAST(:ids AS bigint[]))
""")

# The campaigns that own the given external ids now or owned them until a day, in the named account or in any.
ACCOUNTS_BY_NAME = text("""
    WITH sent AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:platforms AS text[]), CAST(:external_ids AS text[]), CAST(:accounts AS text[]))
            AS sent(platform, external_id, account)
    ), held AS (
        SELECT sent.*, campaigns.platform_account_id, NULL::date AS until_day, campaigns.id AS campaign_id, brand_id
        FROM sent JOIN campaigns USING (platform, external_id)
        UNION ALL
        SELECT sent.*, platform_account_id, until_day, campaign_id, brand_id
        FROM sent JOIN released_external_ids USING (platform, external_id)
    )
    SELECT held.platform, external_id, account, platform_account_id, until_day, campaign_id, brand_id, time_zone,
        currency
    FROM held
    JOIN platform_accounts ON platform_accounts.id = platform_account_id
    JOIN brands ON brands.id = brand_id
    WHERE account IS NULL OR account = account_id
""")

MAX_CACHED: Final = 100_000
"""Campaigns in the cache; a full cache is emptied, which bounds its memory."""

_cache: dict[CampaignKey, KnownCampaign] = {}


def find_campaigns(
    connection: Connection, keys: Iterable[CampaignKey], only_brand_id: int | None = None
) -> dict[CampaignKey, CampaignMatch]:
    """The campaigns found by `keys`; `Claims` for an external id with several owners or a former one.

    Leaves out keys without a campaign, and campaigns whose brand has an unknown time zone. `only_brand_id`: finds only
    this brand's campaigns, because the sender may not see others; None: all brands'.
    """
    distinct = set(keys)
    ids = [key for key in distinct if isinstance(key, int) and 0 < key <= MAX_ID]
    names = [key for key in distinct if isinstance(key, tuple)]
    queries: list[Query] = [(ACCOUNTS_BY_ID, {"ids": array_of(ids)})] if ids else []
    if names:
        queries.append((ACCOUNTS_BY_NAME, _columns(names)))
    results = query_pipelined(connection, *queries)
    by_id = results.pop(0) if ids else []
    by_name = results.pop(0) if names else []
    zones = readable_zones({row[-2] for row in (*by_id, *by_name)})
    known: dict[CampaignKey, CampaignMatch] = {
        campaign_id: KnownCampaign(campaign_id, brand_id, zones[zone], currency)
        for campaign_id, brand_id, zone, currency in by_id
        if zone in zones and only_brand_id in {None, brand_id}
    }
    claims_by_key = defaultdict[CampaignKey, list[Claim]](list)
    for *name, account_id, until_day, campaign_id, brand_id, zone, currency in by_name:
        if zone in zones:
            campaign = KnownCampaign(campaign_id, brand_id, zones[zone], currency)
            visible = campaign if only_brand_id in {None, brand_id} else None
            claim = Claim(account_id, until_day or date.max, zones[zone], visible)
            claims_by_key[_key(*name)].append(claim)
    return known | {key: match for key, claims in claims_by_key.items() if (match := _match(claims))}


def _columns(names: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    platforms, external_ids, account_ids = zip(*((*name, None)[:3] for name in names), strict=True)
    return {
        "platforms": text_array_of(platforms),
        "external_ids": text_array_of(external_ids),
        "accounts": text_array_of(account_ids),
    }


def _key(platform: str, external_id: str, account: str | None) -> CampaignKey:
    return (platform, external_id) if account is None else (platform, external_id, account)


def _match(claims: list[Claim]) -> CampaignMatch | None:
    """The lookup result for the claims on one name; None if the sender may see none of the campaigns."""
    only = claims[0]
    if len(claims) == 1 and only.until_day == date.max:
        return only.campaign
    match = Claims(tuple(claims))
    return match if match.campaigns() else None


def find_campaigns_cached(connection: Connection, keys: set[CampaignKey]) -> Mapping[CampaignKey, CampaignMatch]:
    """The campaigns of all brands found by `keys`; those named by id from a cache.

    The cache may be stale: a brand's zone and currency can change. So compare these under the brand's lock before use,
    and look up with `find_campaigns` before rejecting an input. External ids are not cached, because they can pass to
    another campaign.
    """
    matches: dict[CampaignKey, CampaignMatch] = {key: known for key in keys if (known := _cache.get(key)) is not None}
    missing = keys - matches.keys()
    if missing:
        looked_up = find_campaigns(connection, missing)
        if len(_cache) + len(looked_up) > MAX_CACHED:
            clear_campaign_cache()
        by_id = (
            (key, one) for key, one in looked_up.items() if isinstance(key, int) and isinstance(one, KnownCampaign)
        )
        _cache.update(by_id)
        matches |= looked_up
    return matches


def names_have_changed(
    connection: Connection, judged_by: Mapping[CampaignKey, CampaignMatch], only_brand_id: int | None
) -> bool:
    """Whether a lookup by external id now gives another result than `judged_by`. Call it after locking the brands.

    `only_brand_id`: as for the first lookup; None: all brands.
    """
    names: dict[CampaignKey, CampaignMatch] = {key: known for key, known in judged_by.items() if isinstance(key, tuple)}
    return bool(names) and _unordered(find_campaigns(connection, names, only_brand_id)) != _unordered(names)


def _unordered(names: Mapping[CampaignKey, CampaignMatch]) -> dict[CampaignKey, object]:
    return {key: known if isinstance(known, KnownCampaign) else frozenset(known.claims) for key, known in names.items()}


def clear_campaign_cache() -> None:
    """Empties the cache of `find_campaigns_cached`, after a cached brand or campaign changed."""
    _cache.clear()
