"""Files of the spend folder whose content was imported before, under another name, undone, or restated back."""

import os
from datetime import datetime, timedelta
from typing import Any

from app.imports.intake.undo import undo
from db.repository.access.audit import Edit
from tests.app.imports.folder_kit import LONG_AGO, Folder
from tests.kit import lines
from tests.world import UNIT, World

A, B = "7,2026-06-17,1\n", "7,2026-06-17,1.05\n"
LATER, LATEST = LONG_AGO + timedelta(seconds=1), LONG_AGO + timedelta(days=1)


def spent(world: World, campaign: int) -> float:
    return world.spent(campaign) / UNIT


def problem(world: World) -> str:
    """The problem of the only file that has one; empty if none has."""
    found = world.rows("SELECT problem FROM spend_files WHERE problem IS NOT NULL")
    return str(found[0]["problem"]) if found else ""


def known(logged: list[Any]) -> list[int]:
    """How many totals of each known content differ from the known figures."""
    return [line["differing"] for line in lines(logged, "export.known")]


def touch(folder: Folder, name: str, at: datetime) -> None:
    os.utime(folder.path / name, (at.timestamp(),) * 2)


def undo_last(world: World, folder: Folder) -> None:
    import_id = world.one("SELECT max(id) AS id FROM imports")["id"]
    undo(import_id, Edit("user:ops@example.com", folder.at))


def test_same_content_under_another_name_and_time_is_logged_and_not_imported(
    world: World, folder: Folder, campaign: int
) -> None:
    folder.write("meta_ads/a.csv", A)
    folder.look()
    folder.write("meta_ads/b.csv", B, LATER)
    folder.look(300)
    folder.write("meta_ads/copy.csv", A, LATEST)
    logged = folder.look(300)
    assert (known(logged), lines(logged, "export.imported")) == ([1], [])
    assert (spent(world, campaign), problem(world)) == (1.05, "")
    assert len(world.rows("SELECT FROM imports")) == 2
    assert folder.look(300) == []


def test_touched_file_is_known_and_asks_nobody(world: World, folder: Folder, campaign: int) -> None:
    folder.write("meta_ads/a.csv", A)
    folder.look()
    touch(folder, "meta_ads/a.csv", LATEST)
    folder.look(300)
    assert (known(folder.look(300)), problem(world), spent(world, campaign)) == ([0], "", 1)


# --- restated back


def restate_back(folder: Folder, at: datetime = LATEST) -> list[Any]:
    """Imports A, then B, then has A again at the same path."""
    folder.replace("meta_ads/a.csv", A)
    folder.look()
    folder.replace("meta_ads/a.csv", B, LATER)
    folder.look(300)
    folder.replace("meta_ads/a.csv", A, at)
    return folder.look(300)


def test_report_that_is_restated_back_is_listed_with_both_readings(world: World, folder: Folder, campaign: int) -> None:
    assert len(lines(restate_back(folder), "export.unreadable")) == 1
    assert "other figures of 1 total are known since: it is a copy of the old file, or its figures" in problem(world)
    assert (spent(world, campaign), folder.look(300)) == (1.05, [])
    (folder.path / "meta_ads/spendgate.toml").write_text("restated = true\n")
    folder.look(300)
    assert (spent(world, campaign), problem(world)) == (1, "")
    world.verify()


def test_older_report_at_the_path_of_a_newer_one_is_known(world: World, folder: Folder, campaign: int) -> None:
    assert known(restate_back(folder, LONG_AGO)) == [0]
    assert (spent(world, campaign), problem(world)) == (1.05, "")


def test_report_that_is_restated_back_may_be_allowed_beforehand(world: World, folder: Folder, campaign: int) -> None:
    (folder.path / "meta_ads").mkdir()
    (folder.path / "meta_ads/spendgate.toml").write_text("restated = true\n")
    assert len(lines(restate_back(folder), "export.imported")) == 1
    assert spent(world, campaign) == 1


def test_restated_total_that_falls_still_needs_consent(world: World, folder: Folder, campaign: int) -> None:
    (folder.path / "meta_ads").mkdir()
    (folder.path / "meta_ads/spendgate.toml").write_text("restated = true\n")
    for text, at in ((A, LONG_AGO), ("7,2026-06-17,9\n", LATER), (A, LATEST)):
        folder.replace("meta_ads/a.csv", text, at)
        folder.look(300)
    assert "falls by more than a tenth" in problem(world)
    assert spent(world, campaign) == 9


# --- undone


def test_undone_import_is_not_taken_in_again_and_is_listed(world: World, folder: Folder, campaign: int) -> None:
    folder.write("meta_ads/a.csv", A)
    folder.look()
    undo_last(world, folder)
    assert folder.look(300) == []
    touch(folder, "meta_ads/a.csv", LATEST)
    folder.look(300)
    folder.look(300)
    assert (spent(world, campaign), len(world.rows("SELECT FROM imports"))) == (0, 1)
    assert "has the content of import 1, which user:ops@example.com undid" in problem(world)
    world.verify()


def test_undone_import_is_taken_in_again_under_other_options(world: World, folder: Folder, campaign: int) -> None:
    options = folder.path / "meta_ads/spendgate.toml"
    folder.write("meta_ads/a.csv", "7,2026-06-17,1500000\n")
    options.write_text('unit = "currency"\n')
    folder.look()
    assert spent(world, campaign) == 1_500_000
    undo_last(world, folder)
    options.write_text('unit = "micros"\n')
    folder.look(300)
    assert (spent(world, campaign), problem(world), folder.look(300)) == (1.5, "", [])
    undo_last(world, folder)
    options.write_text('unit = "currency"\n')
    folder.look(300)
    assert (spent(world, campaign), "undid" in problem(world)) == (0, True)
    world.verify()


def test_undone_file_that_is_dropped_again_under_other_options_is_taken_in(
    world: World, folder: Folder, campaign: int
) -> None:
    path = folder.write("meta_ads/a.csv", "7,2026-06-17,1500000\n")
    (folder.path / "meta_ads/spendgate.toml").write_text('unit = "currency"\n')
    folder.look()
    undo_last(world, folder)
    path.unlink()
    folder.look(300)
    (folder.path / "meta_ads/spendgate.toml").write_text('unit = "micros"\n')
    folder.write("meta_ads/b.csv", "7,2026-06-17,1500000\n", LATEST)
    folder.look(300)
    assert spent(world, campaign) == 1.5


def test_other_options_alone_read_no_imported_file_again(world: World, folder: Folder, campaign: int) -> None:
    folder.write("meta_ads/a.csv", A)
    folder.look()
    (folder.path / "meta_ads/spendgate.toml").write_text('unit = "micros"\n')
    assert (folder.look(300), spent(world, campaign)) == ([], 1)
