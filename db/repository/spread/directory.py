"""The directory of several servers: each campaign's brand, by id or external id, and the brand's zone and currency.

Inputs name campaigns without their brand, so a lookup in the tables that are spread by brand asks all servers, and
fails while one is away. The directory is two tables of the coordinator. The edit of a brand or campaign writes its row
in the same transaction. A row that SQL by hand made wrong, or that was lost with a crash between the commits of two
servers, corrects itself: counting compares it with the campaign under the brand's lock, and what the directory lacks is
looked up on all servers before an input is rejected.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from db.repository.spread.directory_tables import UNIQUE
from domain.errors import InvalidValue

KEEP_BRAND = text("""
    INSERT INTO directory_brands (id, time_zone, currency) VALUES (:id, :time_zone, :currency)
    ON CONFLICT (id) DO UPDATE SET time_zone = excluded.time_zone, currency = excluded.currency
""")

KEEP_CAMPAIGN = text("""
    INSERT INTO directory_campaigns (id, brand_id, platform, platform_account_id, external_id)
    VALUES (:id, :brand_id, :platform, :platform_account_id, :external_id)
    ON CONFLICT (id) DO UPDATE SET brand_id = excluded.brand_id, platform = excluded.platform,
        platform_account_id = excluded.platform_account_id, external_id = excluded.external_id
""")

OTHER_OWNER = text("""
    SELECT id FROM directory_campaigns
    WHERE platform_account_id = :platform_account_id AND external_id = :external_id AND id <> :id LIMIT 1
""")


def keep_brand(connection: Connection, brand_id: int, zone: str, currency: str) -> None:
    """Writes the brand's zone and currency to the directory, the coordinator's tables by which inputs find brands."""
    connection.execute(KEEP_BRAND, {"id": brand_id, "time_zone": zone, "currency": currency})


def keep_campaign(connection: Connection, campaign: Mapping[str, Any]) -> None:
    """Writes the campaign's brand and names to the directory, the coordinator's tables by which inputs find campaigns.

    `campaign`: its id, brand_id, platform, platform_account_id and external_id. Raises InvalidValue if another campaign
    of its account has the external id.
    """
    try:
        connection.execute(KEEP_CAMPAIGN, campaign)
    except IntegrityError as error:
        if UNIQUE not in str(error.orig):
            raise
        raise _taken(campaign) from None


def refuse_taken(connection: Connection, campaign: Mapping[str, Any]) -> None:
    """Raises InvalidValue if another campaign of the account has the external id; `id` 0: a campaign to be created."""
    if connection.scalar(OTHER_OWNER, campaign) is not None:
        raise _taken(campaign)


def _taken(campaign: Mapping[str, Any]) -> InvalidValue:
    detail = f"another campaign in this account already has the id {campaign['external_id']} on {campaign['platform']}"
    return InvalidValue("external_id", detail)
