"""Looks up the campaigns that spend inputs name, by id or by a platform's external id."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

from db.engine import Query, query_pipelined
from db.local_settings import has_citus
from db.repository.ledger import directory_checks
from db.repository.shared.arrays import array_of, text_array_of
from db.repository.shared.zones import readable_zones
from domain.inputs.campaign_names import CampaignKey, CampaignMatch, Claim, Claims, KnownCampaign
from domain.inputs.values import MAX_ID


def _by_id(campaigns: str, brands: str) -> TextClause:
    """The query for the campaigns with the ids `:ids`, which reads the tables with these names."""
    return text(f"""
        SELECT campaigns.id, brand_id, time_zone, currency
        FROM {campaigns} JOIN {brands} ON brands.id = brand_id WHERE campaigns.id = ANY(CAST(:ids AS bigint[]))
    """)  # noqa: S608 - of constants


def _by_name(campaigns: str, brands: str) -> TextClause:
    """The query for the campaigns that own or owned external ids, which reads the tables with these names.

    `:platforms`, `:external_ids`, `:accounts`: arrays of equal length; an account of NULL matches every account.
    """
    return text(f"""
        WITH sent AS MATERIALIZED (
            SELECT * FROM unnest(CAST(:platforms AS text[]), CAST(:external_ids AS text[]), CAST(:accounts AS text[]))
                AS sent(platform, external_id, account)
        ), held AS (
            SELECT sent.*, campaigns.platform_account_id, NULL::date AS until_day, campaigns.id AS campaign_id, brand_id
            FROM sent JOIN {campaigns} USING (platform, external_id)
            UNION ALL
            SELECT sent.*, platform_account_id, until_day, campaign_id, brand_id
            FROM sent JOIN released_external_ids USING (platform, external_id)
        )
        SELECT held.platform, external_id, account, platform_account_id, until_day, campaign_id, brand_id, time_zone,
            currency
        FROM held
        JOIN platform_accounts ON platform_accounts.id = platform_account_id
        JOIN {brands} ON brands.id = brand_id
        WHERE account IS NULL OR account = account_id
    """)  # noqa: S608 - of constants


# On several servers, the directory, which is on the coordinator.
LISTED: Final = (
    "/*plain*/campaigns/*end*//*citus directory_campaigns AS campaigns */",
    "/*plain*/brands/*end*//*citus directory_brands AS brands */",
)
LISTED_BY_ID = _by_id(*LISTED)
LISTED_BY_NAME = _by_name(*LISTED)

# On several servers, all of them: for what the directory lacks.
EVERYWHERE_BY_ID = _by_id("campaigns", "brands")
EVERYWHERE_BY_NAME = _by_name("campaigns", "brands")

MAX_CACHED: Final = 100_000
"""Most campaigns in the cache; a full cache is emptied, which bounds its memory."""

Name = tuple[str, str] | tuple[str, str, str]
"""(platform, external id), or (platform, external id, account id on the platform)."""

_cache: dict[CampaignKey, KnownCampaign] = {}


def find_campaigns(
    connection: Connection,
    keys: Iterable[CampaignKey],
    only_brand_id: int | None = None,
    *,
    everywhere: bool = True,
) -> dict[CampaignKey, CampaignMatch]:
    """Looks up campaigns; returns by key the campaign, or `Claims` for an external id with several or former owners.

    Leaves out keys without a campaign, and campaigns whose brand has an unknown time zone. `only_brand_id`: finds only
    this brand's campaigns, because the sender may not see others; None: all brands'. On several servers looks in the
    directory, a list on the coordinator. Keys that it lacks are looked up on all servers, and after the commit written
    to it, unless `everywhere` is False.
    """
    distinct = set(keys)
    ids = [key for key in distinct if isinstance(key, int) and 0 < key <= MAX_ID]
    names = [key for key in distinct if isinstance(key, tuple)]
    by_id, by_name = _rows(connection, ids, names, LISTED_BY_ID, LISTED_BY_NAME)
    if everywhere and has_citus(connection):
        by_id, by_name = _with_unlisted(connection, ids, names, by_id, by_name)
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


def _rows(
    connection: Connection, ids: Sequence[int], names: Sequence[Name], by_id: TextClause, by_name: TextClause
) -> tuple[list[Any], list[Any]]:
    """The rows of `by_id` for these ids and of `by_name` for these names, sent in one round trip."""
    queries: list[Query] = [(by_id, {"ids": array_of(ids)})] if ids else []
    if names:
        queries.append((by_name, _columns(names)))
    results = query_pipelined(connection, *queries)
    return results.pop(0) if ids else [], results.pop(0) if names else []


def _with_unlisted(
    connection: Connection, ids: Sequence[int], names: Sequence[Name], by_id: Sequence[Any], by_name: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Looks up on all servers the keys that have no row in `by_id` and `by_name`, the rows from the directory.

    Returns the rows of the directory with the rows found, as (by id, by name). Writes the campaigns found to the
    directory after the commit.
    """
    listed_ids, listed_names = {row[0] for row in by_id}, {_key(*row[:3]) for row in by_name}
    lacking = [one for one in ids if one not in listed_ids], [one for one in names if one not in listed_names]
    if not any(lacking):
        return list(by_id), list(by_name)
    more_by_id, more_by_name = _rows(connection, *lacking, EVERYWHERE_BY_ID, EVERYWHERE_BY_NAME)
    found = {(row[0], row[1]) for row in more_by_id} | {(row[5], row[6]) for row in more_by_name if row[4] is None}
    directory_checks.add_later(connection, sorted(found))
    return [*by_id, *more_by_id], [*by_name, *more_by_name]


def _columns(names: Iterable[Name]) -> dict[str, Any]:
    platforms, external_ids, account_ids = zip(*((*name, None)[:3] for name in names), strict=True)
    return {
        "platforms": text_array_of(platforms),
        "external_ids": text_array_of(external_ids),
        "accounts": text_array_of(account_ids),
    }


def _key(platform: str, external_id: str, account: str | None) -> CampaignKey:
    return (platform, external_id) if account is None else (platform, external_id, account)


def _match(claims: list[Claim]) -> CampaignMatch | None:
    """The lookup result for all claims on one name; None if the sender may see none of the campaigns."""
    only = claims[0]
    if len(claims) == 1 and only.until_day == date.max:
        return only.campaign
    match = Claims(tuple(claims))
    return match if match.campaigns() else None


def find_campaigns_cached(
    connection: Connection, keys: set[CampaignKey], *, everywhere: bool = True
) -> Mapping[CampaignKey, CampaignMatch]:
    """The campaigns of all brands found by `keys`; those named by id may come from a cache.

    The cache may be stale, because a brand's zone and currency can change. So compare the zone and currency of the
    found campaigns under the brand's lock before use, and look up with `find_campaigns` before rejecting an input.
    External ids are not cached, because they can pass to another campaign. `everywhere` False: on several servers looks
    only in the directory, the coordinator's list of campaigns, and not on each server for keys that it lacks.
    """
    matches: dict[CampaignKey, CampaignMatch] = {key: known for key in keys if (known := _cache.get(key)) is not None}
    missing = keys - matches.keys()
    if missing:
        looked_up = find_campaigns(connection, missing, everywhere=everywhere)
        if len(_cache) + len(looked_up) > MAX_CACHED:
            clear_campaign_cache()
        by_id = (
            (key, one) for key, one in looked_up.items() if isinstance(key, int) and isinstance(one, KnownCampaign)
        )
        _cache.update(by_id)
        matches |= looked_up
    return matches


def names_have_changed(
    connection: Connection,
    judged_by: Mapping[CampaignKey, CampaignMatch],
    only_brand_id: int | None,
    brand_ids: Collection[int],
) -> bool:
    """Whether a lookup by external id now gives another result than `judged_by`. Call it after locking `brand_ids`.

    `only_brand_id`: the only brand whose campaigns the lookups find; None: all brands. Raises StaleRead if, on several
    servers, a campaign of the locked brands has another external id now than the directory says.
    """
    names: dict[CampaignKey, CampaignMatch] = {key: known for key, known in judged_by.items() if isinstance(key, tuple)}
    if not names:
        return False
    if has_citus(connection):
        directory_checks.check_names(connection, list(_present_owners(names, brand_ids)))
    return _unordered(find_campaigns(connection, names, only_brand_id)) != _unordered(names)


def _present_owners(
    names: Mapping[CampaignKey, CampaignMatch], brand_ids: Collection[int]
) -> Iterator[directory_checks.Named]:
    """Yields the campaigns of these brands that own one of the external ids in `names` now, each with that id.

    `names`: the results of a lookup by external id.
    """
    for key, match in names.items():
        if isinstance(key, int):
            continue
        owners = (
            [match]
            if isinstance(match, KnownCampaign)
            else [claim.campaign for claim in match.claims if claim.campaign and claim.until_day == date.max]
        )
        for owner in owners:
            if owner.brand_id in brand_ids:
                yield directory_checks.Named(owner.campaign_id, owner.brand_id, key[0], key[1])


def _unordered(names: Mapping[CampaignKey, CampaignMatch]) -> dict[CampaignKey, object]:
    return {key: known if isinstance(known, KnownCampaign) else frozenset(known.claims) for key, known in names.items()}


def clear_campaign_cache() -> None:
    """Empties the cache of `find_campaigns_cached`, after a cached brand or campaign changed."""
    _cache.clear()
