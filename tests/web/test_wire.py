"""Responses are compressed, static files are cached, and a refresh without a change is small."""

import gzip
import re

import httpx2 as httpx
from starlette.testclient import TestClient

from tests.web.conftest import Browse
from tests.world import UNIT, World
from web.csrf import masked, unmasked

SMALL = 5_000
PART = {"HX-Request": "true"}


def wire_bytes(client: httpx.Client, path: str, **headers: str) -> tuple[int, httpx.Headers]:
    """The number of bytes of a body as received, still compressed."""
    with client.stream("GET", path, headers=headers) as answer:
        return sum(len(chunk) for chunk in answer.iter_raw()), answer.headers


MANY = """
    INSERT INTO brands (name) SELECT 'Brand ' || number FROM generate_series(2, 50) AS number;
    INSERT INTO budgets (brand_id, period, limit_micros) SELECT id, 'daily', 100000000 FROM brands;
    INSERT INTO campaigns (brand_id, name) SELECT 1, 'Campaign ' || number FROM generate_series(2, 50) AS number
"""


def test_refresh_is_small_and_empty_without_a_change(world: World, browse: Browse) -> None:
    campaign = world.campaign(world.brand())
    for statement in MANY.split(";"):
        world.execute(statement)
    world.spend(campaign, 5 * UNIT)
    with browse() as client:
        for path in ("/", "/brands/1"):
            page = client.get(path)
            tag = re.findall(r'data-tag="&#34;(\w+)&#34;"', page.text)[0]
            assert page.headers["etag"] == f'"{tag}"'
            assert page.headers["cache-control"] == "no-store"
            assert len(page.content) > 20_000
            refreshed, headers = wire_bytes(client, path, **PART)
            assert headers["content-encoding"] == "gzip"
            assert refreshed < SMALL
            known = {**PART, "If-None-Match": headers["etag"]}
            answers = [client.get(path, headers=known) for _ in range(2)]  # a minute may begin between two
            assert any((answer.status_code, answer.content) == (304, b"") for answer in answers)


def test_changed_page_has_another_entity_tag(world: World, open_pages: TestClient) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand(daily=10 * UNIT))
    for path in ("/", "/brands/1", f"/campaigns/{campaign}"):
        part = open_pages.get(path, headers=PART)
        known = {**PART, "If-None-Match": part.headers["etag"]}
        assert open_pages.get(path, headers=known).status_code == 304
        world.spend(campaign, UNIT)
        changed = open_pages.get(path, headers=known)
        assert changed.status_code == 200
        assert changed.headers["etag"] != part.headers["etag"]
    assert open_pages.get("/?sort=name", headers=known).status_code == 200


def test_partial_page_equals_the_main_part_of_the_page(world: World, open_pages: TestClient) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    world.brand(name="Hudson Shoes")
    whole, part = open_pages.get("/"), open_pages.get("/", headers=PART)
    assert whole.headers["etag"] == part.headers["etag"]
    assert part.text.strip() in whole.text
    assert "<html" not in part.text
    restored = open_pages.get("/", headers={**PART, "HX-History-Restore-Request": "true"})
    assert "<html" in restored.text
    assert "HX-Request" in whole.headers["vary"]


def test_static_files_with_a_hash_are_cached_and_others_revalidated(open_pages: TestClient) -> None:
    address = re.findall(r'src="(/static/app\.js\?\w+)"', open_pages.get("/").text)[0]
    kept, asked = open_pages.get(address), open_pages.get("/static/app.js")
    assert "immutable" in kept.headers["cache-control"]
    assert kept.headers["content-encoding"] == "gzip"
    assert asked.headers["cache-control"] == "no-cache"
    again = open_pages.get("/static/app.js", headers={"If-None-Match": asked.headers["etag"]})
    assert again.status_code == 304
    assert open_pages.get("/static/app.js?0123456789ab").headers["cache-control"] == "no-cache"
    assert open_pages.get("/static/none.js?0123456789ab").status_code == 404


def test_a_stream_is_never_compressed(world: World, browse: Browse) -> None:
    world.brand()
    with browse() as client, client.stream("GET", "/changes/stream", headers={"Accept-Encoding": "gzip"}) as answer:
        assert "content-encoding" not in answer.headers
        for line in answer.iter_lines():
            if line == "event: beat":
                break


def test_page_shows_the_time_of_each_brands_newest_spend(world: World, open_pages: TestClient) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand(zone="America/New_York")
    campaign = world.campaign(brand)
    for path in ("/", f"/brands/{brand}", f"/campaigns/{campaign}"):
        assert "no spend yet" in open_pages.get(path).text
    world.set_clock("2026-06-17T12:34:56Z")
    world.spend(campaign, UNIT, "2026-06-17T11:00:00Z")
    world.set_clock("2026-06-17T13:00:00Z")
    for path in ("/", f"/brands/{brand}", f"/campaigns/{campaign}"):
        page = open_pages.get(path).text
        assert 'datetime="2026-06-17T12:34:56+00:00">Wed 17 Jun 08:34:56</time>' in page


def test_older_batch_does_not_change_the_time_of_the_newest_spend(world: World) -> None:
    world.set_clock("2026-06-17T12:00:00Z")
    campaign = world.campaign(world.brand())
    world.spend(campaign, UNIT)
    world.set_clock("2026-06-17T11:59:00Z")
    world.spend(campaign, UNIT)
    assert world.one("SELECT spend_received_at FROM brands")["spend_received_at"].isoformat() == (
        "2026-06-17T12:00:00+00:00"
    )


def test_csrf_token_is_masked_differently_each_time_and_unmasked() -> None:
    token = "ImFiYyI.c2lnbmF0dXJl"  # noqa: S105 - of nobody
    one, other = masked(token), masked(token)
    assert one != other
    assert unmasked(one) == unmasked(other) == unmasked(token) == token
    for text in ("m1.", "m1.%%%", "m1.AAAA", "m1.ü", ""):
        assert unmasked(text) != token
    assert len(gzip.compress((one + token).encode())) > len(gzip.compress((token + token).encode())) + len(token)
