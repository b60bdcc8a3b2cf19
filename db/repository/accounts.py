"""The campaigns that spend is booked to."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, text

from db.repository.zones import readable_zones
from domain.spend import MAX_ID, Account, CampaignKey

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


def accounts(
    connection: Connection, keys: Iterable[CampaignKey], only_brand_id: int | None = None
) -> dict[CampaignKey, Account]:
    """The campaigns that are known among `keys`, as the judges of their spend need them; of one brand, or of all."""
    distinct = set(keys)
    ids = [key for key in distinct if isinstance(key, int) and 0 < key <= MAX_ID]
    names = [key for key in distinct if isinstance(key, tuple)]
    rows = list(connection.execute(ACCOUNTS_BY_ID, {"ids": ids})) if ids else []
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


def _key(row: Row[Any]) -> CampaignKey:
    return row.id if row.platform is None else (row.platform, row.external_id)
