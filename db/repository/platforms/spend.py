"""Facts for reading an account's spend: its campaigns, their brands, and the totals stored for a range of days."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import Connection, text

# The account's campaigns, and earlier owners of its external ids.
CAMPAIGNS_OF_ACCOUNT = text("""
    SELECT campaign_id, external_id, brand_id, brands.name, time_zone, currency, until_day
    FROM (
        SELECT id AS campaign_id, brand_id, external_id, NULL::date AS until_day
        FROM campaigns WHERE platform_account_id = :account AND external_id IS NOT NULL
        UNION
        SELECT campaign_id, brand_id, external_id, until_day FROM released_external_ids
        WHERE platform_account_id = :account
    ) AS owners JOIN brands ON brands.id = brand_id ORDER BY campaign_id, external_id, until_day
""")

# The external ids that these campaigns have or had in other accounts of the platform. A default account, whose id
# nobody knows, is left out, because it may be this one.
ELSEWHERE = text("""
    SELECT campaign_id, claims.platform_account_id, external_id, until_day
    FROM (
        SELECT campaign_id, platform_account_id, external_id, until_day FROM released_external_ids
        WHERE campaign_id = ANY(CAST(:campaign_ids AS bigint[])) AND platform_account_id <> :account
        UNION ALL
        SELECT id, platform_account_id, external_id, NULL FROM campaigns
        WHERE id = ANY(CAST(:campaign_ids AS bigint[])) AND platform_account_id <> :account AND external_id IS NOT NULL
    ) AS claims JOIN platform_accounts AS other ON other.id = claims.platform_account_id
    WHERE other.platform = :platform AND other.account_id IS NOT NULL
    ORDER BY 1, 2, 3, 4
""")

# The external ids in the account of campaigns that are not archived, and whose brands are not.
WANTED_IDS = text("""
    SELECT external_id FROM campaigns JOIN brands ON brands.id = campaigns.brand_id
    WHERE platform_account_id = :account AND external_id IS NOT NULL
        AND campaigns.configured_status <> 'archived' AND brands.configured_status <> 'archived'
""")

STORED_DAYS = text("""
    SELECT campaign_id, day FROM reported_totals
    WHERE source = :source AND campaign_id = ANY(CAST(:campaign_ids AS bigint[])) AND total_micros <> 0
        AND day BETWEEN :first_day AND :last_day
    ORDER BY campaign_id, day
""")


class AccountCampaign(NamedTuple):
    """A campaign that has or had this external id in the account, and its brand's zone and currency.

    `until_day`: the first day on which it no longer had the id; None: it has it now. `adds_before`: before this day,
    another account had the campaign under another id, so that both accounts' figures add up. `keeps_before`: before
    this day, another account had it under this id, so that a day missing in this account's answer is left as it is.
    """

    campaign_id: int
    external_id: str
    brand_id: int
    brand_name: str
    time_zone: str
    currency: str
    until_day: date | None = None
    adds_before: date | None = None
    keeps_before: date | None = None


class Elsewhere(NamedTuple):
    """An external id that a campaign has or had in another account.

    `until_day`: the first day on which it no longer had the id there; None: it has it now.
    """

    campaign_id: int
    account: int
    external_id: str
    until_day: date | None


def campaigns_of_account(connection: Connection, platform: str, account: int) -> list[AccountCampaign]:
    """All campaigns with an external id in the account, now or earlier, by campaign id."""
    owners = [AccountCampaign(*row) for row in connection.execute(CAMPAIGNS_OF_ACCOUNT, {"account": account})]
    values = {"platform": platform, "account": account, "campaign_ids": [one.campaign_id for one in owners]}
    elsewhere: dict[int, list[Elsewhere]] = {}
    for row in connection.execute(ELSEWHERE, values):
        elsewhere.setdefault(row.campaign_id, []).append(Elsewhere(*row))
    return [_beside(one, account, elsewhere.get(one.campaign_id, ())) for one in owners]


def wanted_ids(connection: Connection, account: int) -> set[str]:
    """The external ids in the account of campaigns that have them now and are not archived, nor are their brands."""
    return set(connection.scalars(WANTED_IDS, {"account": account}))


def _beside(one: AccountCampaign, account: int, elsewhere: Sequence[Elsewhere]) -> AccountCampaign:
    """The campaign with `adds_before` and `keeps_before` set from its external ids in other accounts.

    The platform has an id in one account only, so that figures of one id in two accounts are never added up.
    """
    if not elsewhere:
        return one
    end = (one.until_day or date.max, account)
    others = [other for other in elsewhere if other.external_id != one.external_id]
    earlier = [day for _, account_id, _, day in others if day is not None and (day, account_id) < end]
    same = [other.until_day or date.max for other in elsewhere if other.external_id == one.external_id]
    return one._replace(adds_before=max(earlier, default=None), keeps_before=max(same, default=None))


def days_with_spend(
    connection: Connection, source: str, campaign_ids: Sequence[int], first_day: date, last_day: date
) -> list[tuple[int, date]]:
    """The (campaign id, day) pairs from `first_day` to `last_day`, included, with a stored total other than zero."""
    values = {"source": source, "campaign_ids": list(campaign_ids), "first_day": first_day, "last_day": last_day}
    return [(campaign_id, day) for campaign_id, day in connection.execute(STORED_DAYS, values)]
