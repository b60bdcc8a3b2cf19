"""A limit of 0 is exhausted for any spend and refund; the searches in SQL evaluate every limit as `decide` does."""

import random
from datetime import datetime, timedelta

import pytest

from app.proof.verification import differences
from app.reports.generate import on_demand
from db.engine import transaction
from db.repository.enforcement import headroom, search
from tests.kit import statements
from tests.world import World, moment
from workers.actors.schedule import refresh_spend

PERIODS = ("daily", "weekly", "monthly", "yearly", "lifetime")
AMOUNTS = (-1, 1, -3, 3, -100, 99, 100, 101, -(10**15), 10**15)


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("scope", ["brand", "campaign"])
def test_refund_does_not_lift_a_limit_of_0(world: World, noon: datetime, scope: str, period: str) -> None:
    world.set_clock(noon)
    brand = world.brand()
    campaign = world.campaign(brand)
    world.limit(0, period, brand=brand, campaign=campaign if scope == "campaign" else None)
    for micros in (-1, -(10**15), 5):
        world.spend(campaign, micros)
        assert world.holds(campaign) == {f"{scope}_{period}_budget"}
    refresh_spend()
    assert world.holds(campaign) == {f"{scope}_{period}_budget"}
    world.verify()


def test_no_headroom_is_stored_for_a_brand_with_a_limit_of_0(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    campaign = world.campaign(world.brand(daily=0, monthly=10**9))
    world.spend(campaign, -100)
    assert world.one("SELECT headroom_micros FROM brands") == {"headroom_micros": None}
    with statements() as sent:
        world.spend(campaign, 1)
    assert any("WITH judged" in f"{statement} {parameters}" for statement, parameters in sent)


def test_verify_lists_headroom_beside_a_limit_of_0_and_refresh_clears_it(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=0)
    world.spend(world.campaign(brand), -100)
    world.execute("UPDATE brands SET headroom_micros = 0, headroom_on = %s", noon.date())
    with transaction() as connection:
        assert [row["brand_id"] for row in headroom.overstated(connection, ["UTC"], noon)] == [brand]
    refresh_spend()
    world.verify()


@pytest.mark.parametrize("seed", range(12))
def test_holds_and_searches_agree_with_decide_after_random_spend_refunds_and_limits(world: World, seed: int) -> None:
    chance = random.Random(seed)
    at = world.set_clock(moment("2026-11-29T12:00:00Z"))
    brands = [world.brand(name=f"Brand {number}") for number in range(3)]
    campaigns = [world.campaign(brand) for brand in brands for _ in range(2)]
    for _ in range(12):
        brand = chance.choice(brands)
        own = chance.choice([None, *(one for one in campaigns if world.brand_of(one) == brand)])
        world.limit(chance.choice((0, 0, 1, 100)), chance.choice(PERIODS), brand=brand, campaign=own)
        at = world.set_clock(at + timedelta(hours=chance.choice((0, 1, 11, 24))))
        world.tick()
        events = [world.event(chance.choice(campaigns), chance.choice(AMOUNTS)) for _ in range(chance.randrange(1, 4))]
        world.ingest(events)
        with transaction() as connection:
            assert list(differences(connection, at)) == []
            assert search.crossed(connection, ["UTC"], at) == []
            assert headroom.overstated(connection, ["UTC"], at) == []
    world.execute("UPDATE campaigns SET holds = '{}', effective_status = 'active', enforced_at = now()")
    with transaction() as connection:
        held = {one.standing.row.brand_id for one in differences(connection, at)}
        assert set(search.crossed(connection, ["UTC"], at)) == held


def test_report_has_a_limit_of_0_as_reached_from_the_start_despite_refunds(world: World) -> None:
    world.set_clock("2026-04-30T12:00:00Z")
    brand = world.brand(monthly=0)
    campaign = world.campaign(brand)
    world.set_clock("2026-05-10T12:00:00Z")
    world.tick()
    world.spend(campaign, -5)
    world.set_clock("2026-05-11T12:00:00Z")
    world.spend(campaign, 7)
    world.set_clock("2026-06-02T12:00:00Z")
    (limit,) = on_demand(brand, moment("2026-05-01").date())["content"]["limits"]
    assert (limit["overspend_micros"], limit["used_permille"]) == (2, None)
    assert [moment(span["from"]) for span in limit["exhausted"]] == [moment("2026-05-01T00:00:00Z")]
    assert moment(limit["reached_at"]) == moment("2026-05-01T00:00:00Z")
