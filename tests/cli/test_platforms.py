"""`spendgate platform`, against the fake platform."""

from datetime import timedelta
from pathlib import Path

import pytest

from cli import output
from cli.fake_platforms.state import FakePlatform
from tests.cli.conftest import Spendgate
from tests.fake_platforms.fixtures import SECRETS
from tests.world import World


def connect(spendgate: Spendgate, fake: FakePlatform, file: Path, brand: int, *options: str) -> str:
    """Connects the fake account and returns its id."""
    command = ("platform", "add", "google", fake.account_id, "--credentials", f"file:{file}", "--brand", str(brand))
    return str(spendgate(*command, *options, "--json").data["account"])


def test_account_is_added_in_shadow_mode_listed_and_removed(
    world: World, spendgate: Spendgate, fake: FakePlatform, credentials_file: Path
) -> None:
    assert "No account is connected" in spendgate("platform", "list").out
    account = connect(spendgate, fake, credentials_file, world.brand())
    (row,) = spendgate("platform", "list", "--json").data
    assert (row["platform"], row["account_id"], row["mode"]) == ("google_ads", fake.account_id, "shadow")
    again = ("platform", "add", "google", fake.account_id, "--credentials", "env:LOGIN", "--mode", "full")
    assert f"spendgate platform mode {account} full" in spendgate(*again).err
    assert spendgate("platform", "mode", account, "full", "--yes").code == 0
    assert connect(spendgate, fake, credentials_file, world.brand()) == account
    assert spendgate("platform", "list", "--json").data[0]["mode"] == "full"
    assert not [secret for secret in SECRETS.values() if secret in spendgate("platform", "list", "--json").out]
    assert "campaigns paused there stay paused" in spendgate("platform", "remove", account).out
    assert spendgate("platform", "remove", account).code == 2
    subjects = [
        row["action"] for row in world.rows("SELECT * FROM audit_entries WHERE subject = 'platform_connection'")
    ]
    assert subjects == ["create", "edit", "edit", "remove"]


def test_check_says_in_plain_words_what_is_missing(
    world: World, spendgate: Spendgate, fake: FakePlatform, credentials_file: Path
) -> None:
    fake.time_zone = "Europe/Berlin"
    brand = world.brand(zone="America/New_York", currency="EUR", name="Acme")
    account = connect(spendgate, fake, credentials_file, brand)
    assert "give campaigns their external ids" in spendgate("platform", "check", account).out
    world.campaign(brand, platform="google_ads", external_id="11", account=fake.account_id)
    kolkata = world.brand(zone="Asia/Kolkata", name="Delhi")
    connect(spendgate, fake, credentials_file, kolkata)
    world.campaign(kolkata, platform="google_ads", external_id="12", account=fake.account_id)
    shown = spendgate("platform", "check", account)
    assert shown.code == 0
    for sentence in (
        "Fake, Europe/Berlin, USD; 0 campaigns there",
        f"brand {brand} (Acme) counts in EUR, the account in USD",
        f"brand {kolkata} (Delhi): the hour from",
        "these campaigns do not exist on the platform: 11, 12; correct their external ids",
        f"mode is shadow: Spendgate changes nothing on the platform until you run spendgate platform mode {account}",
    ):
        assert sentence in shown.out
    fake.is_revoked = True
    fake.token = "another"  # noqa: S105 - a fake one
    failed = spendgate("platform", "check", account, "--json")
    assert failed.code == 1
    assert "expired or revoked" in failed.data["missing"][0]


def test_reconcile_shows_a_dry_run_then_pauses(
    world: World, spendgate: Spendgate, fake: FakePlatform, credentials_file: Path
) -> None:
    brand = world.brand(daily=10)
    account = connect(spendgate, fake, credentials_file, brand, "--mode", "full")
    campaign = world.campaign(brand, platform="google_ads", external_id="11", account=fake.account_id)
    fake.add("11")
    world.spend(campaign, 10)
    shown = spendgate("platform", "reconcile", account, "--dry-run", "--json").data
    assert [(row["campaign_id"], row["action"]) for row in shown["actions"]] == [(campaign, "pause")]
    assert fake.campaigns["11"].status == "enabled"
    assert "every campaign has its desired status" in spendgate("platform", "reconcile", account).out
    assert fake.campaigns["11"].status == "paused"


def test_wrong_platforms_and_references_are_refused(world: World, spendgate: Spendgate) -> None:
    brand = str(world.brand())
    unknown = spendgate("platform", "add", "tiktok", "1", "--credentials", "env:X", "--brand", brand)
    assert (unknown.code, "tiktok_ads cannot be connected" in unknown.err) == (2, True)
    secret = spendgate("platform", "add", "google_ads", "1", "--credentials", "1//secret-value")
    assert (secret.code, "expected env:NAME or file:/path" in secret.err) == (2, True)
    assert "secret-value" not in secret.err


def test_list_and_status_fit_80_columns_and_name_the_oldest_unconfirmed_pause(
    world: World,
    spendgate: Spendgate,
    fake: FakePlatform,
    credentials_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "No account is connected" in spendgate("platform", "status").out
    at = world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand(daily=10)
    account = connect(spendgate, fake, credentials_file, brand, "--mode", "full")
    campaign = world.campaign(brand, platform="google_ads", external_id="11", account=fake.account_id)
    fake.add("11")
    spendgate("platform", "reconcile", account)
    world.spend(campaign, 10)
    world.set_clock(at + timedelta(minutes=6))
    world.execute("UPDATE platform_connections SET last_error = %s, failed_at = now()", "the login is expired. " * 9)
    for console in (output.console, output.errors):
        monkeypatch.setattr(console, "width", 80)
    for command in ("list", "status"):
        shown = spendgate("platform", command).out
        assert max(map(len, shown.splitlines())) <= 80, shown
        assert "6 min" in shown
    assert "failing" in spendgate("platform", "list").out
    data = spendgate("platform", "status", "--json").data
    assert (data["oldest_unconfirmed_pause_seconds"], data["unconfirmed_pauses"]) == (360, 1)
    assert (data["accounts"], data["quota_left"]["google_ads"] > 0) == ({"failing": 1}, True)


def test_status_names_unconfirmed_pauses_and_failing_accounts(
    world: World, spendgate: Spendgate, fake: FakePlatform, credentials_file: Path
) -> None:
    assert "ad platform" not in spendgate("status").out
    assert spendgate("status", "--json").data["platforms"] is None
    brand = world.brand(daily=10)
    account = connect(spendgate, fake, credentials_file, brand, "--mode", "full")
    campaign = world.campaign(brand, platform="google_ads", external_id="11", account=fake.account_id)
    fake.add("11")
    spendgate("platform", "reconcile", account)
    assert "ad platform accounts: 1 ok; every pause is confirmed" in spendgate("status").out
    fake.is_revoked, fake.token = True, "another"
    world.spend(campaign, 10)
    spendgate("platform", "reconcile", account)
    assert "ad platform accounts: 1 failing; 1 unconfirmed pause, the oldest for" in spendgate("status").out
    platforms = spendgate("status", "--json").data["platforms"]
    assert (platforms["accounts"], platforms["unconfirmed_pauses"]) == ({"failing": 1}, 1)
    assert spendgate("platform", "status", "--json").data["accounts"] == {"failing": 1}
