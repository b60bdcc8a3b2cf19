"""Reads the brands and platform accounts with which an imported file is compared."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, text

BRANDS = text("SELECT id, name, time_zone, currency FROM brands WHERE id = ANY(:ids) ORDER BY id")

HAS_ACCOUNT = text("""
    SELECT EXISTS (SELECT FROM platform_accounts WHERE platform = :platform AND account_id = :account)
""")


class BrandFacts(NamedTuple):
    """A brand with spend in a file. `id` is None if the import will create the brand."""

    id: int | None
    name: str
    time_zone: str
    currency: str


def brands(connection: Connection, ids: Collection[int]) -> list[BrandFacts]:
    """The brands with these ids, in id order."""
    return [BrandFacts(*row) for row in connection.execute(BRANDS, {"ids": sorted(ids)})]


def has_account(connection: Connection, platform: str, account: str) -> bool:
    """Whether a platform account with this platform and account id exists."""
    return bool(connection.scalar(HAS_ACCOUNT, {"platform": platform, "account": account}))
