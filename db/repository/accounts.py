"""The campaigns that spend is booked to."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from db.engine import Query, fetched
from db.repository.arrays import array_of, text_array_of
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


class Row(NamedTuple):
    """A campaign as it was found."""

    id: int
    brand_id: int
    time_zone: str
    currency: str
    platform: str | None
    external_id: str | None

    @property
    def key(self) -> CampaignKey:
        return self.id if self.platform is None or self.external_id is None else (self.platform, self.external_id)


MAX_REMEMBERED: Final = 100_000

_remembered: dict[CampaignKey, Account] = {}


def accounts(
    connection: Connection, keys: Iterable[CampaignKey], only_brand_id: int | None = None
) -> dict[CampaignKey, Account]:
    """The campaigns that are known among `keys`, as the judges of their spend need them; of one brand, or of all."""
    distinct = set(keys)
    ids = [key for key in distinct if isinstance(key, int) and 0 < key <= MAX_ID]
    names = [key for key in distinct if isinstance(key, tuple)]
    queries: list[Query] = [(ACCOUNTS_BY_ID, {"ids": array_of(ids)})] if ids else []
    if names:
        platforms, external_ids = (text_array_of(some) for some in zip(*names, strict=True))
        queries.append((ACCOUNTS_BY_NAME, {"platforms": platforms, "external_ids": external_ids}))
    rows = [Row(*row) for found in fetched(connection, *queries) for row in found]
    zones = readable_zones({row.time_zone for row in rows})
    return {
        row.key: Account(row.id, row.brand_id, zones[row.time_zone], row.currency)
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
