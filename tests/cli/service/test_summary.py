"""The demo ends with a summary of each brand."""

import pytest

from cli.service import summary
from tests.world import UNIT, World


def test_print_summaries_shows_spend_limits_pauses_and_overspend_within_80_columns(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.set_clock("2026-10-31T12:00:00Z")
    brand = world.brand("Europe/Berlin", currency="EUR", name="Kreuzberg Kaffee", daily=10 * UNIT)
    campaign = world.campaign(brand, name="Mornings", monthly=500 * UNIT)
    world.brand(name="Idle [brand]")
    world.spend(campaign, 12 * UNIT)
    world.set_clock("2026-11-01T12:00:00Z")
    world.tick()
    world.spend(campaign, 11 * UNIT)
    world.set_status(campaign, "paused")
    capsys.readouterr()
    summary.print_summaries()
    output = capsys.readouterr().out
    assert max(map(len, output.splitlines())) <= 80
    for words in (
        "Kreuzberg Kaffee, 2026-10-31 to 2026-11-01 (Europe/Berlin)",
        "spent      €23.00",
        "limit      €10.00 a day, all campaigns",
        "limit      €500.00 a month, Mornings",
        "paused     2 times",
        "2× the brand's daily budget is spent",
        "overspent  €3.00 in 2 budget periods, at most €2.00 in one",
        "Idle [brand], nothing spent",
        "overspent  never",
    ):
        assert words in output, output
