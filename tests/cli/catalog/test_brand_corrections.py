"""`spendgate brand correct`, and the notice of `brand create` about its defaults."""

from datetime import datetime

from tests.cli.conftest import Spendgate
from tests.world import UNIT, World


def test_brand_correct_shows_a_dry_run_and_corrects_with_yes(
    world: World, spendgate: Spendgate, noon: datetime
) -> None:
    world.set_clock(noon)
    brand = world.brand("UTC", daily=UNIT)
    campaign = world.campaign(brand)
    world.spend(campaign, UNIT, "2026-06-17T01:00:00Z")
    correct = ("brand", "correct", str(brand), "--time-zone", "America/New_York", "--currency", "eur")
    shown = spendgate(*correct, "--dry-run")
    assert shown.code == 0
    for words in (
        "UTC → America/New_York",
        "USD → EUR",
        "amounts are not converted",
        "2026-06-16",
        "starts 1 campaign:",
    ):
        assert words in shown.out
    assert "nothing was changed yet" in shown.out
    asked = spendgate(*correct)
    assert (asked.code, "--yes" in asked.err) == (2, True)
    assert world.one("SELECT time_zone, currency FROM brands") == {"time_zone": "UTC", "currency": "USD"}
    data = spendgate(*correct, "--yes", "--json").data
    assert (data["new"], data["starts"], data["dry_run"]) == (
        {"time_zone": "America/New_York", "currency": "EUR"},
        [campaign],
        False,
    )
    assert [row["day"] for row in data["days"]] == ["2026-06-16", "2026-06-17"]
    assert "already has America/New_York and EUR" in spendgate(*correct, "--yes").out
    assert spendgate("verify").code == 0


def test_brand_correct_refuses_missing_options_bad_values_and_unknown_brands(
    world: World, spendgate: Spendgate
) -> None:
    brand = world.brand("UTC")
    for options in ((), ("--time-zone", "Mars/Olympus"), ("--currency", "XXY")):
        result = spendgate("brand", "correct", str(brand), *options, "--yes")
        assert (result.code, result.err.count("\n")) == (2, 1)
    assert spendgate("brand", "correct", str(brand + 1), "--time-zone", "UTC", "--yes").code == 2


def test_brand_create_names_the_defaults_it_used(world: World, spendgate: Spendgate) -> None:
    assert "UTC and USD by default; the first spend fixes" in spendgate("brand", "create", "Plain").out
    half = spendgate("brand", "create", "Half", "--time-zone", "Asia/Tokyo", "--json").data
    assert half["notice"].startswith("USD by default")
    full = spendgate("brand", "create", "Full", "--time-zone", "Asia/Tokyo", "--currency", "JPY", "--json").data
    assert set(full) == {"brand_id"}
    assert len(world.rows("SELECT FROM brands")) == 3
