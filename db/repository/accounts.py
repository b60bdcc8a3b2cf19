"""The campaigns that spend is booked to."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from db.repository.arrays import array_of
from db.repository.zones import readable_zones
from domain.inputs import MAX_ID, Account, CampaignKey

# The campaigns with the given ids.
ACCOUNTS_BY_ID = text("""
    SELECT campaigns.id, brand_id, time_zone, currency, NULL AS platform, NULL AS external_id
    FROM campaigns JOIN brands ON brands.id = brand_id WHERE campaigns.id = ANY(CAST(:ids AS bigint[]))
""")

# The campaigns that platforms know by the given names.
ACCOUNTS_BY_NAME = text("""
    SELECT campaigns.id, brand_id, time_zone, currency, platform, external_id
    FROM unnest(CAST(:platforms AS text[]), CAST(:external_ids AS text[])) AS sent(platform, external_id)
    JOIN campaigns USING (platform, external_id)
    JOIN brands ON brands.id = brand_id
""")


MAX_REMEMBERED: Final = 100_000

_remembered: dict[CampaignKey, Account] = {}


def accounts(
    connection: Connection, keys: Iterable[CampaignKey], only_brand_id: int | None = None
) -> dict[CampaignKey, Account]:
    """The campaigns that are known among `keys`, as the judges of their spend need them; of one brand, or of all."""
    distinct = set(keys)
    ids = [key for key in distinct if isinstance(key, int) and 0 < key <= MAX_ID]
    names = [key for key in distinct if isinstance(key, tuple)]
    rows = list(connection.execute(ACCOUNTS_BY_ID, {"ids": array_of(ids)})) if ids else []
    if names:
        platforms, external_ids = zip(*names, strict=True)
        parameters = {"platforms": list(platforms), "external_ids": list(external_ids)}
        rows += connection.execute(ACCOUNTS_BY_NAME, parameters)
    zones = readable_zones({row.time_zone for row in rows})
    return {
        _key(row): Account(row.id, row.brand_id, zones[row.time_zone], row.currency)
        for row in rows
        if row.time_zone in zones and only_brand_id in {None, row.brand_id}
    }


def remembered_accounts(connection: Connection, keys: set[CampaignKey]) -> Mapping[CampaignKey, Account]:
    """The same, of all brands, where a campaign named by its id is looked up once and then remembered.

    A campaign's brand never changes, the brand's zone and currency not once it has spend: until then, who acts on
    them compares them under the brand's lock. Who would reject an input by them looks again, by `accounts`.
    """
    found = {key: account for key in keys if (account := _remembered.get(key)) is not None}
    unseen = keys - found.keys()
    if unseen:
        found_now = accounts(connection, unseen)
        if len(_remembered) + len(found_now) > MAX_REMEMBERED:
            forget_accounts()
        _remembered.update((key, account) for key, account in found_now.items() if isinstance(key, int))
        found |= found_now
    return found


def forget_accounts() -> None:
    """Lets `remembered_accounts` look again: something it relied on has changed."""
    _remembered.clear()


def _key(row: Row[Any]) -> CampaignKey:
    return row.id if row.platform is None else (row.platform, row.external_id)
