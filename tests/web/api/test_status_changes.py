"""Status changes over HTTP: every toggle, in commit order."""

from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool
from starlette.testclient import TestClient

from db.engine import transaction
from db.repository.access.privileges import DatabaseRole
from db.repository.reading import status_feed
from tests.cli.shell import shell
from tests.roles import UrlOf
from tests.world import UNIT, World


def test_status_changes_are_listed_oldest_first_after_the_last_seen_id(world: World, client: TestClient) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand(daily=5 * UNIT)
    campaign = world.campaign(brand)
    world.spend(campaign, 5 * UNIT)
    (paused,) = client.get("/api/status-changes/").json()["items"]
    assert paused == {
        "id": paused["id"],
        "brand_id": brand,
        "campaign_id": campaign,
        "changed_at": at.isoformat().replace("+00:00", "Z"),
        "from_status": "active",
        "to_status": "inactive",
        "holds_before": [],
        "holds_after": ["brand_daily_budget"],
        "cause": "spend",
        "details": {
            "day": "2026-06-17",
            "budgets": {"brand_daily_budget": {"spent_micros": 5 * UNIT, "limit_micros": 5 * UNIT}},
        },
    }
    world.spend(campaign, -UNIT)
    (activated,) = client.get("/api/status-changes/", params={"after": paused["id"]}).json()["items"]
    assert (activated["to_status"], activated["holds_before"]) == ("active", ["brand_daily_budget"])
    page = client.get("/api/status-changes/", params={"after": activated["id"]}).json()
    assert (page["items"], page["next_after"]) == ([], None)


def test_status_changes_are_filtered_by_brand_or_campaign_and_paged(world: World, client: TestClient) -> None:
    first, second = (world.campaign(world.brand()) for _ in range(2))
    for campaign in (first, second, first):
        world.set_status(campaign, "paused")
        world.set_status(campaign, "enabled")

    def campaigns(**filters: Any) -> list[int]:
        found = client.get("/api/status-changes/", params=filters).json()["items"]
        return [change["campaign_id"] for change in found]

    assert campaigns() == [first, first, second, second, first, first]
    assert campaigns(campaign_id=second) == campaigns(brand_id=world.brand_of(second)) == [second, second]
    page = client.get("/api/status-changes/", params={"limit": 4})
    assert page.json()["next_after"] == page.json()["items"][-1]["id"]
    assert len(client.get(page.links["next"]["url"]).json()["items"]) == 2


# --- following


def followed(client: TestClient, **cursor: Any) -> Any:
    return client.get("/api/status-changes/", params=cursor)


def toggle(world: World) -> int:
    """Makes two status changes; returns the campaign."""
    campaign = world.campaign(world.brand())
    world.set_status(campaign, "paused")
    world.set_status(campaign, "enabled")
    return campaign


def assert_gone(answer: Any, field: str) -> None:
    assert answer.status_code == 410
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    assert "start again" in answer.json()["detail"]


def test_follower_continues_within_an_epoch(world: World, client: TestClient) -> None:
    toggle(world)
    page = followed(client, limit=1).json()
    assert len(page["epoch"]) == 16
    (second,) = followed(client, after=page["items"][0]["id"], epoch=page["epoch"]).json()["items"]
    assert followed(client, after=second["id"]).json() == {"items": [], "next_after": None, "epoch": page["epoch"]}
    assert followed(client, after=0, epoch=page["epoch"]).status_code == 200


def test_the_link_to_the_next_page_has_the_epoch(world: World, client: TestClient) -> None:
    toggle(world)
    page = followed(client, limit=1)
    assert f"epoch={page.json()['epoch']}" in page.links["next"]["url"]
    assert len(client.get(page.links["next"]["url"]).json()["items"]) == 1


def test_follower_with_an_old_epoch_gets_410(world: World, client: TestClient) -> None:
    toggle(world)
    page = followed(client).json()
    assert shell("new-epoch", env={"DATABASE_URL": world.url}).code == 0
    last = page["items"][-1]["id"]
    assert_gone(followed(client, after=last, epoch=page["epoch"]), "epoch")
    assert followed(client, after=last).status_code == 200
    assert followed(client).json()["epoch"] != page["epoch"]


def test_after_an_id_that_was_never_assigned_gets_410(world: World, client: TestClient) -> None:
    assert_gone(followed(client, after=1), "after")
    toggle(world)
    last = followed(client).json()["items"][-1]["id"]
    assert followed(client, after=last).json()["items"] == []
    assert_gone(followed(client, after=last + 1), "after")
    assert_gone(followed(client, after=last + 1, campaign_id=1), "after")


def test_restored_dump_begins_another_epoch(world: World) -> None:
    with transaction() as connection:
        before = status_feed.epoch(connection)
    world.execute(
        "CREATE TABLE again (LIKE status_changes INCLUDING ALL); DROP TABLE status_changes; "
        "ALTER TABLE again RENAME TO status_changes"
    )
    with transaction() as connection:
        assert status_feed.epoch(connection) != before


def test_stored_epoch_is_used_if_postgres_hides_its_system_identifier(world: World, url_of: UrlOf) -> None:
    with transaction() as connection:
        before = status_feed.epoch(connection)
        assert status_feed.epoch(connection) == before
    world.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    with create_engine(url_of(DatabaseRole.READER), poolclass=NullPool).connect() as connection:
        stored = status_feed.epoch(connection)
        assert status_feed.epoch(connection) == stored != before


def test_list_descriptions_name_the_one_that_can_be_polled(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    said = {
        path: parameter["description"]
        for path, methods in paths.items()
        for parameter in methods.get("get", {}).get("parameters", [])
        if parameter["name"] == "after" and parameter["schema"].get("type") == "integer"
    }
    follows = {path for path, description in said.items() if "commit order" in description}
    assert follows == {"/api/status-changes/", "/api/alerts/"}
    assert {"/api/brands/", "/api/campaigns/", "/api/budgets/", "/api/rejected-events/"} < said.keys()
    assert all("Do not poll" in description for path, description in said.items() if path not in follows)
