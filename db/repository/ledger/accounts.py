"""The campaigns that spend is booked to."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, text

from db.engine import Query, fetched
from db.repository.shared.arrays import array_of, text_array_of
from db.repository.shared.zones import readable_zones
from domain.inputs import MAX_ID, Account, CampaignKey, Claim, Claims, Known

# The campaigns with the given ids.
ACCOUNTS_BY_ID = text("""
    SELECT campaigns.id, brand_id, time_zone, currency
    FROM campaigns JOIN brands ON brands.id = brand_id WHERE campaigns.id = ANY(CAST(:ids AS bigint[]))
""")

# The campaigns that platforms know by the given names, in any account or in the one that is named: those that hold the
# name now, and those that held it until a day.
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

MAX_REMEMBERED: Final = 100_000

_remembered: dict[CampaignKey, Account] = {}


def accounts(
    connection: Connection, keys: Iterable[CampaignKey], only_brand_id: int | None = None
) -> dict[CampaignKey, Known]:
    """The campaigns that are known among `keys`, as the judges of their spend need them; of one brand, or of all."""
    distinct = set(keys)
    ids = [key for key in distinct if isinstance(key, int) and 0 < key <= MAX_ID]
    names = [key for key in distinct if isinstance(key, tuple)]
    queries: list[Query] = [(ACCOUNTS_BY_ID, {"ids": array_of(ids)})] if ids else []
    if names:
        queries.append((ACCOUNTS_BY_NAME, _columns(names)))
    found = fetched(connection, *queries)
    by_id = found.pop(0) if ids else []
    by_name = found.pop(0) if names else []
    zones = readable_zones({row[-2] for row in (*by_id, *by_name)})
    known: dict[CampaignKey, Known] = {
        campaign_id: Account(campaign_id, brand_id, zones[zone], currency)
        for campaign_id, brand_id, zone, currency in by_id
        if zone in zones and only_brand_id in {None, brand_id}
    }
    held = defaultdict[CampaignKey, list[Claim]](list)
    for *name, account_id, until_day, campaign_id, brand_id, zone, currency in by_name:
        if zone in zones:
            campaign = Account(campaign_id, brand_id, zones[zone], currency)
            visible = campaign if only_brand_id in {None, brand_id} else None
            claim = Claim(account_id, until_day or date.max, zones[zone], visible)
            held[_key(*name)].append(claim)
    return known | {key: meant for key, claims in held.items() if (meant := _meant(claims))}


def _columns(names: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    platforms, external_ids, account_ids = zip(*((*name, None)[:3] for name in names), strict=True)
    return {
        "platforms": text_array_of(platforms),
        "external_ids": text_array_of(external_ids),
        "accounts": text_array_of(account_ids),
    }


def _key(platform: str, external_id: str, account: str | None) -> CampaignKey:
    return (platform, external_id) if account is None else (platform, external_id, account)


def _meant(claims: list[Claim]) -> Known | None:
    """What the claims of one name mean; None where the sender may see none of the campaigns."""
    only = claims[0]
    if len(claims) == 1 and only.until_day == date.max:
        return only.campaign
    meant = Claims(tuple(claims))
    return meant if meant.campaigns() else None


def remembered_accounts(connection: Connection, keys: set[CampaignKey]) -> Mapping[CampaignKey, Known]:
    """The same, of all brands, where a campaign named by its id is looked up once and then remembered.

    A campaign's brand never changes, the brand's zone and currency hardly ever: who acts on them compares them under
    the brand's lock. A name is never remembered, for another campaign may come to have it. Who would reject an input by
    what is remembered looks again, by `accounts`.
    """
    found: dict[CampaignKey, Known] = {key: known for key in keys if (known := _remembered.get(key)) is not None}
    unseen = keys - found.keys()
    if unseen:
        found_now = accounts(connection, unseen)
        if len(_remembered) + len(found_now) > MAX_REMEMBERED:
            forget_accounts()
        by_id = ((key, one) for key, one in found_now.items() if isinstance(key, int) and isinstance(one, Account))
        _remembered.update(by_id)
        found |= found_now
    return found


def names_have_changed(
    connection: Connection, judged_by: Mapping[CampaignKey, Known], only_brand_id: int | None
) -> bool:
    """Whether a name means something else by now than it was judged by, seen after the brands' locks."""
    names: dict[CampaignKey, Known] = {key: known for key, known in judged_by.items() if isinstance(key, tuple)}
    return bool(names) and _unordered(accounts(connection, names, only_brand_id)) != _unordered(names)


def _unordered(names: Mapping[CampaignKey, Known]) -> dict[CampaignKey, object]:
    return {key: known if isinstance(known, Account) else frozenset(known.held) for key, known in names.items()}


def forget_accounts() -> None:
    """Lets `remembered_accounts` look again: something it relied on has changed."""
    _remembered.clear()
