"""Spend through the real actor, on a real database."""

from datetime import datetime

from tests.world import UNIT, World


def test_pauses_the_brands_campaigns_in_the_commit_that_crosses_its_limit(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.brand(daily=10 * UNIT)
    first, sibling = world.campaign(brand), world.campaign(brand)
    world.spend(first, 4 * UNIT)
    assert world.is_active(first)
    world.spend(sibling, 6 * UNIT)
    assert world.holds(first) == world.holds(sibling) == {"brand_daily_budget"}
    world.verify()
