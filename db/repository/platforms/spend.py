"""Facts for reading an account's spend: its campaigns, their brands, and the totals stored for a range of days."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection, text

# The account's campaigns, each from the day on which it left another account, and earlier owners of its external ids. A
# default account, whose id nobody knows, may be this one.
OWNERS = """
    SELECT id AS campaign_id, brand_id, external_id, NULL::date AS until_day, (
        SELECT max(elsewhere.until_day) FROM released_external_ids AS elsewhere
        JOIN platform_accounts AS other ON other.id = elsewhere.platform_account_id AND other.account_id IS NOT NULL
        WHERE elsewhere.campaign_id = campaigns.id AND elsewhere.platform = campaigns.platform
            AND elsewhere.platform_account_id <> :account
    ) AS from_day
    FROM campaigns WHERE platform_account_id = :account AND external_id IS NOT NULL
    UNION
    SELECT campaign_id, brand_id, external_id, until_day, NULL FROM released_external_ids
    WHERE platform_account_id = :account
"""

CAMPAIGNS_OF_ACCOUNT = text(f"""
    SELECT campaign_id, external_id, brand_id, brands.name, time_zone, currency, until_day, from_day
    FROM ({OWNERS}) AS owners JOIN brands ON brands.id = brand_id ORDER BY campaign_id, external_id, until_day
""")  # noqa: S608 - a constant, put together once

STORED_DAYS = text("""
    SELECT campaign_id, day FROM reported_totals
    WHERE source = :source AND campaign_id = ANY(CAST(:campaign_ids AS bigint[])) AND total_micros <> 0
        AND day BETWEEN :first_day AND :last_day
    ORDER BY campaign_id, day
""")


class AccountCampaign(NamedTuple):
    """A campaign that has or had this external id in the account, and its brand's zone and currency.

    `until_day`: the first day on which it had the id no more; None: it has it. `from_day`: the first day of its spend
    in this account, if it was in another one before.
    """

    campaign_id: int
    external_id: str
    brand_id: int
    brand_name: str
    time_zone: str
    currency: str
    until_day: date | None = None
    from_day: date | None = None


def campaigns_of_account(connection: Connection, account: int) -> list[AccountCampaign]:
    """All campaigns with an external id in the account, now or earlier, by campaign id."""
    return [AccountCampaign(*row) for row in connection.execute(CAMPAIGNS_OF_ACCOUNT, {"account": account})]


def days_with_spend(
    connection: Connection, source: str, campaign_ids: Sequence[int], first_day: date, last_day: date
) -> list[tuple[int, date]]:
    """The (campaign id, day) pairs from `first_day` to `last_day`, included, with a stored total other than zero."""
    values = {"source": source, "campaign_ids": list(campaign_ids), "first_day": first_day, "last_day": last_day}
    return [(campaign_id, day) for campaign_id, day in connection.execute(STORED_DAYS, values)]
