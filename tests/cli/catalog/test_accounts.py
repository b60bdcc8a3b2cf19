"""`spendgate account` and `spendgate campaign move`."""

from pathlib import Path

from tests.cli.catalog.test_consent import in_terminal
from tests.cli.conftest import Spendgate
from tests.world import UNIT, World

NAMED = {"platform": "google_ads", "external_id": "123"}


def test_account_commands_create_bind_and_list_accounts(world: World, spendgate: Spendgate) -> None:
    first, second = world.brand(), world.brand()
    made = spendgate("account", "add", "google_ads", "555", "--brand", str(first), "--json").data["account"]
    assert spendgate("account", "bind", str(made), "--brand", str(second)).code == 0
    result = spendgate(
        "campaign", "create", "Sale", "--brand", str(second), "--platform", "google_ads", "--account", "555"
    )
    assert result.code == 0
    spendgate("campaign", "create", "Own", "--brand", str(second), "--platform", "google_ads")
    rows = spendgate("account", "list", "--json").data
    assert [(row["account_id"], row["brand_ids"]) for row in rows] == [("555", [first, second]), (None, [second])]
    assert f"default of brand {second}" in spendgate("account", "list").out
    again = spendgate("account", "add", "google_ads", "555")
    assert (again.code, "is known already" in again.err) == (2, True)


def test_commands_take_a_platform_in_every_spelling(world: World, spendgate: Spendgate, tmp_path: Path) -> None:
    brand = str(world.brand())
    assert "google_ads 555" in spendgate("account", "add", "Google", "555", "--brand", brand).out
    assert spendgate("account", "add", "adwords", "555").code == 2
    named = ("--platform", "google", "--external-id", "123", "--account", "555", "--brand", brand)
    assert spendgate("campaign", "create", "Sale", *named).code == 0
    assert world.one("SELECT platform FROM campaigns")["platform"] == "google_ads"
    for spelling in ("google", "Google Ads", "AdWords", "google_ads"):
        assert spendgate("explain", f"{spelling}:123", "--json").data["campaign_id"] == 1
        file = tmp_path / "export.csv"
        file.write_text("campaign_id,date,cost_micros\n123,2026-06-01,5000000\n")
        assert spendgate("import", str(file), "--platform", spelling).code == 0
    assert world.spent(1, "2026-06-01") == 5_000_000
    world.verify()


def test_campaign_move_shows_a_dry_run_and_moves_with_yes(world: World, spendgate: Spendgate) -> None:
    first, second = world.brand(), world.brand()
    old = world.campaign(first, **NAMED)
    move = ("campaign", "move", str(old), "--to-brand", str(second))
    shown = spendgate(*move, "--dry-run")
    assert f"a new campaign of brand {second} counts spend from" in shown.out
    assert "nothing was changed yet" in shown.out
    asked = spendgate(*move)
    assert (asked.code, "--yes" in asked.err) == (2, True)
    stops = f"stops 1 campaign: {old}"
    assert (stops in shown.out, stops in asked.err) == (True, True)
    code, output = in_terminal("n", *move)
    assert (code, stops in output, "Make this edit?" in output) == (1, True, True)
    assert len(world.rows("SELECT FROM campaigns")) == 1
    done = spendgate(*move, "--yes", "--json").data
    assert (done["campaign_id"], done["to_brand_id"], done["dry_run"]) == (old, second, False)
    assert spendgate("explain", "google_ads:123", "--json").data["campaign_id"] == done["new_campaign_id"]


def test_explain_lists_the_campaigns_of_an_ambiguous_external_id(world: World, spendgate: Spendgate) -> None:
    campaigns = [world.campaign(world.brand(), **NAMED) for _ in range(2)]
    result = spendgate("explain", "google_ads:123")
    assert result.code == 2
    assert f"campaigns {campaigns[0]}, {campaigns[1]}" in result.err


def test_account_identify_lets_spend_name_a_default_account(world: World, spendgate: Spendgate, tmp_path: Path) -> None:
    first, second = (world.campaign(world.brand("UTC"), **NAMED) for _ in range(2))
    file = tmp_path / "export.csv"
    file.write_text("campaign_id,date,cost_micros\n123,2026-06-01,5000000\n")
    command = ("import", str(file), "--platform", "google_ads")
    assert spendgate(*command, "--json").data["rejected"] == 1
    account = spendgate("account", "list", "--json").data[1]["id"]
    assert spendgate("account", "identify", str(account), "555").code == 0
    assert spendgate("account", "identify", str(account), "556").code == 2
    assert spendgate("account", "identify", str(account - 1), "555").code == 2
    assert spendgate(*command, "--account", "555", "--json").data["taken"] == 1
    assert (world.spent(first), world.spent(second)) == (0, 5 * UNIT)
    third = world.campaign(world.brand_of(second), **NAMED)
    assert len(world.rows("SELECT FROM platform_accounts")) == 3
    assert world.spent(third) == 0


def test_import_creates_campaigns_in_the_account_it_names(world: World, spendgate: Spendgate, tmp_path: Path) -> None:
    world.campaign(world.brand("UTC"), **NAMED)
    brand = world.brand("UTC", name="Shop")
    spendgate("account", "add", "google_ads", "555", "--brand", str(brand))
    file = tmp_path / "export.csv"
    file.write_text("campaign_id,date,cost_micros\n123,2026-06-01,5000000\n")
    result = spendgate(
        "import",
        str(file),
        "--platform",
        "google_ads",
        "--account",
        "555",
        "--create-campaigns",
        "--brand",
        "Shop",
        "--json",
    )
    assert (result.data["campaigns_made"], result.data["taken"]) == (1, 1)
    assert (
        world.one("SELECT sum(spent_micros)::bigint AS spent FROM brand_days WHERE brand_id = %s", brand)["spent"]
        == 5 * UNIT
    )
