"""People edit brands, campaigns and budgets; each edit is enforced and audited in its own commit."""

from functools import partial
from typing import Any

import pytest

from domain.access import Role
from tests.web.admin.conftest import Browser, Open
from tests.web.api.conftest import held_up
from tests.world import UNIT, World

BY = "user:operator@example.com"
NAMES = {"name": "Hudson Shoes", "configured_status": "enabled"}


def audit(world: World) -> list[tuple[str, str]]:
    rows = world.rows("SELECT action, subject FROM audit_entries WHERE changed_by = %s ORDER BY id", BY)
    return [(row["action"], row["subject"]) for row in rows]


def test_operator_creates_a_brand(world: World, browser: Open) -> None:
    someone = browser(Role.OPERATOR)
    form = {"name": "Himal Tea", "time_zone": "Asia/Kathmandu", "currency": "EUR"}
    assert someone.post("/admin/brands/create", form).status_code == 303
    made = world.one("SELECT name, time_zone, currency, configured_status FROM brands")
    assert made == {**form, "configured_status": "enabled"}
    assert audit(world) == [("create", "brand")]
    assert "Himal Tea" in someone.banners()


@pytest.mark.parametrize(
    ("field", "value", "output"),
    [
        ("name", "", "This field is required."),
        ("name", "two\nlines", "U+000A"),
        ("time_zone", "Mars/Base", "Choose a value from the list."),
        ("currency", "XYZ", "Choose a value from the list."),
    ],
)
def test_invalid_brand_is_refused_with_the_error_at_its_field(
    world: World, browser: Open, field: str, value: str, output: str
) -> None:
    form = {"name": "Himal Tea", "time_zone": "Asia/Kathmandu", "currency": "EUR", field: value}
    answer = browser(Role.OPERATOR).post("/admin/brands/create", form)
    assert answer.status_code == 422
    assert output in answer.text
    assert f'id="{field}-error"' in answer.text
    assert world.rows("SELECT FROM brands") == []


def test_zone_and_currency_are_edited_until_there_is_spend(world: World, browser: Open) -> None:
    brand = world.brand(name="Hudson Shoes")
    someone = browser(Role.OPERATOR)
    moved = {**NAMES, "time_zone": "America/New_York", "currency": "EUR"}
    assert "Fixed, because" not in someone.get("/admin/brands/edit", pk=brand).text
    assert someone.post("/admin/brands/edit", moved, pk=brand).status_code == 303
    assert world.one("SELECT time_zone, currency FROM brands") == {"time_zone": "America/New_York", "currency": "EUR"}
    world.spend(world.campaign(brand), UNIT)
    page = someone.get("/admin/brands/edit", pk=brand).text
    assert "Fixed, because the brand has spend" in page
    assert 'name="time_zone"' not in page
    assert someone.post("/admin/brands/edit", {**moved, "time_zone": "UTC"}, pk=brand).status_code == 303
    assert world.one("SELECT time_zone FROM brands") == {"time_zone": "America/New_York"}


def test_a_paused_brand_holds_its_campaigns_in_the_same_commit(world: World, browser: Open) -> None:
    brand = world.brand(name="Hudson Shoes")
    campaign = world.campaign(brand)
    form = {"name": "Shoes", "configured_status": "paused", "time_zone": "UTC", "currency": "USD"}
    assert browser(Role.OPERATOR).post("/admin/brands/edit", form, pk=brand).status_code == 303
    assert world.holds(campaign) == {"brand_paused"}
    assert audit(world) == [("edit", "brand")]
    assert world.one("SELECT cause FROM status_changes") == {"cause": "edit"}
    world.verify()


def test_operator_creates_a_campaign_that_is_enforced(world: World, browser: Open) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand()
    someone = browser(Role.OPERATOR)
    form = {"name": "Search", "brand": brand, "platform": "AdWords", "external_id": "7", "starts_on": "2026-06-18"}
    assert someone.post("/admin/campaigns/create", {**form, "ends_on": ""}).status_code == 303
    made = world.one("SELECT id, platform, external_id, ends_on, configured_status FROM campaigns")
    campaign = made.pop("id")
    assert made == {"platform": "google_ads", "external_id": "7", "ends_on": None, "configured_status": "enabled"}
    assert world.holds(campaign) == {"flight_not_started"}
    assert audit(world) == [("create", "campaign")]
    page = someone.get("/admin/campaigns/detail", pk=campaign).text
    assert "the flight has not started" in page
    assert "Thu 2026-06-18 00:00 UTC" in page


@pytest.mark.parametrize(
    ("changes", "field", "output"),
    [
        ({"brand": ""}, "brand", "This field is required."),
        ({"brand": "99"}, "brand", "there is no brand"),
        ({"brand": "x"}, "brand", "there is no brand"),
        ({"starts_on": "2026-02-30"}, "starts_on", "is not a day"),
        ({"starts_on": "2026-02-02", "ends_on": "2026-02-01"}, "ends_on", "before the flight starts"),
        ({"external_id": "7"}, "external_id", "another campaign in this account"),
    ],
)
def test_invalid_campaign_is_refused_with_the_error_at_its_field(
    world: World, browser: Open, changes: dict[str, str], field: str, output: str
) -> None:
    brand = world.brand()
    world.campaign(brand, platform="google_ads", external_id="7")
    form = {"name": "Search", "brand": str(brand), "platform": "google_ads", "external_id": "8", **changes}
    answer = browser(Role.OPERATOR).post("/admin/campaigns/create", form)
    assert answer.status_code == 422
    assert output in answer.text
    assert f'id="{field}-error"' in answer.text
    assert len(world.rows("SELECT FROM campaigns")) == 1


def test_an_edited_campaign_is_enforced_and_its_brand_stays(world: World, browser: Open) -> None:
    brand, other = world.brand(), world.brand()
    campaign = world.campaign(brand, name="Search")
    form = {"name": "Found", "configured_status": "paused", "brand": str(other), "starts_on": "", "ends_on": ""}
    someone = browser(Role.OPERATOR)
    assert someone.post("/admin/campaigns/edit", form, pk=campaign).status_code == 303
    assert world.one("SELECT name, brand_id FROM campaigns") == {"name": "Found", "brand_id": brand}
    assert world.holds(campaign) == {"user_paused"}
    assert "stays stopped until someone changes it" in someone.get("/admin/campaigns/edit", pk=campaign).text


def test_bulk_actions_change_the_chosen_rows_brand_by_brand(world: World, browser: Open) -> None:
    one, two = world.brand(name="One"), world.brand(name="Two", daily=0)
    chosen = [world.campaign(one), world.campaign(one), world.campaign(two)]
    left = world.campaign(two)
    world.set_status(chosen[1], "paused")
    someone = browser(Role.OPERATOR)
    assert someone.act("campaigns", "pause", *chosen).status_code == 200
    assert [world.holds(campaign) for campaign in chosen[:2]] == [{"user_paused"}] * 2
    assert world.holds(left) == {"brand_daily_budget"}
    assert "Paused 2 campaigns: stopped 1 campaign. 1 campaign is paused already." in someone.banners()
    assert audit(world) == [("edit", "campaign")] * 2
    assert someone.act("campaigns", "archive", left).status_code == 200
    assert "Archived 1 campaign: stopped and released no campaign." in someone.banners()
    assert world.holds(left) == {"archived", "brand_daily_budget"}
    world.verify()


def test_a_brand_is_archived_not_deleted(world: World, browser: Open) -> None:
    brand = world.brand()
    campaign = world.campaign(brand)
    someone = browser(Role.OPERATOR)
    assert someone.act("brands", "delete", brand).status_code == 403
    assert someone.act_on_one("brands", "delete", brand).status_code == 403
    assert someone.act("brands", "archive", brand).status_code == 200
    assert world.holds(campaign) == {"brand_paused"}
    assert "Archived 1 brand: stopped 1 campaign." in someone.banners()


def test_a_limit_is_typed_in_units_and_enforced(world: World, browser: Open) -> None:
    brand = world.brand(currency="EUR")
    campaign = world.campaign(brand)
    someone = browser(Role.OPERATOR)
    form = {"brand": brand, "campaign": "", "period": "daily", "limit_micros": "250.01"}
    assert someone.post("/admin/budgets/create", form).status_code == 303
    assert world.one("SELECT limit_micros FROM budgets") == {"limit_micros": 250_010_000}
    world.spend(campaign, 20 * UNIT)
    page = someone.get("/admin/budgets/list").text
    assert "€250.01" in page
    assert "€20.00" in page
    budget = world.one("SELECT id FROM budgets")["id"]
    assert 'value="250.01"' in someone.get("/admin/budgets/edit", pk=budget).text
    assert someone.post("/admin/budgets/edit", {"limit_micros": "20"}, pk=budget).status_code == 303
    assert "it pauses campaigns at once" in someone.banners()
    assert world.holds(campaign) == {"brand_daily_budget"}
    assert someone.act_on_one("budgets", "delete", budget).status_code == 200
    assert world.is_active(campaign)
    assert audit(world) == [("set", "budget"), ("set", "budget"), ("remove", "budget")]
    world.verify()


def test_campaign_budget_takes_the_brand_of_its_campaign(world: World, browser: Open) -> None:
    campaign = world.campaign(world.brand())
    form = {"brand": "", "campaign": campaign, "period": "monthly", "limit_micros": "0"}
    someone = browser(Role.OPERATOR)
    assert someone.post("/admin/budgets/create", form).status_code == 303
    assert world.holds(campaign) == {"campaign_monthly_budget"}
    assert "it pauses campaigns at once" in someone.banners()


@pytest.mark.parametrize(
    ("changes", "field", "output"),
    [
        ({"limit_micros": ""}, "limit_micros", "This field is required."),
        ({"limit_micros": "ten"}, "limit_micros", "is not a number"),
        ({"limit_micros": "-5"}, "limit_micros", "-5 is below 0; the least limit is 0, which stops campaigns at once"),
        ({"limit_micros": "0.001"}, "limit_micros", "can be"),
        ({"limit_micros": "0.0001"}, "limit_micros", "finer than the smallest unit of USD"),
        ({"limit_micros": "€5"}, "limit_micros", "€ is EUR, but the brand&#39;s currency is USD"),
        ({"limit_micros": "1e3"}, "limit_micros", "is not a number"),
        ({"limit_micros": "1.500"}, "limit_micros", "1.500 can be 1,500.00 or 1.50: write 1500 or 1.50"),
        ({"period": "hourly"}, "period", "Choose a value from the list."),
        ({"brand": ""}, "brand", "choose a brand or a campaign"),
        ({"campaign": "2"}, "campaign", "does not belong to brand"),
        ({"period": "daily"}, "period", "there is a daily budget already"),
    ],
)
def test_invalid_budget_is_refused_with_the_error_at_its_field(
    world: World, browser: Open, changes: dict[str, Any], field: str, output: str
) -> None:
    brand = world.brand(daily=UNIT)
    world.campaign(brand)
    world.campaign(world.brand())
    form = {"brand": brand, "campaign": "", "period": "weekly", "limit_micros": "5", **changes}
    answer = browser(Role.OPERATOR).post("/admin/budgets/create", form)
    assert answer.status_code == 422
    assert output in answer.text
    assert f'id="{field}-error"' in answer.text
    assert world.one("SELECT limit_micros FROM budgets") == {"limit_micros": UNIT}


def test_second_of_two_concurrent_equal_budgets_is_refused(world: World, browser: Open) -> None:
    brand = world.brand()
    output: list[int] = []

    def sets(someone: Browser, limit: str) -> None:
        form = {"brand": brand, "campaign": "", "period": "daily", "limit_micros": limit}
        output.append(someone.post("/admin/budgets/create", form).status_code)

    jobs = [partial(sets, browser(Role.OPERATOR), limit) for limit in ("5", "7")]
    held_up(world, "SELECT 1 FROM brands WHERE id = 1 FOR UPDATE", *jobs)
    assert sorted(output) == [303, 422]
    assert len(world.rows("SELECT FROM audit_entries WHERE subject = 'budget'")) == 1


@pytest.mark.parametrize("pk", ["99", "0", "-1", "x", "1.5", "9" * 30, "", "1 OR 1=1"])
def test_missing_rows_get_a_not_found_page(world: World, browser: Open, pk: str) -> None:
    someone = browser(Role.OPERATOR)
    for key in ("brands", "campaigns", "budgets", "rejected-events", "status-changes", "audit-entries"):
        assert someone.get(f"/admin/{key}/detail", pk=pk).status_code == 404
    assert someone.get("/admin/campaigns/edit", pk=pk).status_code == 404
    assert someone.get("/admin/nothing/list").status_code == 404


def test_lists_are_searched_filtered_and_sorted(world: World, browser: Open) -> None:
    shoes, tea = world.brand(name="Hudson 100% Shoes", daily=0), world.brand(name="Himal Tea")
    world.campaign(shoes, name="Search one")
    world.campaign(tea, name="Search two", platform="google_ads", external_id="77")
    someone = browser(Role.VIEWER)

    def shown(key: str, **query: str) -> list[bool]:
        page = someone.get(f"/admin/{key}/list", **query)
        assert page.status_code == 200
        return [name in page.text for name in ("Search one", "Search two")]

    assert shown("campaigns") == [True, True]
    assert shown("campaigns", q="hudson 100%") == [True, False]
    assert shown("campaigns", q="100_") == [False, False]
    assert shown("campaigns", q="adwords") == [False, True]
    assert shown("campaigns", q="2") == [False, True]
    assert shown("campaigns", filter=f"brand__id={tea}") == [False, True]
    assert shown("campaigns", filter='brand__contains="Hudson 100%"') == [True, False]
    assert shown("campaigns", filter="effective_status__eq=inactive") == [True, False]
    assert shown("campaigns", sort="brand__desc") == [True, True]
    assert shown("status-changes", q="hudson") == [True, False]
    assert shown("status-changes", filter=f"brand__id={tea}") == [False, False]
    assert someone.get("/admin/budgets/list", sort="campaign__asc", q="Hudson").status_code == 200
    assert someone.get("/admin/campaigns/list", filter="brand__id=x").status_code == 400


def test_detail_page_is_titled_by_name_and_id(world: World, browser: Open) -> None:
    world.campaign(world.brand(name="Hudson Shoes", daily=UNIT), name="Search")
    someone = browser(Role.OPERATOR)
    titles = {
        "brands": "Hudson Shoes, brand 1",
        "campaigns": "Search, campaign 1",
        "budgets": "daily budget of Hudson Shoes, all its campaigns, budget 1",
        "audit-entries": "Audit entry 1",
    }
    for key, title in titles.items():
        page = someone.get(f"/admin/{key}/detail", pk=1).text
        assert f"<title>{title} · Spendgate</title>" in page
        assert f"<h1>{title}</h1>" in page
    for key in ("brands", "campaigns", "budgets"):
        page = someone.get(f"/admin/{key}/edit", pk=1).text
        assert f"<title>Edit {titles[key]} · Spendgate</title>" in page
        assert f"<h1>{titles[key]}</h1>" in page


def test_names_with_html_are_shown_and_never_run(world: World, browser: Open) -> None:
    brand = world.brand(name="<script>alert('brand')</script>")
    campaign = world.campaign(brand, name='<img src=x onerror="alert(1)">', daily=0)
    world.ingest([{"event_id": "<script>alert('event')</script>"}])
    someone = browser(Role.OWNER)
    for path in (
        "/admin/", "/admin/brands/list", "/admin/campaigns/list", "/admin/budgets/list", "/admin/status-changes/list",
        "/admin/audit-entries/list", "/admin/rejected-events/detail?pk=1", f"/admin/brands/edit?pk={brand}",
        f"/admin/campaigns/detail?pk={campaign}", f"/admin/campaigns/{campaign}/schedule",
    ):  # fmt: skip
        page = someone.get(path)
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
    found = someone.get("/admin/_api/campaigns/relation-lookup").json()["items"][0]["_meta"]["select2"]["result"]
    assert "<img" not in found


def test_value_that_no_column_can_store_gets_an_error_sentence(world: World, browser: Open) -> None:
    answer = browser(Role.OPERATOR).get("/admin/brands/list", q="a\0b")
    assert answer.status_code == 422
    assert "cannot be stored" in answer.text


def test_unexpected_error_page_has_no_details(world: World, browser: Open) -> None:
    someone = browser(Role.OPERATOR)
    world.execute("ALTER TABLE brands RENAME TO hidden_brands")
    answer = someone.get("/admin/brands/list")
    assert answer.status_code == 500
    assert "An unexpected error in the server" in answer.text
    assert "SELECT" not in answer.text
    world.execute("ALTER TABLE hidden_brands RENAME TO brands")
    assert someone.get("/admin/brands/list").status_code == 200


@pytest.mark.parametrize(
    "key",
    ["brands", "campaigns", "budgets", "rejected-events", "status-changes", "audit-entries", "users", "api-keys"],
)
def test_every_filter_that_is_offered_and_every_sortable_column_works(world: World, browser: Open, key: str) -> None:
    from web.admin import site  # noqa: PLC0415 - after the environment is set

    world.spend(world.campaign(world.brand(daily=UNIT)), UNIT)
    world.ingest([{"event_id": "x"}])
    someone = browser(Role.OWNER)
    (view,) = (view for view in site._views() if getattr(view, "key", None) == key)
    for field in (field for field in view.fields if not field.exclude_from_list):
        if field.orderable:
            assert someone.get(f"/admin/{key}/list", sort=f"{field.name}__desc").status_code == 200, field.name
        for condition in view.get_filter_registry().filters_for(field) if field.searchable else ():
            value = {"number": "1", "date": "2026-06-17", "datetime": "2026-06-17T12:00:00"}.get(
                str(condition.data_type.value), "1"
            )
            values = f"{value}..{value}" if condition.has_value2 else value
            written = f"{field.name}__{condition.name}={values}"
            assert someone.get(f"/admin/{key}/list", filter=written).status_code == 200, written
