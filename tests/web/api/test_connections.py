"""Connections of platform accounts over HTTP, against the fake platform."""

from collections import deque
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cli.fake_platforms.state import FakePlatform
from domain.access import KeyScope
from runtime import encryption
from runtime.settings import settings
from tests.fake_platforms.fixtures import SECRETS, credentials_file, fake
from tests.web.api.conftest import Program
from tests.world import World

__all__ = ["credentials_file", "fake"]

MANAGES = (KeyScope.MANAGE,)


@pytest.fixture
def account(world: World, client: TestClient, fake: FakePlatform) -> str:
    """The path of an account with one campaign, which is not connected."""
    brand = world.brand(daily=10)
    asked = {"platform": "google", "account_id": fake.account_id, "brand_ids": [brand]}
    made = client.post("/api/platform-accounts/", json=asked)
    world.campaign(brand, platform="google_ads", external_id="11", account=fake.account_id)
    fake.add("11")
    return str(made.headers["Location"])


def connected(client: TestClient, account: str, **fields: Any) -> dict[str, Any]:
    answer = client.post(f"{account}connection/", json={"secrets": SECRETS, **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_account_is_connected_read_changed_and_removed(client: TestClient, account: str) -> None:
    assert client.get(account).json()["connection"] is None
    made = connected(client, account)
    assert (made["mode"], made["state"], made["credentials"]) == ("shadow", "unread", "kept")
    assert client.post(f"{account}connection/", json={"secrets": SECRETS}).status_code == 422
    read = client.get(f"{account}connection/")
    assert client.get(f"{account}connection/", headers={"If-None-Match": read.headers["ETag"]}).status_code == 304
    changed = client.patch(
        f"{account}connection/", json={"mode": "pause_only"}, headers={"If-Match": read.headers["ETag"]}
    )
    assert changed.json()["mode"] == "pause_only"
    stale = client.patch(f"{account}connection/", json={"mode": "off"}, headers={"If-Match": read.headers["ETag"]})
    assert (stale.status_code, stale.headers["ETag"]) == (412, changed.headers["ETag"])
    assert client.get(account).json()["connection"]["mode"] == "pause_only"
    listed = client.get("/api/platform-accounts/", params={"connected": True}).json()["items"]
    assert [row["connection"]["mode"] for row in listed] == ["pause_only"]
    assert client.get("/api/platform-accounts/", params={"connected": False}).json()["items"] == []
    assert client.delete(f"{account}connection/").status_code == 204
    for again in (client.delete, client.get):
        assert again(f"{account}connection/").status_code == 404


def test_repeated_connect_has_one_effect(world: World, client: TestClient, account: str) -> None:
    answers = [
        client.post(f"{account}connection/", json={"secrets": SECRETS}, headers={"Idempotency-Key": "once"})
        for _ in range(2)
    ]
    assert [one.status_code for one in answers] == [201, 201]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    entries = world.rows("SELECT action FROM audit_entries WHERE subject = 'platform_connection'")
    assert [row["action"] for row in entries] == ["create", "set_credentials"]


def test_dry_run_of_a_mode_names_the_campaigns_that_would_be_paused(
    world: World, client: TestClient, account: str
) -> None:
    connected(client, account)
    world.spend(1, 10)
    from app.platforms import statuses  # noqa: PLC0415 - after the environment is set

    statuses.reconcile_account(1)
    shown = client.patch(f"{account}connection/", json={"mode": "full"}, params={"dry_run": True}).json()
    assert (shown["pauses"], shown["enables"], shown["needs_confirmation"]) == (1, 0, True)
    assert "pause 1 campaign on Google Ads" in shown["sentence"]
    assert client.get(account).json()["connection"]["mode"] == "shadow"


def test_check_says_what_is_missing_and_reconcile_what_it_would_do(
    world: World, client: TestClient, account: str, fake: FakePlatform
) -> None:
    connected(client, account)
    world.spend(1, 10)
    checked = client.post(f"{account}check/").json()
    assert (checked["campaigns_there"], checked["campaigns_here"]) == (1, 1)
    assert "the mode is shadow" in " ".join(checked["missing"])
    planned = client.post(f"{account}reconcile/", params={"dry_run": True})
    assert (planned.status_code, planned.json()["actions"][0]["action"]) == (200, "pause")
    assert fake.campaigns["11"].status == "enabled"
    enqueued = client.post(f"{account}reconcile/")
    assert (enqueued.status_code, enqueued.json()["campaigns"]) == (202, None)
    fake.is_revoked, fake.token = True, "another"
    failed = client.post(f"{account}check/").json()
    assert "expired or revoked" in failed["missing"][0]
    fake.faults["token"] = deque(["500"])
    assert client.post(f"{account}reconcile/", params={"dry_run": True}).status_code == 502


def test_only_the_scope_credentials_sets_logins_and_only_a_key_of_all_brands_manages(
    world: World, client: TestClient, account: str, program: Program
) -> None:
    manager, limited = program(*MANAGES), program(brand=1)
    new = {"credentials": "env:GOOGLE"}
    assert manager.post(f"{account}connection/", json=new).status_code == 403
    assert limited.post(f"{account}connection/", json=new).status_code == 403
    connected(client, account)
    assert manager.patch(f"{account}connection/", json={"mode": "off"}).status_code == 200
    logins: list[dict[str, Any]] = [{"credentials": "env:OTHER"}, {"secrets": SECRETS}, {"options": {}}]
    for login in logins:
        assert manager.patch(f"{account}connection/", json=login).status_code == 403
    assert manager.delete(f"{account}connection/").status_code == 403
    for path in ("check/", "reconcile/"):
        assert program(KeyScope.READ).post(f"{account}{path}").status_code == 403
        assert limited.post(f"{account}{path}").status_code == 403
    assert limited.patch(f"{account}connection/", json={"mode": "full"}).status_code == 403
    assert limited.get(f"{account}connection/").status_code == 403
    assert manager.get(f"{account}connection/").json()["mode"] == "off"
    assert program(KeyScope.CREDENTIALS).get(account).status_code == 403


def test_key_of_one_brand_sees_its_account_without_names_of_others(
    world: World, client: TestClient, account: str, program: Program
) -> None:
    connected(client, account, options={"login_customer_id": "99"})
    world.execute("UPDATE platform_connections SET last_error = 'brand 2 (Rival) counts in EUR', failed_at = now()")
    seen = program(brand=1).get(account)
    assert (seen.status_code, "Rival" in seen.text) == (200, False)
    assert (seen.json()["connection"]["credentials"], seen.json()["connection"]["state"]) == (None, "failing")
    assert "Rival" not in program(brand=1).get("/api/campaigns/1/explain/").text
    other = program(brand=world.brand())
    assert other.get(account).status_code == 404


def test_secret_appears_in_no_answer(
    world: World, client: TestClient, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected(client, account)
    answers = [
        client.get(account),
        client.get(f"{account}connection/"),
        client.patch(f"{account}connection/", json={"secrets": SECRETS}),
        client.patch(f"{account}connection/", json={"secrets": SECRETS}, params={"dry_run": True}),
        client.patch(f"{account}connection/", json={"secrets": {**SECRETS, "extra": 7}}),
        client.patch(f"{account}connection/", json={"secrets": [SECRETS["refresh_token"]]}),
        client.patch(f"{account}connection/", json={"credentials": SECRETS["refresh_token"]}),
        client.post(f"{account}check/"),
        client.get("/api/campaigns/1/explain/"),
    ]
    assert [one.status_code for one in answers] == [200, 200, 200, 200, 422, 422, 422, 200, 200]
    monkeypatch.setenv("SPENDGATE_ENCRYPTION_KEYS", encryption.new_key())
    settings.cache_clear()
    lost = client.post(f"{account}check/")
    assert "no key decrypts a kept secret" in lost.json()["missing"][0]
    monkeypatch.setenv("SPENDGATE_ENCRYPTION_KEYS", "")
    settings.cache_clear()
    refused = client.patch(f"{account}connection/", json={"secrets": SECRETS})
    assert (refused.status_code, "SPENDGATE_ENCRYPTION_KEYS: not set" in refused.json()["detail"]) == (422, True)
    text = "".join(one.text for one in (*answers, lost, refused))
    text += str(world.rows("SELECT * FROM audit_entries")) + str(world.rows("SELECT * FROM platform_credentials"))
    assert [secret for secret in SECRETS.values() if secret in text] == []


WRONG: list[dict[str, Any]] = [
    {},
    {"secrets": SECRETS, "credentials": "env:X"},
    {"credentials": "a-secret"},
    {"secrets": {}},
]


def test_wrong_connections_are_refused(client: TestClient, account: str, credentials_file: Path) -> None:
    for wrong in WRONG:
        assert client.post(f"{account}connection/", json=wrong).status_code == 422
    assert client.post("/api/platform-accounts/404/connection/", json={"secrets": SECRETS}).status_code == 404
    other = client.post("/api/platform-accounts/", json={"platform": "tiktok", "account_id": "1"}).json()["id"]
    refused = client.post(f"/api/platform-accounts/{other}/connection/", json={"secrets": SECRETS})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "platform")
    connected(client, account, secrets=None, credentials=f"file:{credentials_file}")


def test_lists_of_campaigns_and_explanations_carry_the_status_of_the_platform(
    world: World, client: TestClient, account: str, fake: FakePlatform
) -> None:
    assert client.get("/api/campaigns/1/").json()["on_platform"] is None
    connected(client, account, mode="full")
    world.spend(1, 10)
    unread = client.get("/api/campaigns/").json()["items"][0]["on_platform"]
    assert (unread["desired"], unread["confirmed"], unread["attempts"]) == ("inactive", "unknown", 0)
    assert client.get(account).json()["connection"]["unconfirmed_pauses"] == 1
    from app.platforms import statuses  # noqa: PLC0415 - after the environment is set

    statuses.reconcile_account(1)
    (row,) = client.get("/api/campaigns/").json()["items"]
    there = row["on_platform"]
    assert (there["confirmed"], there["paused_by_us"], there["last_error"]) == ("paused", True, None)
    assert there["unconfirmed_since"] is None
    explained = client.get("/api/campaigns/1/explain/").json()["on_platform"]
    assert {name: explained[name] for name in there} == there
    assert "Google Ads confirmed after" in explained["words"]
    assert client.get(account).json()["connection"]["unconfirmed_pauses"] == 0
