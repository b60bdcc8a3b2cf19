"""The serving feed over HTTP: who may serve, with exact headroom, by ETag, long poll, brand and platform."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from domain.access import KeyScope
from tests.web.api.conftest import Program
from tests.web.conftest import Browse
from tests.world import UNIT, World, eventually


def _ids(client: TestClient, **query: Any) -> list[int]:
    return [one["campaign_id"] for one in client.get("/api/serving/", params=query).json()["campaigns"]]


def test_feed_lists_active_campaigns_with_platform_change_and_headroom(world: World, client: TestClient) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand(daily=100 * UNIT, monthly=50 * UNIT)
    campaign = world.campaign(
        brand, platform="google", external_id="77", lifetime=30 * UNIT, schedule="Mon-Sun 09:00-17:00"
    )
    world.spend(campaign, 7 * UNIT + 1)
    world.set_status(world.campaign(brand), "paused")
    answer = client.get("/api/serving/")
    assert answer.json()["campaigns"] == [
        {
            "campaign_id": campaign,
            "brand_id": brand,
            "platform": "google_ads",
            "external_id": "77",
            "account": None,
            "change_id": None,
            "next_change_at": "2026-06-17T17:00:00Z",
            "headroom_micros": 23 * UNIT - 1,
        }
    ]
    assert answer.headers["ETag"] == f'"{answer.json()["snapshot_id"]}"'


def test_feed_of_a_brands_key_has_that_brand_alone(world: World, program: Program) -> None:
    mine, other = world.brand(), world.brand()
    campaigns = {brand: world.campaign(brand) for brand in (mine, other)}
    client = program(KeyScope.READ, brand=mine)
    assert _ids(client) == _ids(client, brand_id=mine) == [campaigns[mine]]
    assert client.get("/api/serving/", params={"brand_id": other}).status_code == 404
    assert client.get("/api/serving/stream", params={"brand_id": other}).status_code == 404


def test_feed_is_filtered_by_brand_and_platform_in_any_spelling(world: World, client: TestClient) -> None:
    brand, other = world.brand(), world.brand()
    google = world.campaign(brand, platform="google", external_id="1")
    meta = world.campaign(brand, platform="meta", external_id="1")
    elsewhere = world.campaign(other, platform="google", external_id="1")
    bare = world.campaign(other)
    assert _ids(client) == [google, meta, elsewhere, bare]
    assert _ids(client, platform="AdWords") == [google, elsewhere]
    assert _ids(client, platform="meta_ads", brand_id=brand) == [meta]
    assert _ids(client, platform="unheard-of") == []
    assert client.get("/api/serving/", params={"brand_id": 4711}).status_code == 404


def test_campaign_over_its_budget_but_not_yet_paused_is_left_out(world: World, client: TestClient) -> None:
    brand = world.brand(daily=5 * UNIT)
    world.campaign(brand)
    world.execute(
        "INSERT INTO brand_days SELECT id, current_date + n, %s FROM brands, generate_series(-1, 1) n", 6 * UNIT
    )
    assert _ids(client) == []


@pytest.mark.parametrize("sign", [1, -1])
def test_brand_with_spend_beyond_a_bigint_does_not_end_the_feed_of_others(
    world: World, client: TestClient, sign: int
) -> None:
    odd, sound = world.brand(lifetime=5 * UNIT), world.brand(daily=5 * UNIT)
    of_odd, of_sound = world.campaign(odd), world.campaign(sound)
    world.execute(
        "INSERT INTO brand_days SELECT %s, current_date - n, %s FROM generate_series(2, 4) n", odd, sign * 2**62
    )
    assert _ids(client) == ([of_sound] if sign > 0 else [of_odd, of_sound])


def test_campaign_that_was_never_enforced_is_left_out(world: World, client: TestClient) -> None:
    world.execute("INSERT INTO campaigns (brand_id, name) VALUES (%s, 'By SQL')", world.brand())
    assert _ids(client) == []
    world.tick()
    assert len(_ids(client)) == 1


def test_change_id_is_the_newest_status_change(world: World, client: TestClient) -> None:
    campaign = world.campaign(world.brand())
    for status in ("paused", "enabled", "paused", "enabled"):
        world.set_status(campaign, status)
    (serving,) = client.get("/api/serving/").json()["campaigns"]
    assert serving["change_id"] == world.one("SELECT max(id) AS id FROM status_changes")["id"]


def test_known_etag_gets_304_until_something_changes(world: World, client: TestClient) -> None:
    campaign = world.campaign(world.brand())
    known = client.get("/api/serving/").headers["ETag"]
    again = client.get("/api/serving/", headers={"If-None-Match": known})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", known)
    assert client.get("/api/serving/", params={"wait": 1}, headers={"If-None-Match": known}).status_code == 304
    world.set_status(campaign, "paused")
    changed = client.get("/api/serving/", params={"wait": 60}, headers={"If-None-Match": known})
    assert (changed.status_code, changed.json()["campaigns"]) == (200, [])
    world.set_status(campaign, "enabled")
    assert client.get("/api/serving/").headers["ETag"] not in {known, changed.headers["ETag"]}


def test_long_poll_answers_when_a_campaign_is_toggled_meanwhile(world: World, browse: Browse) -> None:
    from app import access  # noqa: PLC0415 - after the environment is set

    campaign = world.campaign(world.brand())
    with browse() as client, ThreadPoolExecutor(1) as thread:
        key = {"Authorization": f"Bearer {access.create_key('bidder', [KeyScope.READ], 'test')[1]}"}
        known = client.get("/api/serving/", headers=key).headers["ETag"]
        waiting = {**key, "If-None-Match": known}
        poll = thread.submit(client.get, "/api/serving/", params={"wait": 60}, headers=waiting, timeout=90)
        world.set_status(campaign, "paused")
        eventually(poll.done, seconds=45)
        answer = poll.result()
        assert (answer.status_code, answer.json()["campaigns"]) == (200, [])


def test_answer_is_the_same_compressed_and_plain(world: World, client: TestClient) -> None:
    brand = world.brand(daily=5 * UNIT)
    for number in range(50):
        world.campaign(brand, platform="meta", external_id=f"é{number}")
    with client.stream("GET", "/api/serving/", headers={"Accept-Encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    plain = client.get("/api/serving/", headers={"Accept-Encoding": "identity"})
    assert gzip.decompress(raw) == plain.content
    assert len(json.loads(plain.content)["campaigns"]) == 50
    assert (packed.headers["ETag"], packed.headers["Vary"]) == (plain.headers["ETag"], "Accept-Encoding")
