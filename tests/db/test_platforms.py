"""The repository of connections to platforms: the count of operations, claims, and the hold set by workers."""

from datetime import timedelta
from functools import partial

import psycopg
import pytest

from db.engine import committed, transaction
from db.repository.platforms import claims, operations, statuses
from tests.kit import at_once
from tests.world import World, moment

AT = moment("2026-06-17T12:00:30")
ACCOUNT = "INSERT INTO platform_accounts (platform, account_id) VALUES ('google_ads', '1') RETURNING id"
CONNECT = "INSERT INTO platform_connections (platform_account_id, credentials) VALUES (%s, 'env:X')"


@pytest.fixture
def account(world: World) -> int:
    """The id of a connected platform account."""
    account_id = int(world.one(ACCOUNT)["id"])
    world.execute(CONNECT, account_id)
    return account_id


def test_quota_counts_operations_of_24_sliding_hours(world: World) -> None:
    def reserve(count: int, hours: float = 0.0, pool: str = "google_ads") -> bool:
        at = AT + timedelta(hours=hours)
        return committed(lambda connection: operations.reserve(connection, pool, count, 0, 10, at))

    assert reserve(6)
    assert reserve(4, 1)
    assert not reserve(1, 23)
    assert reserve(10, 23, pool="meta_ads")
    assert reserve(6, 24)
    assert not reserve(1, 24)
    with transaction() as connection:
        assert operations.used(connection, "google_ads", AT + timedelta(hours=24)) == 10


def test_concurrent_reservations_do_not_exceed_the_quota(world: World) -> None:
    taken: list[bool] = []

    def reserve() -> None:
        taken.append(committed(lambda connection: operations.reserve(connection, "google_ads", 3, 3, 10, AT)))

    at_once(*[reserve] * 6)
    assert sorted(taken) == [False] * 3 + [True] * 3


def test_one_worker_claims_an_account_until_its_claim_ends(account: int) -> None:
    def claim(seconds: int) -> bool:
        at = AT + timedelta(seconds=seconds)
        return committed(partial(claims.claim, account=account, at=at, until=at + timedelta(minutes=1)))

    assert claim(0)
    assert not claim(59)
    assert claim(60)


def test_hold_of_the_platform_is_set_only_on_reconciled_campaigns(world: World, account: int) -> None:
    brand = world.brand()
    campaign = world.campaign(brand)
    held = partial(statuses.set_hold, brand_id=brand, campaign_id=campaign, by="platform:google_ads", at=AT)
    with pytest.raises(psycopg.DataError, match="is not reconciled"):
        world.execute("SELECT set_platform_hold(%s, true, 'platform:google_ads', now())", campaign)
    world.execute(
        "INSERT INTO platform_statuses (brand_id, campaign_id, platform_account_id, desired)"
        " VALUES (%s, %s, %s, 'active')",
        *(brand, campaign, account),
    )
    for by in ("user:ceo@example.com", "", "platform:"):
        with pytest.raises(psycopg.DataError, match="no platform says so"):
            world.execute("SELECT set_platform_hold(%s, true, %s, now())", campaign, by)
    results = [committed(partial(held, is_held=is_held)) for is_held in (True, True, False, False)]
    assert results == [True, False, True, False]
    entries = world.rows("SELECT old, new FROM audit_entries WHERE changed_by = 'platform:google_ads' ORDER BY id")
    assert [entry["new"]["set_holds"] for entry in entries] == [["platform_paused"], []]
    now, audited = world.one("SELECT now()")["now"], world.rows("SELECT changed_at FROM audit_entries ORDER BY id")
    assert all(abs(entry["changed_at"] - now) < timedelta(hours=1) for entry in audited[-2:])


@pytest.mark.parametrize("credentials", ["1//secret-token", "env:", "http:x"])
def test_credentials_are_stored_by_reference_only(world: World, credentials: str) -> None:
    account_id = world.one(ACCOUNT)["id"]
    with pytest.raises(psycopg.errors.CheckViolation, match="credentials_by_reference"):
        world.execute(CONNECT.replace("env:X", credentials), account_id)
