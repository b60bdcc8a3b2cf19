"""Connections to ad platforms in the admin, against the fake platform."""

import json
from pathlib import Path

import pytest

from app.platforms import statuses
from cli.fake_platforms.state import FakePlatform
from domain.access import Role
from runtime.settings import settings
from tests.fake_platforms.fixtures import SECRETS, credentials_file, fake
from tests.web.admin.conftest import Browser, Open
from tests.world import World

__all__ = ["credentials_file", "fake"]

LOGIN = json.dumps(SECRETS)


@pytest.fixture
def owner(world: World, browser: Open, fake: FakePlatform) -> Browser:
    """An owner, and a brand of 10 micros a day with one campaign that exists on the fake platform."""
    world.brand(daily=10, name="Hudson Shoes")
    fake.add("11")
    return browser(Role.OWNER)


def connect(owner: Browser, world: World, fake: FakePlatform, **fields: str) -> None:
    """Connects the fake account, and puts a campaign into it."""
    form = {"platform": "google_ads", "account_id": fake.account_id, "brands": "1", "mode": "shadow", "secrets": LOGIN}
    answer = owner.post("/admin/platforms/create", {**form, **fields})
    assert answer.status_code == 303, answer.text
    world.campaign(1, platform="google_ads", external_id="11", account=fake.account_id)


def test_owner_connects_an_account_and_the_check_says_what_is_missing(
    world: World, owner: Browser, fake: FakePlatform
) -> None:
    connect(owner, world, fake)
    row = world.one("SELECT mode, credentials FROM platform_connections")
    assert (row["mode"], row["credentials"]) == ("shadow", "kept")
    assert world.rows("SELECT brand_id FROM platform_account_brands") == [{"brand_id": 1}]
    assert fake.account_id in owner.get("/admin/platforms/list").text
    assert "unread" in owner.get("/admin/platforms/detail", pk=1).text
    page = "/admin/platforms/1/check"
    assert "data-check" not in owner.get(page).text
    checked = owner.post(page).text
    assert "It has 1 campaign on the platform; 1 campaign in Spendgate has" in checked
    assert "Spendgate changes nothing on the platform until you run" in checked
    fake.is_revoked, fake.token = True, "another"
    assert "expired or revoked" in owner.post(page).text
    assert owner.get("/admin/platforms/404/check").status_code == 404


def test_raised_mode_asks_with_its_effect_on_the_platform(world: World, owner: Browser, fake: FakePlatform) -> None:
    connect(owner, world, fake)
    world.spend(1, 10)
    statuses.reconcile_account(1)
    asked = owner.ask("/admin/platforms/edit", {"mode": "full", "credentials": "kept"}, pk=1)
    assert "Mode shadow → full: Spendgate will pause 1 campaign on Google Ads" in asked.text
    assert world.one("SELECT mode FROM platform_connections")["mode"] == "shadow"
    assert owner.post("/admin/platforms/edit", {"mode": "full", "credentials": "kept"}, pk=1).status_code == 303
    assert world.one("SELECT mode FROM platform_connections")["mode"] == "full"
    assert "Spendgate will pause 1 campaign" in owner.banners()


def test_operator_changes_the_mode_and_no_login(
    world: World, owner: Browser, fake: FakePlatform, browser: Open
) -> None:
    connect(owner, world, fake)
    operator = browser(Role.OPERATOR)
    form = operator.get("/admin/platforms/edit", pk=1).text
    assert ('name="mode"' in form, 'name="secrets"' in form, 'name="credentials"' in form) == (True, False, False)
    forged = {"mode": "off", "credentials": "env:OTHER", "secrets": '{"a": "b"}'}
    assert operator.post("/admin/platforms/edit", forged, pk=1).status_code == 303
    row = world.one("SELECT mode, credentials FROM platform_connections")
    assert (row["mode"], row["credentials"]) == ("off", "kept")
    entries = world.rows(
        "SELECT changed_by, action FROM audit_entries WHERE subject = 'platform_connection' ORDER BY id"
    )
    assert entries[-1] == {"changed_by": "user:operator@example.com", "action": "edit"}
    assert browser(Role.VIEWER).get("/admin/platforms/1/check").status_code == 403


def test_typed_login_appears_on_no_page_and_in_no_audit(world: World, owner: Browser, fake: FakePlatform) -> None:
    form = {"platform": "google_ads", "account_id": "", "mode": "shadow", "secrets": LOGIN}
    pages = [owner.post("/admin/platforms/create", form)]
    pages.append(owner.post("/admin/platforms/create", {**form, "account_id": "1", "secrets": LOGIN[:-1]}))
    pages.append(owner.post("/admin/platforms/create", {**form, "account_id": "1", "credentials": "env:X"}))
    assert [page.status_code for page in pages] == [422, 422, 422]
    connect(owner, world, fake)
    statuses.reconcile_account(1)
    pages.append(owner.ask("/admin/platforms/edit", {"mode": "full", "secrets": LOGIN, "credentials": "kept"}, pk=1))
    pages += [owner.get(f"/admin/platforms/{name}", pk=1) for name in ("list", "detail", "edit")]
    pages += [owner.get("/admin/audit-entries/list"), owner.post("/admin/platforms/1/check")]
    text = "".join(page.text for page in pages) + str(world.rows("SELECT * FROM audit_entries"))
    assert [secret for secret in SECRETS.values() if secret in text] == []


def test_missing_encryption_key_is_named_on_the_form(
    world: World, owner: Browser, fake: FakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_ENCRYPTION_KEYS", "")
    settings.cache_clear()
    form = {"platform": "google_ads", "account_id": "1", "mode": "shadow", "secrets": LOGIN}
    refused = owner.post("/admin/platforms/create", form)
    assert (refused.status_code, "SPENDGATE_ENCRYPTION_KEYS: not set" in refused.text) == (422, True)
    assert world.rows("SELECT FROM platform_connections") == []


def test_form_opened_before_another_edit_is_refused(world: World, owner: Browser, fake: FakePlatform) -> None:
    connect(owner, world, fake)
    old = owner.carried("/admin/platforms/edit", pk=1)
    owner.post("/admin/platforms/edit", {"mode": "off", "credentials": "kept"}, pk=1)
    stale = owner.ask("/admin/platforms/edit", {"mode": "shadow", "credentials": "kept", **old}, pk=1)
    assert "It was edited since you opened it, by user:owner@example.com" in stale.text


def test_removed_connection_leaves_no_login(
    world: World, owner: Browser, fake: FakePlatform, credentials_file: Path
) -> None:
    connect(owner, world, fake)
    owner.post("/admin/platforms/edit", {"mode": "shadow", "credentials": f"file:{credentials_file}"}, pk=1)
    assert world.rows("SELECT FROM platform_credentials") == []
    assert owner.act_on_one("platforms", "remove", 1).status_code == 200
    assert world.rows("SELECT FROM platform_connections") == []
    assert "no longer connected" in owner.banners()
