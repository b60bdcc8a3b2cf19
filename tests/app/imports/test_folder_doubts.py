"""Files of the spend folder whose reading is in doubt: listed with the option that accepts it, and not imported."""

import os
from typing import Any

import pytest

from tests.app.imports.folder_kit import LONG_AGO, Folder
from tests.kit import lines
from tests.world import UNIT, World

ROWS = {
    "few_hours": "7,2026-06-17 10:00:00,1\n",
    "days_apart": "7,2026-06-01,1\n7,2026-06-08,1\n7,2026-06-15,1\n",
    "other_platform": "campaign.id,segments.date,metrics.cost_micros,customer.currency_code\n7,2026-06-17,1000000,USD\n",
    "unknown_zone": "Report time zone: Atlantis Time\n\ncampaign_id,date,spend\n7,2026-06-17,1.00\n",
    "outside_range": '"June 1, 2026 - June 3, 2026"\n\ncampaign_id,date,spend\n7,2026-06-17,1.00\n',
    "several_rows": "campaign_id,date,spend,impressions\n7,2026-06-17,0.4,1\n7,2026-06-17,0.6,2\n",
}


def put(folder: Folder, text: str) -> None:
    """Writes a file of Meta, as it stands if it has headings of its own."""
    path = folder.write("meta_ads/a.csv", text)
    if "campaign" in text:
        path.write_text(text)
        os.utime(path, (LONG_AGO.timestamp(),) * 2)


def problem(world: World) -> str:
    return str(world.one("SELECT problem FROM spend_files")["problem"] or "")


def import_ready(folder: Folder) -> list[Any]:
    """The lines logged until the file is imported or listed."""
    return [*folder.look(300), *folder.look(300)]


@pytest.mark.parametrize("code", ROWS)
def test_doubtful_file_is_listed_until_its_doubt_is_accepted(
    world: World, folder: Folder, campaign: int, code: str
) -> None:
    put(folder, ROWS[code])
    assert [line["reason"] for line in lines(import_ready(folder), "export.unreadable")] == ["needs_consent"]
    assert f'accept = ["{code}"] in spendgate.toml' in problem(world)
    assert world.rows("SELECT FROM spend_events") == []
    (folder.path / "meta_ads/spendgate.toml").write_text(f'accept = ["{code}"]\n')
    logged = lines(import_ready(folder), "export.imported")
    assert [code in line["warnings"] for line in logged] == [True]
    assert (problem(world), world.spent(campaign) > 0) == ("", True)


def test_accepted_doubt_accepts_no_other(world: World, folder: Folder, campaign: int) -> None:
    put(folder, ROWS["few_hours"])
    (folder.path / "meta_ads/spendgate.toml").write_text('accept = ["days_apart"]\n')
    import_ready(folder)
    assert (world.spent(campaign), "few_hours" in problem(world)) == (0, True)
    (folder.path / "meta_ads/spendgate.toml").write_text('accept = ["hours"]\n')
    import_ready(folder)
    assert "accept cannot be ['hours']" in problem(world)


def test_later_hour_of_a_day_does_not_replace_the_earlier_one(world: World, folder: Folder, campaign: int) -> None:
    for hour, spend in ((10, 60), (11, 75)):
        folder.write(f"meta_ads/{hour}.csv", f"7,2026-06-17 {hour}:00:00,{spend}\n")
    import_ready(folder)
    assert world.spent(campaign) == 0
    assert len(world.rows("SELECT FROM spend_files WHERE problem IS NOT NULL")) == 2


def test_harmless_warnings_are_logged_with_the_import(world: World, folder: Folder, campaign: int) -> None:
    put(folder, "campaign_id,date,spend,device\n7,2026-06-17,1,Mobile\n7,2026-06-17,2,Web\n7,2026-06-17,3,Total\n")
    (told,) = lines(import_ready(folder), "export.imported")
    assert (told["warnings"], world.spent(campaign)) == (["rows_of_sums"], 3 * UNIT)


@pytest.mark.parametrize(("choice", "spent"), [("same_day", 0), ("next_day", 2)])
def test_midnights_of_a_zone_east_of_utc_are_asked_about(
    world: World, folder: Folder, campaign: int, choice: str, spent: int
) -> None:
    put(folder, "7,2026-06-15 22:00:00,1\n7,2026-06-16 22:00:00,2\n")
    import_ready(folder)
    assert "evening_times = 'same_day': times are of the written day" in problem(world)
    assert "evening_times = 'next_day'" in problem(world)
    (folder.path / "meta_ads/spendgate.toml").write_text(f'evening_times = "{choice}"\n')
    import_ready(folder)
    assert world.spent(campaign, "2026-06-17") / UNIT == spent
    world.verify()
