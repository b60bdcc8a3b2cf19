"""The dashboard's pages of brands and campaigns: figures, holds, timelines, access."""

import html
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

from starlette.testclient import TestClient

from tests.world import UNIT, World


def text(client: TestClient, address: str, status: int = 200) -> str:
    """The visible text of a page: no tags, single spaces."""
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def test_empty_service_explains_how_to_create_a_brand(world: World, open_pages: TestClient) -> None:
    shown = text(open_pages, "/")
    assert "No brands yet" in shown
    assert "spendgate brand create" in shown
    assert "No campaign has changed its status yet." in shown


def test_brand_page_without_campaigns_explains_how_to_create_one(world: World, open_pages: TestClient) -> None:
    brand = world.brand()
    assert f'spendgate campaign create "Brand search" --brand {brand}' in text(open_pages, f"/brands/{brand}")


def test_overview_shows_spend_limit_share_and_projected_time_of_exhaustion(
    world: World, open_pages: TestClient
) -> None:
    world.set_clock("2026-06-17T16:00:00Z")
    brand = world.brand(name="Hudson Shoes", zone="America/New_York", daily=30 * UNIT)
    world.spend(world.campaign(brand), 20 * UNIT)
    shown = text(open_pages, "/")
    assert "Hudson Shoes Wed 12:00 · America/New_York $20.00 of $30.00 used up at about 18:00 · 66 %" in shown
    assert "$20.00 projected $36.36" in shown


def test_day_and_month_follow_the_brands_time_zone(world: World, open_pages: TestClient) -> None:
    world.set_clock("2026-06-30T20:00:00Z")
    brand = world.brand(zone="Asia/Tokyo", currency="JPY", daily=500 * UNIT, monthly=900 * UNIT)
    campaign = world.campaign(brand)
    world.spend(campaign, 300 * UNIT, "2026-06-30T14:59:59Z")
    world.spend(campaign, 200 * UNIT, "2026-06-30T15:00:00Z")
    assert "¥200 of ¥500" in text(open_pages, "/")
    assert "¥200 of ¥900" in text(open_pages, "/")


def test_brands_are_searched_by_name_and_sorted_by_share_of_limit_used(world: World, open_pages: TestClient) -> None:
    for name, spent in (("Low", 1), ("High", 9), ("100%_\\", 5)):
        world.spend(world.campaign(world.brand(name=name, daily=10 * UNIT)), spent * UNIT)
    shown = text(open_pages, "/")
    assert shown.index("High") < shown.index("100%_\\") < shown.index("Low")
    named = text(open_pages, "/?sort=name")
    assert named.index("100%_\\ ") < named.index("High ") < named.index("Low ")
    for words, found in (("%_\\", "100%_\\"), ("hIG", "High")):
        answer = open_pages.get("/", params={"q": words})
        assert re.findall(r'class="name"[^>]*>([^<]*)<', answer.text) == [found]
    assert "has «nobody» in its name" in text(open_pages, "/?q=nobody")


def test_archived_brands_are_shown_on_demand(world: World, open_pages: TestClient) -> None:
    world.brand(name="Gone")
    world.execute("UPDATE brands SET configured_status = 'archived'")
    assert "Gone" not in text(open_pages, "/")
    assert "Gone archived" in text(open_pages, "/?archived=true")


def test_overview_is_paged(world: World, open_pages: TestClient) -> None:
    world.execute(
        "INSERT INTO brands (name) SELECT 'Brand ' || lpad(n::text, 3, '0') FROM generate_series(1, 120) AS n"
    )
    first, last = text(open_pages, "/?sort=name"), text(open_pages, "/?sort=name&number=3")
    assert "Brand 001" in first
    assert "Brand 050" in first
    assert "Brand 051" not in first
    assert "Page 1 of 3" in first
    assert "Brand 101" in last
    assert "Brand 120" in last
    assert "No brand here" in text(open_pages, "/?number=9")


def test_campaign_page_lists_every_hold_with_figures_and_return_time(world: World, open_pages: TestClient) -> None:
    world.set_clock("2026-06-17T16:00:00Z")
    brand = world.brand(zone="America/New_York", daily=5 * UNIT)
    campaign = world.campaign(brand, name="Mornings", schedule="daily 06:00-11:00")
    world.spend(campaign, 6 * UNIT)
    shown = text(open_pages, f"/campaigns/{campaign}")
    again = "it serves again Thursday 18 June at 06:00 if nobody changes anything and no budget is used up before."
    assert f"It does not serve; {again}" in shown
    assert "outside its schedule – – Thu 18 Jun 06:00" in shown
    assert "the brand's daily budget is spent $6.00 $5.00 Thu 18 Jun 00:00" in shown
    assert "Thu 18 Jun 06:00" in text(open_pages, f"/brands/{brand}")
    world.set_status(campaign, "paused")
    stopped = "It does not serve, and stays stopped until someone enables it."
    assert stopped in text(open_pages, f"/campaigns/{campaign}")
    world.set_status(campaign, "enabled")
    world.schedule(campaign, "")
    world.limit(7 * UNIT, brand=brand)
    assert "It serves: it has no holds." in text(open_pages, f"/campaigns/{campaign}")


def test_the_timeline_shows_when_a_campaign_was_held(world: World, open_pages: TestClient) -> None:
    midnight = datetime(2026, 6, 17, tzinfo=UTC)
    world.set_clock(midnight - timedelta(days=2))
    brand = world.brand()
    campaign = world.campaign(brand, name="Search")
    world.set_clock(midnight + timedelta(hours=6))
    world.set_status(campaign, "paused")
    world.set_clock(midnight + timedelta(hours=12))
    world.set_status(campaign, "enabled")
    world.set_clock(midnight + timedelta(hours=18))
    page = open_pages.get(f"/brands/{brand}").text
    assert re.findall(r'class="(active|held)" style="left:([\d.]+)%;width:([\d.]+)%', page) == [
        ("active", "0.0", "25.0"),
        ("held", "25.0", "25.0"),
        ("active", "50.0", "25.0"),
    ]
    assert 'aria-label="Search: served 12 h 00 min; held 6 h 00 min: paused by a person 6 h 00 min"' in page


def test_timeline_of_very_many_changes_merges_them_into_the_prevailing_status(
    world: World, open_pages: TestClient
) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand()
    campaign = world.campaign(brand, name="Search")
    world.execute(
        "INSERT INTO hold_changes (brand_id, campaign_id, changed_at, holds, cause)"
        " SELECT %s, %s, '2026-06-17T12:00:00Z'::timestamptz + n * interval '1 second',"
        " CASE WHEN n %% 10 > 6 THEN '{user_paused}' ELSE '{}' END::text[], 'edit' FROM generate_series(1, 36000) AS n",
        brand,
        campaign,
    )
    world.set_clock("2026-06-17T22:00:00Z")
    page = open_pages.get(f"/campaigns/{campaign}?days=1").text
    assert re.findall(r'class="(active|held)" style="left:([\d.]+)%;width:([\d.]+)%', page) == [
        ("active", "50.0", "41.667")
    ]
    assert "Search: served 7 h 00 min; held 3 h 00 min: paused by a person 3 h 00 min" in page


def test_a_timeline_that_alternates_all_day_has_a_bounded_number_of_bars(world: World, open_pages: TestClient) -> None:
    world.set_clock("2026-06-17T00:00:00Z")
    brand = world.brand()
    campaign = world.campaign(brand)
    world.execute(
        "INSERT INTO hold_changes (brand_id, campaign_id, changed_at, holds, cause)"
        " SELECT %s, %s, '2026-06-17T00:00:00Z'::timestamptz + n * interval '4 minutes',"
        " CASE WHEN n %% 2 = 0 THEN '{user_paused}' ELSE '{}' END::text[], 'edit' FROM generate_series(1, 359) AS n",
        brand,
        campaign,
    )
    world.set_clock("2026-06-17T23:59:00Z")
    assert 1 <= open_pages.get(f"/brands/{brand}").text.count('" style="left:') <= 120 + 10


def test_day_plot_includes_the_same_weekday_of_earlier_weeks(world: World, open_pages: TestClient) -> None:
    from workers.actors.schedule import roll_up_hours  # noqa: PLC0415 - after the environment is set

    world.set_clock("2026-06-17T12:30:00Z")
    brand = world.brand(daily=24 * UNIT)
    campaign = world.campaign(brand)
    for at, units in (("2026-06-10T08:00:00Z", 4), ("2026-06-03T10:00:00Z", 2), ("2026-06-17T09:00:00Z", 3)):
        world.spend(campaign, units * UNIT, at)
    world.set_clock("2026-06-17T12:35:00Z")
    roll_up_hours()
    world.spend(campaign, UNIT)
    shown = text(open_pages, f"/brands/{brand}")
    assert "compared with the last 2 Wednesdays" in shown
    assert "08:00 $0.00 $0.00 $9.00 $2.00 09:00 $3.00 $3.00 $10.00 $2.00 10:00 $0.00 $3.00 $11.00 $3.00" in shown
    assert "12:00 $1.00 $4.00 $13.00 $3.00" in shown
    assert "13:00" not in shown


def test_changes_are_listed_newest_first_a_page_at_a_time(world: World, open_pages: TestClient) -> None:
    campaign = world.campaign(world.brand(name="Hudson Shoes"), name="Search")
    for status in ("paused", "enabled") * 51:
        world.set_status(campaign, status)
    page = open_pages.get("/changes").text
    ids = [int(found) for found in re.findall(r'data-change="(\d+)"', page)]
    assert ids == list(range(102, 2, -1))
    assert re.findall(r'data-change="(\d+)"', open_pages.get("/changes?before=3").text) == ["2", "1"]
    shown = text(open_pages, "/changes?brand_id=1&before=1")
    assert "There is no earlier change. The newest" in shown
    assert "There is no earlier change" not in text(open_pages, "/changes?before=3")


def test_status_change_shows_each_figure_after_its_own_hold(world: World, open_pages: TestClient) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand(daily=3 * UNIT), daily=2 * UNIT, schedule="daily 00:00-24:00")
    world.spend(campaign, 4 * UNIT)
    shown = text(open_pages, "/changes")
    reasons = (
        "the brand's daily budget is spent ($4.00 of $3.00) ; the campaign's daily budget is spent ($4.00 of $2.00)"
    )
    assert f"of Brand {reasons} spend" in shown
    world.set_clock("2026-06-18T00:00:00Z")
    world.tick()
    assert "no longer: the brand's daily budget is spent ($" in text(open_pages, "/changes")


def test_names_with_html_are_shown_and_never_run(world: World, open_pages: TestClient) -> None:
    brand = world.brand(name="<script>alert('brand')</script>", daily=5 * UNIT)
    campaign = world.campaign(brand, name='<img src=x onerror="alert(1)">&amp;')
    world.set_status(campaign, "paused")
    for address in ("/", f"/brands/{brand}", f"/campaigns/{campaign}", "/changes", "/?q=<script>alert('brand')"):
        page = open_pages.get(address).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "&lt;script&gt;alert(&#39;brand&#39;)" in page


def test_unknown_brand_or_campaign_gets_a_not_found_page(world: World, open_pages: TestClient) -> None:
    for address, status, words in (
        ("/brands/7", 404, "There is no brand 7."),
        ("/campaigns/7", 404, "There is no campaign 7."),
        (f"/brands/{2**63}", 404, "There is no brand"),
        ("/changes?brand_id=7", 404, "There is no brand 7."),
        ("/changes?campaign_id=7", 404, "There is no campaign 7."),
        ("/nowhere", 404, "Not Found"),
        ("/brands/abc", 404, "There is no such page."),
        ("/brands/abc/reports/", 404, "There is no such page."),
        ("/campaigns/1.5", 404, "There is no such page."),
        ("/?number=0", 422, "greater than or equal to 1"),
        ("/?sort=luck", 422, "Sort: "),
    ):
        shown = text(open_pages, address, status)
        assert words in shown
        assert "All brands" in shown


def test_new_brand_page_says_that_no_status_changed_yet(world: World, open_pages: TestClient) -> None:
    page = open_pages.get(f"/brands/{world.brand()}").text
    assert re.search(r'<ol class="feed"[^>]*></ol>\s*<p class="empty-feed', page)


def test_edit_links_are_shown_only_to_people_who_may_edit(world: World, open_pages: TestClient) -> None:
    from app import access  # noqa: PLC0415
    from domain.access import Role  # noqa: PLC0415 - after the environment is set
    from web.people import COOKIE  # noqa: PLC0415

    brand = world.brand()
    campaign = world.campaign(brand)
    pages = (f"/brands/{brand}", f"/campaigns/{campaign}")
    assert not any(">Edit<" in open_pages.get(page).text for page in pages)
    for role, may in ((Role.VIEWER, False), (Role.OPERATOR, True), (Role.OWNER, True)):
        access.create_user(f"{role}@example.com", "correct horse battery", role, "test")
        session = access.sign_in(f"{role}@example.com", "correct horse battery", remember=False)
        assert session is not None
        open_pages.cookies.set(COOKIE, session.token)
        assert [">Edit<" in open_pages.get(page).text for page in pages] == [may, may]


def test_favicon_is_served_at_its_default_address(open_pages: TestClient) -> None:
    named, unnamed = open_pages.get("/static/icon.svg"), open_pages.get("/favicon.ico")
    assert (unnamed.status_code, unnamed.headers["content-type"]) == (200, "image/svg+xml")
    assert unnamed.content == named.content
    assert "max-age" in unnamed.headers["cache-control"]


def test_pages_need_a_login_unless_the_dashboard_is_open(world: World, database: str) -> None:
    from web.app import create_app  # noqa: PLC0415 - after the environment is set

    brand = world.brand()
    with TestClient(create_app(), follow_redirects=False) as client:
        for address in (
            "/",
            f"/brands/{brand}",
            "/campaigns/1",
            "/changes",
            "/changes/stream",
            f"/brands/{brand}/reports/",
        ):
            answer = client.get(address)
            assert (answer.status_code, answer.headers["location"]) == (303, f"/admin/login?next={address}")
        page = f"http://testserver/brands/{brand}?q=a%20b&status=active"
        answer = client.get("/changes/stream", headers={"HX-Request": "true", "HX-Current-URL": page})
        assert (answer.status_code, answer.headers["HX-Redirect"].partition("?")[0]) == (401, "/admin/login")
        assert parse_qs(answer.headers["HX-Redirect"].partition("?")[2])["next"] == [
            page.removeprefix("http://testserver")
        ]


def test_sign_in_leads_back_to_the_current_page(world: World, open_pages: TestClient) -> None:
    world.brand()
    page = open_pages.get("/brands/1?q=a").text
    assert 'href="/admin/login?next=/brands/1%3Fq%3Da">Sign in</a>' in page
