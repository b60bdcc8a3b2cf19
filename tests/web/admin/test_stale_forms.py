"""The admin refuses forms that were opened before somebody else's edit, and changes nothing."""

from typing import Any

import pytest

from domain.access import Role
from tests.web.admin.conftest import Open
from tests.web.api.conftest import Program
from tests.world import UNIT, World

EDITED = "It was edited since you opened it, by key:bidder at"
BRAND = {"name": "Hudson Shoes", "configured_status": "enabled", "time_zone": "UTC", "currency": "USD"}
CAMPAIGN = {"name": "Search", "configured_status": "enabled", "platform": "", "external_id": "", "starts_on": ""}


@pytest.fixture
def catalog(world: World) -> World:
    """A brand with a campaign, a budget and a schedule, all with the id 1."""
    world.schedule(
        world.campaign(world.brand(zone="UTC", name="Hudson Shoes", daily=50 * UNIT), name="Search"), "daily 0:00-24:00"
    )
    return world


# Path and query, the form with one changed field, the edit by the API meanwhile, and the value that must stay.
EDITS: dict[str, tuple[str, dict[str, int], dict[str, Any], tuple[str, str, dict[str, Any]], str, Any]] = {
    "brand": (
        "/admin/brands/edit", {"pk": 1}, {**BRAND, "name": "Shoes"},
        ("PATCH", "/api/brands/1/", {"configured_status": "paused"}),
        "SELECT configured_status FROM brands", "paused",
    ),
    "campaign": (
        "/admin/campaigns/edit", {"pk": 1}, {**CAMPAIGN, "name": "Shoes"},
        ("PATCH", "/api/campaigns/1/", {"configured_status": "paused"}),
        "SELECT configured_status FROM campaigns", "paused",
    ),
    "budget": (
        "/admin/budgets/edit", {"pk": 1}, {"limit_micros": "75"},
        ("PATCH", "/api/budgets/1/", {"limit_micros": UNIT}),
        "SELECT limit_micros FROM budgets", UNIT,
    ),
    "schedule": (
        "/admin/campaigns/1/schedule", {}, {"schedule": "Tue 09:00-10:00"},
        ("PUT", "/api/campaigns/1/schedule/", {"dayparts": [{"weekday": 3, "starts_minute": 5, "ends_minute": 9}]}),
        "SELECT weekday FROM dayparts", 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", EDITS)
def test_form_opened_before_another_edit_is_refused_and_changes_nothing(
    catalog: World, browser: Open, program: Program, kind: str
) -> None:
    path, query, form, (method, address, change), stored, stays = EDITS[kind]
    someone = browser(Role.OPERATOR)
    opened = someone.carried(path, **query)
    assert program().request(method, address, json=change).status_code == 200
    audited = catalog.rows("SELECT id FROM audit_entries")
    for _ in range(2):  # sent again, it is refused again: only reopening the form shows the other edit
        answer = someone.post(path, {**form, **opened}, **query)
        assert answer.status_code == 422
        assert EDITED in answer.text
        assert next(iter(form.values())) in answer.text
        assert opened["seen"] in answer.text
    (row,) = catalog.rows(stored)
    assert list(row.values()) == [stays]
    assert catalog.rows("SELECT id FROM audit_entries") == audited
    assert someone.post(path, form, **query).status_code == 303
    catalog.verify()


@pytest.mark.parametrize("kind", EDITS)
def test_toggle_by_enforcement_does_not_make_a_form_stale(catalog: World, browser: Open, kind: str) -> None:
    path, query, form, *_ = EDITS[kind]
    someone = browser(Role.OPERATOR)
    opened = someone.carried(path, **query)
    catalog.spend(1, 50 * UNIT)
    assert catalog.holds(1) == {"brand_daily_budget"}
    assert someone.post(path, {**form, **opened}, **query).status_code == 303


@pytest.mark.parametrize("kind", EDITS)
def test_form_without_its_mark_is_refused(catalog: World, browser: Open, kind: str) -> None:
    path, query, form, *_ = EDITS[kind]
    assert browser(Role.OPERATOR).post(path, {**form, "seen": ""}, **query).status_code == 422


def test_form_refused_for_a_field_keeps_its_first_mark(catalog: World, browser: Open, program: Program) -> None:
    someone = browser(Role.OPERATOR)
    opened = someone.carried("/admin/campaigns/edit", pk=1)
    program().patch("/api/campaigns/1/", json={"configured_status": "paused"})
    answer = someone.post("/admin/campaigns/edit", {**CAMPAIGN, **opened, "name": ""}, pk=1)
    assert (answer.status_code, opened["seen"] in answer.text) == (422, True)


def test_form_of_a_removed_budget_does_not_create_it_again(catalog: World, browser: Open) -> None:
    someone = browser(Role.OPERATOR)
    opened = someone.carried("/admin/budgets/edit", pk=1)
    someone.act_on_one("budgets", "delete", 1)
    assert someone.post("/admin/budgets/edit", {"limit_micros": "75", **opened}, pk=1).status_code == 404
    assert catalog.rows("SELECT FROM budgets") == []


SAVED_AS_OPENED: dict[str, tuple[str, dict[str, int], dict[str, Any]]] = {
    "brand": ("/admin/brands/edit", {"pk": 1}, BRAND),
    "campaign": ("/admin/campaigns/edit", {"pk": 1}, CAMPAIGN),
    "budget": ("/admin/budgets/edit", {"pk": 1}, {"limit_micros": "50.00"}),
    "schedule": ("/admin/campaigns/1/schedule", {}, {"schedule": "daily 00:00-24:00"}),
}


@pytest.mark.parametrize("kind", SAVED_AS_OPENED)
def test_form_saved_without_a_change_writes_nothing(catalog: World, browser: Open, kind: str) -> None:
    path, query, form = SAVED_AS_OPENED[kind]
    before = catalog.rows("SELECT changed_at FROM budgets")
    audited = catalog.rows("SELECT id FROM audit_entries WHERE subject = %s", kind)
    assert browser(Role.OPERATOR).post(path, form, **query).status_code == 303
    assert catalog.rows("SELECT id FROM audit_entries WHERE subject = %s", kind) == audited
    assert catalog.rows("SELECT changed_at FROM budgets") == before
