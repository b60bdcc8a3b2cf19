"""Does for edits on Citus what triggers do on a single server.

Writes the histories of limits and brands, clears headroom (the amount that a brand can spend before counting must read
its budgets), orders status changes, sets the default account and checks external ids. Without Citus, no function writes
anything. The caller of a function that writes has locked the brand.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from db.local_settings import has_citus
from db.repository.spread import directory

KEEP_FACTS = text("""
    INSERT INTO brand_facts (brand_id, time_zone, currency, changed_at)
    VALUES (:brand_id, :time_zone, :currency, clock_timestamp())
""")

KEEP_LIMIT = text("""
    INSERT INTO budget_limits (brand_id, campaign_id, period, limit_micros, changed_at)
    VALUES (:brand_id, :campaign_id, :period, :limit_micros, :at)
""")

# As the trigger `forget_headroom` does it.
FORGET_HEADROOM = text("""
    UPDATE brands SET headroom_micros = NULL, has_campaign_budgets = EXISTS (
        SELECT FROM budgets WHERE budgets.brand_id = brands.id AND campaign_id IS NOT NULL
    )
    WHERE id = :brand_id
""")

DEFAULT_ACCOUNT = text("SELECT default_platform_account(:brand_id, :platform)")

# Puts status changes in the order of their commits, as the trigger `order_by_commit` does it.
ORDER_STATUS_CHANGES = text("SELECT name FROM locks WHERE name = 'status_changes' FOR NO KEY UPDATE")

# As the trigger `forget_platform_status` does it.
FORGET_PLATFORM_STATUS = text("""
    DELETE FROM platform_statuses WHERE brand_id = :brand_id AND campaign_id = :id
""")

ZONE = text("SELECT time_zone FROM brands WHERE id = :brand_id FOR NO KEY UPDATE")

LAST_DAY = text("SELECT max(day) FROM campaign_days WHERE brand_id = :brand_id AND campaign_id = :id")

# As the trigger `keep_released_external_id` does it.
KEEP_RELEASED = text("""
    INSERT INTO released_external_ids (platform_account_id, external_id, until_day, platform, brand_id, campaign_id)
    SELECT :platform_account_id, :external_id, CAST(:until AS date), :platform, :brand_id, :id
    WHERE NOT EXISTS (
        SELECT FROM released_external_ids
        WHERE platform_account_id = :platform_account_id AND external_id = :external_id AND until_day >= :until
    )
""")

# As the trigger `heed_released_external_ids` does it.
HEED_RELEASED = text("""
    INSERT INTO released_external_ids (platform_account_id, external_id, until_day, platform, brand_id, campaign_id)
    SELECT ours.id, released.external_id, until_day, released.platform, released.brand_id, released.campaign_id
    FROM released_external_ids AS released
    JOIN platform_accounts AS theirs ON theirs.id = released.platform_account_id
    JOIN platform_accounts AS ours ON ours.id = :platform_account_id
    WHERE released.platform = :platform AND released.external_id = :external_id AND theirs.id <> ours.id
        AND (theirs.account_id IS NULL OR ours.account_id IS NULL)
        AND (CAST(:had_in AS bigint) IS NULL OR theirs.id = :had_in)
        AND NOT EXISTS (
            SELECT FROM released_external_ids AS settled
            WHERE settled.platform = :platform AND settled.external_id = :external_id
                AND settled.until_day >= released.until_day AND (
                    settled.platform_account_id = ours.id
                    OR settled.campaign_id = :id AND settled.platform_account_id <> theirs.id
                )
        )
    ON CONFLICT DO NOTHING
""")


def keep_facts(connection: Connection, brand_id: int, zone: str, currency: str) -> None:
    """On several servers, appends the brand's time zone and currency to their history and writes its directory row.

    The directory is two tables of the coordinator, by which inputs find brands. Without Citus does nothing: triggers
    write the history.
    """
    if has_citus(connection):
        connection.execute(KEEP_FACTS, {"brand_id": brand_id, "time_zone": zone, "currency": currency})
        directory.keep_brand(connection, brand_id, zone, currency)


def order_status_changes(connection: Connection) -> None:
    """On several servers, takes the lock that orders status changes until the transaction ends.

    Call it before a status change is inserted. Without Citus does nothing: a trigger takes the lock.
    """
    if has_citus(connection):
        connection.execute(ORDER_STATUS_CHANGES)


def keep_limit(
    connection: Connection, budget: Mapping[str, Any], old_micros: int | None, new_micros: int | None, at: datetime
) -> None:
    """On several servers, appends a budget's limit to its history if it changed, and clears the brand's headroom.

    So the brand's next spend reads its budgets. Also renews the brand's flag `has_campaign_budgets`. `budget`: its
    brand_id, campaign_id (None: the brand's budget) and period. `old_micros`, `new_micros` None: no limit. Without
    Citus does nothing: triggers do this.
    """
    if not has_citus(connection):
        return
    if old_micros != new_micros:
        connection.execute(KEEP_LIMIT, {**budget, "limit_micros": new_micros, "at": at})
    connection.execute(FORGET_HEADROOM, {"brand_id": budget["brand_id"]})


def with_account(
    connection: Connection, new: Mapping[str, Any], old: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """On several servers, returns the campaign's new fields with its platform account, None without a platform.

    If `new` names no account, or a new platform with the old account, it is the brand's default account on the
    platform, which is created if it is missing. `old`: the fields before the edit; None for a new campaign. Raises
    InvalidValue if another campaign of the account has the external id. Without Citus returns `new` unchanged: a
    trigger sets the account.
    """
    if not has_citus(connection):
        return new
    account = new["platform_account_id"]
    if old is not None and new["platform"] != old["platform"] and account == old["platform_account_id"]:
        account = None
    if new["platform"] is None:
        account = None
    elif account is None:
        account = connection.scalar(DEFAULT_ACCOUNT, {"brand_id": new["brand_id"], "platform": new["platform"]})
    settled = {**new, "platform_account_id": account}
    if account is not None and new["external_id"] is not None:
        directory.refuse_taken(connection, {**settled, "id": 0 if old is None else old["id"]})
    return settled


def keep_name(connection: Connection, new: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> None:
    """On several servers, writes a campaign's row in the directory if its platform, account or external id is new.

    For such an edit it also deletes the stored status that the campaign had on its platform. The directory is the
    coordinator's table by which inputs find campaigns. `old`: the fields before the edit; None for a new campaign.
    Raises InvalidValue if another campaign of the account has the external id. Without Citus does nothing: triggers and
    a key do this.
    """
    names = ("platform", "platform_account_id", "external_id")
    if not has_citus(connection) or (old is not None and all(old[name] == new[name] for name in names)):
        return
    directory.keep_campaign(connection, new)
    if old is not None:
        connection.execute(FORGET_PLATFORM_STATUS, {"brand_id": new["brand_id"], "id": new["id"]})


def heed_released(connection: Connection, campaign: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> None:
    """On several servers, stores that earlier owners of the campaign's new external id had it in its account too.

    It does so for campaigns that owned the id in another account, up to their last day there, if Spendgate does not
    know the platform's id of one of the two accounts, which may then be one account. `old`: the campaign's fields
    before the edit; None for a new campaign. Call it before `keep_released`. Without Citus does nothing: a trigger does
    this.
    """
    given = campaign["external_id"] is not None and campaign["platform_account_id"] is not None
    if not has_citus(connection) or not given:
        return
    had_in = None
    if old is not None and all(old[name] == campaign[name] for name in ("platform", "external_id")):
        had_in = old["platform_account_id"]
        if had_in == campaign["platform_account_id"]:
            return
    connection.execute(HEED_RELEASED, _of_external_id(campaign) | {"had_in": had_in})


def keep_released(
    connection: Connection,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    at: datetime | None = None,
    from_day: date | None = None,
) -> None:
    """On several servers, stores that a campaign had its old external id on the days before `from_day`.

    `old`, `new`: the campaign's fields before and after the edit; stores nothing if account and external id are equal.
    `from_day` None: on the days before the edit at `at` (brand-local), and up to the campaign's last counted day if
    that is later; stores nothing if the campaign has no counted day, or `at` is None. Without Citus does nothing: a
    trigger does this.
    """
    names = ("platform_account_id", "external_id")
    given = old["external_id"] is not None and old["platform_account_id"] is not None
    if not has_citus(connection) or not given or all(old[name] == new[name] for name in names):
        return
    of_campaign = _of_external_id(old)
    zone = connection.execute(ZONE, of_campaign).scalar_one()
    last_day: date | None = connection.scalar(LAST_DAY, of_campaign)
    until = from_day
    if until is None and last_day is not None and at is not None:
        until = max(last_day + timedelta(days=1), at.astimezone(ZoneInfo(zone)).date())
    if until is not None:
        connection.execute(KEEP_RELEASED, of_campaign | {"until": until})


def _of_external_id(campaign: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "brand_id", "platform", "platform_account_id", "external_id")
    return {name: campaign[name] for name in names}
