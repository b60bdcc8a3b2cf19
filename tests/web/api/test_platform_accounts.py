"""Platform accounts, and moves of campaigns to another brand, over HTTP."""

from typing import Any

from domain.access import KeyScope
from tests.web.api.conftest import Program
from tests.world import UNIT, World

ACCOUNT = {"platform": "google_ads", "account_id": "555"}
NAMED = {"platform": "google_ads", "external_id": "123"}


def campaign(brand: int, **fields: Any) -> dict[str, Any]:
    return {"brand_id": brand, "name": "Sale", **NAMED, **fields}


def test_account_is_created_bound_and_visible_to_its_brands(world: World, program: Program) -> None:
    first, second, third = world.brand(), world.brand(), world.brand()
    client = program()
    made = client.post("/api/platform-accounts/", json={**ACCOUNT, "brand_ids": [first]})
    assert (made.status_code, made.json()["brand_ids"]) == (201, [first])
    again = client.post("/api/platform-accounts/", json=ACCOUNT)
    assert (again.status_code, again.json()["errors"][0]["field"]) == (422, "account_id")
    path = f"/api/platform-accounts/{made.json()['id']}/brands/"
    assert client.post(path, json={"brand_id": second}).json()["brand_ids"] == [first, second]
    seen = program(brand=second).get("/api/platform-accounts/").json()["items"]
    assert [(item["account_id"], item["brand_ids"]) for item in seen] == [("555", [second])]
    assert program(brand=third).get("/api/platform-accounts/").json()["items"] == []
    assert client.post(path, json={"brand_id": third + 1}).status_code == 404
    assert client.post("/api/platform-accounts/404/brands/", json={"brand_id": first}).status_code == 404


def test_moved_campaigns_default_account_does_not_name_the_former_brand(world: World, program: Program) -> None:
    first, second = world.brand(), world.brand()
    moving = world.campaign(first, **NAMED)
    program().post(f"/api/campaigns/{moving}/move/", json={"to_brand_id": second})
    url = "/api/platform-accounts/"
    for brand, named in ((first, first), (second, None)):
        (account,) = program(brand=brand).get(url).json()["items"]
        assert account["default_of_brand_id"] == named


def test_key_of_one_brand_can_neither_create_accounts_nor_use_those_of_others(world: World, program: Program) -> None:
    mine, others = world.brand(), world.brand()
    client = program()
    made = client.post("/api/platform-accounts/", json={**ACCOUNT, "brand_ids": [others]}).json()
    limited = program(brand=mine)
    assert limited.post("/api/platform-accounts/", json={**ACCOUNT, "account_id": "9"}).status_code == 403
    assert limited.post(f"/api/platform-accounts/{made['id']}/brands/", json={"brand_id": mine}).status_code == 403
    refused = limited.post("/api/campaigns/", json=campaign(mine, account="555"))
    unknown = limited.post("/api/campaigns/", json=campaign(mine, account="556"))
    assert (refused.status_code, unknown.status_code) == (422, 422)
    assert refused.json()["detail"].replace("555", "556") == unknown.json()["detail"]
    own = limited.post("/api/campaigns/", json=campaign(mine))
    assert (own.status_code, own.json()["account"]) == (201, None)
    assert limited.patch(f"/api/campaigns/{own.json()['id']}/", json={"account": "555"}).status_code == 422


def test_campaign_is_put_into_an_account_and_removed_from_it(world: World, program: Program) -> None:
    brand = world.brand()
    client = program()
    client.post("/api/platform-accounts/", json={**ACCOUNT, "brand_ids": [brand]})
    made = client.post("/api/campaigns/", json=campaign(brand, account="555")).json()
    path = f"/api/campaigns/{made['id']}/"
    assert (made["account"], client.get(path).json()["account"]) == ("555", "555")
    read = client.get(path)
    assert (
        client.patch(path, json={"account": None}, headers={"If-Match": read.headers["ETag"]}).json()["account"] is None
    )
    assert client.patch(path, json={"account": "555"}, headers={"If-Match": read.headers["ETag"]}).status_code == 412
    assert client.patch(path, json={"account": "555"}).json()["account"] == "555"
    assert client.patch(path, json={"platform": "meta_ads"}).json()["account"] is None


def test_spend_of_an_ambiguous_name_is_refused_and_that_of_an_account_taken(world: World, program: Program) -> None:
    brand = world.brand()
    client = program()
    client.post("/api/platform-accounts/", json={**ACCOUNT, "brand_ids": [brand]})
    ids = [
        client.post("/api/campaigns/", json=campaign(brand, **more)).json()["id"] for more in ({}, {"account": "555"})
    ]
    bare = world.event(0, UNIT) | {"campaign_id": None, **NAMED}
    shown = client.post("/api/spend/", json={"events": [bare]}).json()
    assert [row["reason"] for row in shown["rejections"]] == ["ambiguous_campaign"]
    assert client.post("/api/spend/", json={"events": [bare | {"account": "555"}]}).json()["accepted"] == 1
    assert len(ids) == 2


def test_a_campaign_moves_with_a_dry_run_first(world: World, program: Program) -> None:
    first, second = world.brand(), world.brand()
    old = world.campaign(first, **NAMED, daily=5 * UNIT)
    path = f"/api/campaigns/{old}/move/"
    client = program()
    asked = {"to_brand_id": second, "copy_budgets_and_schedule": True}
    dry = client.post(path, json=asked | {"dry_run": True}).json()
    assert (dry["copied_budgets"], dry["stops"], dry["dry_run"]) == (1, [old], True)
    assert world.rows("SELECT FROM campaigns WHERE brand_id = %s", second) == []
    moved = client.post(path, json=asked).json()
    assert client.get(f"/api/campaigns/{moved['new_campaign_id']}/").json()["external_id"] == "123"
    assert client.get(f"/api/campaigns/{old}/").json()["configured_status"] == "archived"
    assert client.post(path, json=asked).status_code == 422
    world.verify()


def test_move_needs_a_key_that_manages_both_brands(world: World, program: Program) -> None:
    first, second = world.brand(), world.brand()
    path = f"/api/campaigns/{world.campaign(first, **NAMED)}/move/"
    for brand in (first, second):
        assert program(brand=brand).post(path, json={"to_brand_id": second}).status_code == 404
    assert program(KeyScope.READ).post(path, json={"to_brand_id": second}).status_code == 403
    assert program().post(path, json={"to_brand_id": second + 1}).status_code == 404
    assert program().post("/api/campaigns/404/move/", json={"to_brand_id": second}).status_code == 404
    assert world.rows("SELECT FROM campaigns WHERE brand_id = %s", second) == []
