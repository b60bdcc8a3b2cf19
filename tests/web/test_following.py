"""The example follower against a real web process: its set is the feed's, through restarts and cut networks."""

from examples.serving_follower import Follower
from tests.web.conftest import Browse
from tests.world import UNIT, World, eventually


def _key(**options: int) -> str:
    from app import access  # noqa: PLC0415 - after the environment is set
    from domain.access import KeyScope  # noqa: PLC0415

    return access.create_key("bidder", [KeyScope.READ], "test", brand_id=options.get("brand"))[1]


def test_follower_has_what_may_serve_after_toggles_edits_and_spend(world: World, browse: Browse) -> None:
    brand = world.brand(daily=10 * UNIT)
    campaign = world.campaign(brand, platform="meta_ads", external_id="9")
    with browse() as client, Follower(str(client.base_url), _key(), max_stale_seconds=60) as follower:
        eventually(lambda: follower.may_serve("meta_ads", "9"))
        assert follower.headroom_micros(campaign) == 10 * UNIT
        world.spend(campaign, 4 * UNIT)
        eventually(lambda: follower.headroom_micros(campaign) == 6 * UNIT)
        world.set_status(campaign, "paused")
        eventually(lambda: not follower.may_serve("meta_ads", "9"))
        world.set_status(campaign, "enabled")
        other = world.campaign(brand)
        eventually(lambda: follower.serving().keys() == {campaign, other})
        eventually(lambda: follower.age_seconds() < 60)
