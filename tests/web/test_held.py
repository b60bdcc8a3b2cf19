"""Pages show every reason of held campaigns, when they serve again, and a projected spend within all limits."""

import random
from collections import defaultdict
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.web.test_dashboard import text
from tests.world import PERIODS, UNIT, World

NOON = "2026-06-17T12:00:00Z"


def test_held_campaigns_are_counted_by_reason_with_the_first_return_time(world: World, open_pages: TestClient) -> None:
    world.set_clock(NOON)
    brand = world.brand(daily=5 * UNIT)
    first, *_ = [world.campaign(brand) for _ in range(3)]
    world.set_status(first, "paused")
    world.spend(first, 5 * UNIT)
    for address in ("/", f"/brands/{brand}"):
        shown = text(open_pages, address)
        spent = "0 of 3 active 2 held: the brand's daily budget is spent"
        assert f"{spent} · may serve again from Thu 18 Jun 00:00" in shown
        both = "1 held: paused by a person; the brand's daily budget is spent · stays stopped until someone changes it"
        assert both in shown


def test_a_campaign_serves_again_when_its_last_hold_lifts_not_the_first(world: World, open_pages: TestClient) -> None:
    world.set_clock(NOON)
    brand = world.brand(daily=5 * UNIT)
    campaign = world.campaign(brand, schedule="daily 17:00-23:00")
    world.spend(campaign, 5 * UNIT)
    words = "1 held: outside its schedule; the brand's daily budget is spent · may serve again Thu 18 Jun 17:00"
    assert words in text(open_pages, "/")
    assert words in text(open_pages, f"/brands/{brand}")


def test_group_shows_the_earliest_return_time_of_its_campaigns(world: World, open_pages: TestClient) -> None:
    world.set_clock(NOON)
    brand = world.brand(daily=5 * UNIT)
    for schedule in ("daily 13:00-14:00", "daily 09:00-11:00", "daily 18:00-19:00"):
        campaign = world.campaign(brand, schedule=schedule)
    world.spend(campaign, 5 * UNIT)
    shown = text(open_pages, "/")
    reasons = "3 held: outside its schedule; the brand's daily budget is spent"
    assert f"{reasons} · may serve again from Thu 18 Jun 09:00" in shown


@pytest.mark.parametrize("seed", range(4))
def test_group_return_time_equals_the_rules_for_each_of_its_campaigns(world: World, seed: int) -> None:
    from db.engine import snapshot  # noqa: PLC0415 - after the environment is set
    from db.repository.enforcement.facts import load  # noqa: PLC0415
    from domain.enforcement import explain  # noqa: PLC0415
    from domain.holds import in_words  # noqa: PLC0415
    from web.dashboard.held import brand_statuses  # noqa: PLC0415

    at, chosen = world.set_clock(NOON), random.Random(seed)
    brands = [world.brand(chosen.choice(("UTC", "Asia/Kathmandu")), daily=chosen.choice((0, 5, 90))) for _ in range(2)]
    for brand in brands:
        for _ in range(25):
            world.spend(_any_campaign(world, brand, chosen), chosen.choice((1, 3)))
    with snapshot() as connection:
        computed, stored = brand_statuses(connection, brands, at, groups=99), load(connection, brands, at)
    truth: defaultdict[tuple[int, str], list[datetime | None]] = defaultdict(list)
    for standing in stored:
        explanation = explain(standing.row.campaign, at)
        truth[standing.row.brand_id, in_words(hold.hold for hold in explanation.holds)].append(explanation.serves_at)
    assert sum(brand.active for brand in computed.values()) == sum(len(truth[brand, ""]) for brand in brands)
    groups = {(brand, held.reasons): held for brand in brands for held in computed[brand].held}
    assert groups.keys() == {group for group in truth if group[1]}
    for group, held in groups.items():
        earliest = min((instant for instant in truth[group] if instant is not None), default=None)
        assert held.campaigns == len(truth[group])
        if held.at_the_earliest:
            assert held.serves_at is not None
            assert earliest is None or held.serves_at <= earliest
        else:
            assert held.serves_at == earliest


def _any_campaign(world: World, brand: int, chosen: random.Random) -> int:
    today = date(2026, 6, 17)
    limits: dict[str, Any] = {period: chosen.choice((0, 2, 9)) for period in PERIODS if chosen.random() < 0.15}
    flight: dict[str, Any] = {
        "starts_on": chosen.choice((None, None, None, today + timedelta(days=3))),
        "ends_on": chosen.choice((None, None, today + timedelta(days=5))),
    }
    schedule = chosen.choice(("", "daily 09:00-11:00", "Mon-Fri 13:00-14:00", "Sat 00:00-24:00"))
    campaign = world.campaign(brand, schedule=schedule, **flight, **limits)
    if chosen.random() < 0.1:
        world.set_status(campaign, "paused")
    return campaign


def test_return_time_of_many_kinds_of_campaigns_is_never_shown_too_late(world: World, open_pages: TestClient) -> None:
    world.set_clock(NOON)
    brand = world.brand(daily=5 * UNIT)
    for hour in range(13, 23):
        for minute in (0, 30):
            campaign = world.campaign(brand, schedule=f"daily {hour}:{minute:02d}-{hour + 1}:00")
    world.spend(campaign, 5 * UNIT)
    assert "may serve again Wed 17 Jun 19:00 at the earliest" in text(open_pages, "/")
    world.limit(6 * UNIT, brand=brand)
    assert "20 held: outside its schedule · may serve again from Wed 17 Jun 13:00" in text(open_pages, "/")


@pytest.mark.parametrize(
    ("limit", "words"), [(0, "stays stopped until someone changes it"), (1, "may serve again Thu 18 Jun 00:00")]
)
def test_limit_of_0_has_no_return_time(world: World, open_pages: TestClient, limit: int, words: str) -> None:
    world.set_clock(NOON)
    brand = world.brand()
    world.spend(world.campaign(brand, daily=limit), 1)
    assert f"1 held: the campaign's daily budget is spent · {words}" in text(open_pages, "/")


def test_more_groups_than_a_row_has_room_for_are_counted(world: World, open_pages: TestClient) -> None:
    world.set_clock(NOON)
    brand = world.brand()
    for period in PERIODS:
        world.limit(0, period, campaign=world.campaign(brand))
    assert "and 2 more, for other reasons" in text(open_pages, "/")
    assert "for other reasons" not in text(open_pages, f"/brands/{brand}")


def test_brand_without_a_serving_campaign_is_shown_as_stopped(world: World, open_pages: TestClient) -> None:
    world.set_clock(NOON)
    brand = world.brand(daily=5 * UNIT, monthly=90 * UNIT)
    campaign = world.campaign(brand, daily=9 * UNIT)
    world.spend(campaign, 5 * UNIT)
    assert "$5.00 of $90.00 stopped at $5.00 · 5 %" in text(open_pages, "/")
    shown = text(open_pages, f"/campaigns/{campaign}")
    assert "Daily budget $5.00 of $9.00 stopped at $5.00 · 55 %" in shown
    assert "used up at" not in shown


def test_a_brand_that_has_no_campaign_yet_is_not_stopped(world: World, open_pages: TestClient) -> None:
    world.set_clock(NOON)
    world.brand()
    assert "stopped" not in text(open_pages, "/")


def test_weekly_limit_caps_the_projected_spend_of_the_day(world: World, open_pages: TestClient) -> None:
    world.set_clock(NOON)
    brand = world.brand(daily=9 * UNIT, weekly=10 * UNIT)
    campaign = world.campaign(brand, daily=8 * UNIT)
    world.spend(campaign, 3 * UNIT, "2026-06-16T12:00:00Z")
    world.spend(campaign, 5 * UNIT)
    for address in ("/", f"/brands/{brand}", f"/campaigns/{campaign}"):
        assert "projected $7.00" in text(open_pages, address)
    assert "This week $8.00 of $10.00 used up at about" in text(open_pages, f"/brands/{brand}")
