"""The largest value of each setting stops neither counting nor a scheduled job."""

from datetime import datetime

import pytest

from db.engine import engine
from runtime.settings import settings
from tests.runtime.test_settings import NUMBERS, bounds, variable_of
from tests.world import World
from workers.actors.schedule import maintain_ledger, refresh_spend, reset_daily_budgets

CHECKED = sorted({*NUMBERS} - {"clock_speed"})
"""A driven clock is for embedded servers only."""


@pytest.mark.parametrize("name", CHECKED)
def test_largest_value_of_a_setting_stops_no_spend_and_no_job(
    world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(variable_of(name), str(int(bounds(name)["le"])))
    settings.cache_clear()
    engine().dispose()
    engine.cache_clear()
    world.set_clock(noon)
    campaign = world.campaign(world.brand(daily=10))
    world.spend(campaign, 5, source="any", sequence=1)
    world.spend(campaign, 5, source="any", sequence=3)
    for job in (reset_daily_budgets, refresh_spend, maintain_ledger):
        job()
    assert world.holds(campaign) == {"brand_daily_budget"}
