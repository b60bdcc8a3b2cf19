"""The platforms that have an adapter, and connected accounts with their credentials."""

from collections.abc import Mapping
from typing import Final

from app.platforms.adapters.google_ads import GoogleAds
from app.platforms.adapters.meta import Meta
from app.platforms.credentials import credentials_at
from app.platforms.protocol import Account, Platform
from db.repository.platforms.connections import StoredConnection
from domain.errors import InvalidValue

ADAPTERS: Final[Mapping[str, Platform]] = {"google_ads": GoogleAds(), "meta_ads": Meta()}
"""The adapter of each platform, by the platform's canonical name."""


def adapter_of(platform: str) -> Platform:
    """The platform's adapter. Raises InvalidValue if Spendgate has none."""
    if platform not in ADAPTERS:
        raise InvalidValue("platform", f"{platform} cannot be connected; these can: {', '.join(ADAPTERS)}")
    return ADAPTERS[platform]


def account_of(stored: StoredConnection) -> Account:
    """The account with its credentials, read now. Raises InvalidValue if they are missing or the account has no id."""
    if stored.account_id is None:
        raise InvalidValue("account", f"platform account {stored.id} has no id on the platform")
    credentials = credentials_at(stored.credentials, stored.id)
    return Account(stored.id, stored.platform, stored.account_id, credentials, stored.options, stored.time_zone)
