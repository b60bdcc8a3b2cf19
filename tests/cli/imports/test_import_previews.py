"""`spendgate import` at a terminal and for programs: previews, questions, consent, skipped rows; `imports` and undo."""

import csv
from pathlib import Path

import pytest

from tests.cli.catalog.test_consent import in_terminal
from tests.cli.conftest import Spendgate
from tests.cli.shell import shell
from tests.world import UNIT, World

HEADER = "campaign_id,date,spend"


@pytest.fixture
def campaign(world: World) -> int:
    """Campaign 7 of Meta."""
    return world.campaign(world.brand(zone="UTC"), platform="meta_ads", external_id="7")


def written(folder: Path, *lines: str, name: str = "report.csv") -> str:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def test_the_preview_says_what_each_column_is_and_what_changes(
    world: World, spendgate: Spendgate, campaign: int, tmp_path: Path
) -> None:
    file = written(tmp_path, HEADER, "7,2026-06-01,12.50", "new,2026-06-02,1.00")
    told = spendgate("import", file, "--platform", "meta_ads", "--dry-run")
    assert told.code == 0, told
    for line in (
        "spend        spend     its heading",
        "currency units",
        "2026-06-01 to 2026-06-02, 2 days",
        "1 known, 1 new (new)",
        "1 total new, +$12.50; 1 total of campaigns that are not known, $1.00",
        "the file's time of change",
    ):
        assert line in told.out, told.out
    assert world.rows("SELECT FROM reported_totals") == []


def test_a_person_is_asked_and_a_no_changes_nothing(world: World, campaign: int, tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, "7,2026-06-01,12.50")
    code, told = in_terminal("n", "import", file, "--platform", "meta_ads")
    assert (code, world.spent(campaign)) == (1, 0)
    assert "Import it?" in told
    assert "Nothing was changed." in told
    code, _ = in_terminal("y", "import", file, "--platform", "meta_ads")
    assert (code, world.spent(campaign)) == (0, 12_500_000)


def test_what_the_file_does_not_prove_is_asked_with_the_sums_of_each_reading(
    world: World, campaign: int, tmp_path: Path
) -> None:
    file = written(tmp_path, "campaign_id,date,spend", "7,06/05/2026,12.50", "7,06/07/2026,1.00")
    told = shell("import", file, "--platform", "meta_ads")
    assert told.code == 2
    assert "--day-order day_first" in told.err
    assert "--day-order month_first" in told.err
    code, asked = in_terminal("1\ny", "import", file, "--platform", "meta_ads")
    assert code == 0, asked
    assert "13.50, 2026-05-06 to 2026-07-06" in asked
    assert world.spent(campaign, "2026-05-06") == 12_500_000


def test_a_total_that_falls_wants_yes_and_is_shown(
    world: World, spendgate: Spendgate, campaign: int, tmp_path: Path
) -> None:
    first = written(tmp_path, HEADER, "7,2026-06-01,60.00", name="10.csv")
    second = written(tmp_path, HEADER, "7,2026-06-01,15.00", name="11.csv")
    options = ("--platform", "meta_ads")
    assert spendgate("import", first, *options, "--as-of", "2026-06-02T10:00Z").code == 0
    told = spendgate("import", second, *options, "--as-of", "2026-06-02T11:00Z")
    assert told.code == 2
    assert "$60.00 → $15.00" in told.err
    assert world.spent(campaign) == 60 * UNIT
    dry = spendgate("import", second, *options, "--as-of", "2026-06-02T11:00Z", "--dry-run", "--json")
    assert (dry.code, dry.data["changes"]["fallen"], len(dry.data["concerns"])) == (0, 1, 1)
    assert spendgate("import", second, *options, "--as-of", "2026-06-02T11:00Z", "--yes").code == 0
    assert world.spent(campaign) == 15 * UNIT
    world.verify()


def test_rows_left_out_are_in_a_file_that_the_output_names(
    world: World, spendgate: Spendgate, campaign: int, tmp_path: Path
) -> None:
    file = written(tmp_path, HEADER, "7,2026-06-01, =free", "7,2026-06-02,2.50", "404,2026-06-02,1.00")
    told = spendgate("import", file, "--platform", "meta_ads")
    assert told.code == 1
    beside = tmp_path / "report.csv.skipped.csv"
    assert str(beside) in told.err
    with beside.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["line"], row["cell"]) for row in rows] == [("2", "' =free"), ("0", "404 2026-06-02")]
    assert rows[1]["reason"].startswith("unknown_campaign")
    named = tmp_path / "elsewhere.csv"
    again = spendgate("import", file, "--platform", "meta_ads", "--skipped", str(named), "--json")
    assert (again.code, again.data["skipped_in"]) == (1, str(named))
    left_out = [(row["line"], row["cell"]) for row in again.data["left_out"]]
    assert left_out == [(2, " =free"), (None, "404 2026-06-02")]
    assert named.read_text() == beside.read_text()


def test_a_dry_run_leaves_no_file_behind(spendgate: Spendgate, campaign: int, tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, "7,2026-06-01,free", "7,2026-06-02,2.50")
    assert spendgate("import", file, "--platform", "meta_ads", "--dry-run").code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]


def test_a_clean_import_leaves_no_file_behind(spendgate: Spendgate, campaign: int, tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, "7,2026-06-02,2.50")
    assert spendgate("import", file, "--platform", "meta_ads").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]


def test_a_file_with_proper_totals_rows_exits_0(spendgate: Spendgate, campaign: int, tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, "7,2026-06-01,2.00", "7,2026-06-02,2.50", "Total,,4.50")
    told = spendgate("import", file, "--platform", "meta_ads", "--json")
    assert told.code == 0, told
    assert "agree" in told.data["totals_rows"]


def test_a_file_of_headings_alone_is_no_success(spendgate: Spendgate, campaign: int, tmp_path: Path) -> None:
    told = spendgate("import", written(tmp_path, HEADER), "--platform", "meta_ads", "--json")
    assert told.code == 1
    assert told.data["warnings"]


def test_a_dry_run_needs_no_database(tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, "7,2026-06-01,2.50")
    told = shell(
        "import",
        file,
        "--platform",
        "meta_ads",
        "--dry-run",
        env={"DATABASE_URL": None, "SPENDGATE_HOME": str(tmp_path)},
    )
    assert told.code == 0, told
    assert "No database answers here" in told.out
    assert "2.50 in all" in told.out


def test_imports_are_listed_shown_and_undone(world: World, spendgate: Spendgate, campaign: int, tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, "7,2026-06-01,free", "7,2026-06-02,2.50")
    imported = spendgate("import", file, "--platform", "meta_ads", "--json").data
    number = str(imported["import_id"])
    (listed,) = spendgate("imports", "list", "--json").data
    assert (listed["file_name"], listed["sha256"], listed["rows"]) == ("report.csv", imported["sha256"], 2)
    assert "report.csv" in spendgate("imports", "list").out
    shown = spendgate("imports", "show", number, "--json").data
    assert [(row["line"], row["cell"]) for row in shown["skipped"]] == [(2, "free")]
    assert "free" in spendgate("imports", "show", number).out
    refused = spendgate("imports", "undo", number)
    assert refused.code == 2
    assert refused.err.startswith("--yes: add --yes")
    assert "nothing was changed" in spendgate("imports", "undo", number, "--dry-run").out
    assert world.spent(campaign) == 2_500_000
    assert "Put back 1 total" in spendgate("imports", "undo", number, "--yes").out
    assert world.spent(campaign) == 0
    again = spendgate("imports", "undo", number, "--yes")
    assert (again.code, again.err.count("\n")) == (2, 1)
    world.verify()


def test_an_import_that_is_not_there_is_named(spendgate: Spendgate) -> None:
    for command in (("show", "404"), ("undo", "404", "--yes"), ("show", "-1")):
        told = spendgate("imports", *command)
        assert told.code == 2, told
