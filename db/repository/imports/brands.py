"""Reads the brands and platform accounts with which an imported file is compared."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import Connection, text

from db.repository.shared.arrays import text_array_of

BRANDS = text("SELECT id, name, time_zone, currency FROM brands WHERE id = ANY(:ids) ORDER BY id")

HAS_ACCOUNT = text("""
    SELECT EXISTS (SELECT FROM platform_accounts WHERE platform = :platform AND account_id = :account)
""")

PLATFORMS_IN_USE = text("SELECT DISTINCT platform FROM platform_accounts ORDER BY platform")

# The spellings of a platform under which some of the external ids are known.
SPELLINGS = text("""
    SELECT DISTINCT platform FROM campaigns
    WHERE platform = ANY(CAST(:spellings AS text[])) AND external_id = ANY(CAST(:external_ids AS text[]))
    ORDER BY platform
""")


class BrandFacts(NamedTuple):
    """A brand with spend in a file. `id` is None if the import will create the brand."""

    id: int | None
    name: str
    time_zone: str
    currency: str


def brands(connection: Connection, ids: Collection[int]) -> list[BrandFacts]:
    """The brands with these ids, in order."""
    return [BrandFacts(*row) for row in connection.execute(BRANDS, {"ids": sorted(ids)})]


def has_account(connection: Connection, platform: str, account: str) -> bool:
    """Whether a platform account with this platform and account id exists."""
    return bool(connection.scalar(HAS_ACCOUNT, {"platform": platform, "account": account}))


def platforms_in_use(connection: Connection) -> list[str]:
    """The platforms that campaigns have, as they are spelt."""
    return list(connection.scalars(PLATFORMS_IN_USE))


def spellings_of(connection: Connection, spellings: Collection[str], external_ids: Iterable[str]) -> list[str]:
    """Those spellings of a platform under which campaigns with these external ids are known."""
    chosen = {"spellings": text_array_of(spellings), "external_ids": text_array_of(external_ids)}
    return list(connection.scalars(SPELLINGS, chosen))
