"""The rights of each role, tested on every route and method."""

import re
from typing import Any

import pytest

from app import access
from domain.access import KeyScope, Role
from tests.web.admin.conftest import Browser, Open
from tests.world import UNIT, World

VIEWER, OPERATOR, OWNER = Role.VIEWER, Role.OPERATOR, Role.OWNER
EVERYBODY, EDITORS, OWNERS, NOBODY = {VIEWER, OPERATOR, OWNER}, {OPERATOR, OWNER}, {OWNER}, set[Role]()

# For each view: the roles that see it, create rows and edit them, and the roles of each bulk and row action.
VIEWS: dict[str, tuple[set[Role], set[Role], set[Role], dict[str, set[Role]], dict[str, set[Role]]]] = {
    "brands": (EVERYBODY, EDITORS, EDITORS, {"pause": EDITORS, "enable": EDITORS, "archive": EDITORS}, {}),
    "campaigns": (EVERYBODY, EDITORS, EDITORS, {"pause": EDITORS, "enable": EDITORS, "archive": EDITORS}, {}),
    "budgets": (EVERYBODY, EDITORS, EDITORS, {"delete": EDITORS}, {"delete": EDITORS}),
    "rejected-events": (EVERYBODY, NOBODY, NOBODY, {"replay": EDITORS}, {"replay": EDITORS}),
    "status-changes": (EVERYBODY, NOBODY, NOBODY, {}, {}),
    "audit-entries": (EVERYBODY, NOBODY, NOBODY, {}, {}),
    "platforms": (EVERYBODY, OWNERS, EDITORS, {}, {"remove": OWNERS}),
    "users": (OWNERS, OWNERS, OWNERS, {}, {}),
    "api-keys": (OWNERS, OWNERS, NOBODY, {}, {"revoke": OWNERS}),
}
REFUSED = 403


@pytest.fixture
def filled(world: World) -> World:
    """A database with at least one row in every list."""
    brand = world.brand(daily=5 * UNIT)
    world.spend(world.campaign(brand), 5 * UNIT)
    world.ingest([{"event_id": "x"}])
    access.create_key("bidder", [KeyScope.READ], "test")
    world.execute("INSERT INTO platform_accounts (platform, account_id) VALUES ('google_ads', '1')")
    world.execute("INSERT INTO platform_connections (platform_account_id, credentials) VALUES (1, 'env:X')")
    return world


def test_role_table_names_every_view(filled: World, app: Any) -> None:
    site = next(route.app for route in app.routes if getattr(route, "path", "") == "/admin")
    known = {
        ("/static", "any"), ("/login", "GET"), ("/login", "POST"), ("/logout", "POST"), ("/", "GET"),
        ("/{key}/list", "GET"), ("/{key}/detail", "GET"), ("/{key}/create", "GET"), ("/{key}/create", "POST"),
        ("/{key}/edit", "GET"), ("/{key}/edit", "POST"), ("/_api/{key}/action", "POST"),
        ("/_api/{key}/row-action", "POST"), ("/_api/{key}/relation-lookup", "GET"), ("/_api/{key}/import", "POST"),
        ("/_api/{key}/inline-edit", "GET"), ("/_api/{key}/inline-edit", "POST"),
        ("/_api/{key}/inline-edit/row", "GET"), ("/_files/{storage}/{path:path}", "GET"),
        ("/campaigns/{campaign_id}/schedule", "GET"), ("/campaigns/{campaign_id}/schedule", "POST"),
        ("/campaigns/{campaign_id}/schedule/preview", "GET"), ("/undo", "GET"), ("/undo", "POST"),
        ("/imports", "GET"), ("/imports", "POST"), ("/imports/uploads/{upload_id}", "GET"),
        ("/imports/uploads/{upload_id}", "POST"), ("/imports/{import_id}", "GET"),
        ("/imports/{import_id}/skipped.csv", "GET"), ("/imports/{import_id}/undo", "GET"),
        ("/imports/{import_id}/undo", "POST"), ("/alerts", "GET"), ("/alerts", "POST"),
        ("/webhooks", "GET"), ("/webhooks", "POST"),
        ("/platforms/{account}/check", "GET"),
        ("/platforms/{account}/check", "POST"),
    }  # fmt: skip
    found = {(route.path, method) for route in site.routes for method in getattr(route, "methods", None) or {"any"}}
    assert {(path, method) for path, method in found if method != "HEAD"} == known


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("key", VIEWS)
def test_role_has_exactly_the_rights_of_the_table(filled: World, browser: Open, role: Role, key: str) -> None:
    sees, makes, edits, actions, row_actions = VIEWS[key]
    someone = browser(role)
    asked = [
        (200, sees, someone.get(f"/admin/{key}/list")),
        (200, sees, someone.get(f"/admin/{key}/detail", pk=1)),
        (200, sees, someone.get(f"/admin/_api/{key}/relation-lookup")),
        (200, sees, someone.get(f"/admin/_api/{key}/inline-edit/row", pk=1)),
        (200, makes, someone.get(f"/admin/{key}/create")),
        (422, makes, someone.post(f"/admin/{key}/create", {})),
        (200, edits, someone.get(f"/admin/{key}/edit", pk=1)),
        (422, edits, someone.post(f"/admin/{key}/edit", {}, pk=1)),
        (200, NOBODY, someone.post(f"/admin/_api/{key}/import", {"format": "csv"})),
        (200, NOBODY, someone.get(f"/admin/_api/{key}/inline-edit", pk=1, field="name")),
        (200, NOBODY, someone.post(f"/admin/_api/{key}/inline-edit", {"name": "x"}, pk=1, field="name")),
        (200, NOBODY, someone.act(key, "export", 1)),
    ]
    for status, who, answer in asked:
        assert answer.status_code == (status if role in who else REFUSED), (key, role, answer.url)
    _try_actions(someone, role, key, actions, row_actions)


def _try_actions(
    someone: Browser, role: Role, key: str, actions: dict[str, set[Role]], row_actions: dict[str, set[Role]]
) -> None:
    if role is VIEWER or "delete" not in actions:
        assert someone.act(key, "delete", 1).status_code == REFUSED
    if role is VIEWER:
        for name in ("pause", "replay", "revoke", "nothing"):
            assert someone.act(key, name, 1).status_code == REFUSED
            assert someone.act_on_one(key, name, 1).status_code == REFUSED
    for name, who in actions.items():
        assert (someone.act(key, name, 1).status_code == REFUSED) == (role not in who)
    for name, who in row_actions.items():
        assert (someone.act_on_one(key, name, 1).status_code == REFUSED) == (role not in who)


@pytest.mark.parametrize("role", list(Role))
def test_every_role_reads_schedules_and_only_editors_change_them(filled: World, browser: Open, role: Role) -> None:
    someone = browser(role)
    page = someone.get("/admin/campaigns/1/schedule")
    assert page.status_code == 200
    assert ("data-editable" in page.text) == (role in EDITORS)
    assert someone.get("/admin/campaigns/1/schedule/preview", schedule="Mon 09:00-10:00").status_code == 200
    answer = someone.post("/admin/campaigns/1/schedule", {"schedule": "Mon 09:00-10:00"})
    assert answer.status_code == (303 if role in EDITORS else REFUSED)
    assert len(filled.rows("SELECT FROM dayparts")) == (1 if role in EDITORS else 0)


def test_viewer_gets_no_edit_button_and_no_user_list(filled: World, browser: Open) -> None:
    someone = browser(VIEWER)
    for key in ("brands", "campaigns", "budgets", "rejected-events"):
        page = someone.get(f"/admin/{key}/list").text + someone.get(f"/admin/{key}/detail", pk=1).text
        assert f"/admin/{key}/create" not in page
        assert f"/admin/{key}/edit" not in page
        assert 'data-sa-name="' not in re.sub(r'data-sa-name="(view|schedule)"', "", page)
    assert "/admin/users" not in someone.get("/admin/").text
    assert "/admin/api-keys" not in someone.get("/admin/").text


def test_refusal_names_owners_only_if_an_owner_could_do_it(filled: World, browser: Open) -> None:
    assert "This cannot be done in the admin" in browser(OWNER).get("/admin/status-changes/create").text
    assert "Ask an owner." in browser(VIEWER).get("/admin/brands/create").text


def test_no_admin_page_is_shown_without_a_login(filled: World, browser: Open) -> None:
    someone = browser()
    for path in ("/admin/", "/admin/brands/list", "/admin/campaigns/1/schedule", "/admin/_api/brands/relation-lookup"):
        assert someone.client.get(path, follow_redirects=False).status_code == 303
    assert someone.act("brands", "pause", 1).url.path == "/admin/login"
    assert filled.one("SELECT configured_status FROM brands")["configured_status"] == "enabled"
    assert someone.get("/admin/static/css/vendor/tabler.min.css").status_code == 200
