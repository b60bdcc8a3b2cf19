"""The admin's home page and histories: status changes, audit entries, rejected events and their replay."""

from app.edits.moves import Move, move
from db.repository.access.audit import Edit
from domain.access import KeyScope, Role
from runtime import clock
from tests.web.admin.conftest import Open
from tests.world import UNIT, World


def test_admin_home_shows_counts_held_campaigns_and_latest_edits(world: World, browser: Open) -> None:
    someone = browser(Role.VIEWER)
    assert "No campaigns yet" in someone.get("/admin/").text
    brand = world.brand(name="Hudson Shoes", daily=5 * UNIT)
    world.campaign(world.brand(), name="Serves")
    world.spend(world.campaign(brand, name="Brand search"), 5 * UNIT)
    world.ingest([{"event_id": "x"}])
    page = someone.get("/admin/").text
    for words in ("Brand search", "daily budget is spent", "create brand", "Hudson Shoes", "malformed", 'href="/"'):
        assert words in page


def test_status_change_page_shows_cause_and_figures(world: World, browser: Open) -> None:
    brand = world.brand(daily=5 * UNIT)
    world.spend(world.campaign(brand, name="Brand search"), 5_250_000)
    page = browser(Role.VIEWER).get("/admin/status-changes/list").text
    assert "brand daily budget: $5.25 of $5.00" in page
    assert "Brand search" in page


def test_audit_entry_page_shows_old_and_new_values(world: World, browser: Open) -> None:
    campaign = world.campaign(world.brand(), name="Brand search")
    world.set_status(campaign, "paused")
    entry = world.one("SELECT max(id) AS id FROM audit_entries")["id"]
    page = browser(Role.VIEWER).get("/admin/audit-entries/detail", pk=entry).text
    assert "Status enabled → paused" in page


def test_audit_formats_amounts_in_the_brands_currency_and_holds_in_words(world: World, browser: Open) -> None:
    for currency in ("USD", "JPY", "KWD"):
        brand = world.brand(currency=currency, daily=7_900 * UNIT)
        world.limit(1_500_000 if currency != "JPY" else 2 * UNIT, brand=brand)
        world.schedule(world.campaign(brand), "Mon 09:00-10:00")
    someone = browser(Role.VIEWER)
    page = someone.get("/admin/audit-entries/list").text
    for words in (
        "Daily limit $7,900.00 → $1.50",
        "Daily limit ¥7,900 → ¥2",
        "Daily limit KWD7,900.000 → KWD1.500",
        "Daily limit none → $7,900.00",
        "Schedule always → Mon 09:00-10:00",
    ):
        assert words in page, words
    assert "micros" not in page


def test_audit_of_a_copied_campaign_names_its_budgets_in_money(world: World, browser: Open) -> None:
    campaign = world.campaign(
        world.brand(currency="KWD"), daily=5 * UNIT, monthly=90 * UNIT, platform="meta_ads", external_id="7"
    )
    copied = Move(campaign, world.brand(currency="KWD"), copies=True)
    move(copied, Edit("user:someone@example.com", clock.now()))
    page = browser(Role.VIEWER).get("/admin/audit-entries/list").text
    assert "Budgets period daily, limit KWD5.000; period monthly, limit KWD90.000" in page


def test_replay_counts_inputs_that_are_valid_now_and_keeps_the_rest(world: World, browser: Open) -> None:
    campaign = world.campaign(world.brand())
    later = {"campaign_id": None, "platform": "google_ads", "external_id": "7"}
    world.ingest([world.event(campaign, UNIT, **later), world.event(99, UNIT), world.event(98, UNIT)])
    ids = {row["payload"]["campaign_id"]: row["id"] for row in world.rejected()}
    right, wrong, left = ids[None], ids[99], ids[98]
    world.edit_campaign(campaign, platform="google_ads", external_id="7")
    someone = browser(Role.OPERATOR)
    assert someone.act("rejected-events", "replay", right, wrong).status_code == 200
    assert "2 replayed: 1 valid, 1 rejected again." in someone.banners()
    assert world.spent(campaign) == UNIT
    assert {row["id"] for row in world.rejected()} == {wrong, left}
    assert someone.act_on_one("rejected-events", "replay", left).status_code == 200
    assert "1 replayed: 0 valid, 1 rejected again." in someone.banners()
    assert someone.act_on_one("rejected-events", "replay", right).status_code == 400
    assert "Showing 1 to 2 of 2" in someone.get("/admin/rejected-events/list").text
    world.verify()


def test_input_with_half_a_surrogate_pair_is_shown(world: World, browser: Open) -> None:
    world.ingest([{"source": "\ud800", "note": "\udcff"}])
    (row,) = world.rejected()
    shown = browser(Role.VIEWER).get(f"/admin/rejected-events/detail?pk={row['id']}")
    assert shown.status_code == 200
    assert "udcff" in shown.text


def test_replay_of_all_matching_inputs_counts_them(world: World, browser: Open) -> None:
    campaign = world.campaign(world.brand())
    world.ingest(
        [
            {"event_id": "x"},
            *(world.event(campaign, UNIT, platform="p", external_id="e", campaign_id=None) for _ in range(30)),
        ]
    )
    world.edit_campaign(campaign, platform="p", external_id="e")
    someone = browser(Role.OPERATOR)
    query = "name=replay&all=1&_list_query=%3Ffilter%3Dreason__eq%3Dunknown_campaign"
    answer = someone.client.post(
        f"/admin/_api/rejected-events/action?{query}", headers={"X-CSRFToken": someone.token()}
    )
    assert answer.status_code == 200
    assert world.spent(campaign) == 30 * UNIT
    assert len(world.rejected()) == 1


def test_only_owners_see_audit_entries_about_users_and_keys(world: World, browser: Open) -> None:
    from app import access  # noqa: PLC0415 - after the environment is set

    world.brand(name="Hudson Shoes")
    access.create_key("secret-bidder", list(KeyScope), "test")
    for role, sees in ((Role.OWNER, True), (Role.OPERATOR, False), (Role.VIEWER, False)):
        opened = browser(role)
        for path in ("/admin/audit-entries/list", "/admin/"):
            page = opened.get(path).text
            assert ("api_key" in page or "api key" in page) == sees, (role, path)
        found = world.one("SELECT id FROM audit_entries WHERE subject = 'api_key'")["id"]
        assert opened.get("/admin/audit-entries/detail", pk=found).status_code == (200 if sees else 404)
