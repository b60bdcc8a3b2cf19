"""`spendgate import`: real exports of ad platforms, counted to the micro; bad rows named by their line."""

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from runtime.settings import settings
from tests.cli.conftest import Spendgate
from tests.cli.shell import REPOSITORY, shell
from tests.world import UNIT, World

NEW_BRAND = ("--create-campaigns", "--brand", "Imported")
BRAND = (*NEW_BRAND, "--time-zone", "UTC", "--currency", "USD")


@pytest.fixture(autouse=True)
def _totals_of_2021(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real exports are older than totals may be by default."""
    monkeypatch.setenv("SPENDGATE_MAX_TOTAL_AGE_DAYS", "36500")
    settings.cache_clear()


@pytest.fixture(scope="module")
def data() -> Path:
    """The folder with the real exports, which are not a part of the project."""
    named = os.environ.get("SPENDGATE_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the real exports are missing in {folder}; set SPENDGATE_TEST_DATA")
        pytest.skip(f"no real exports in {folder}")
    return folder


@dataclass(frozen=True)
class RealExport:
    """A file, its own column names, and the figures its publisher's data are known to have."""

    file: str
    platform: str
    campaign: str
    spend: str
    micros_per_unit: int
    sum_micros: int
    campaigns: int
    campaign_days: int

    def totals(self, folder: Path) -> dict[tuple[str, str], int]:
        """Micros by campaign and day, by the file alone."""
        sums: dict[tuple[str, str], Decimal] = {}
        with (folder / self.file).open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.DictReader(lines):
                key = row[self.campaign], row["date"][:10]
                sums[key] = sums.get(key, Decimal(0)) + Decimal(row[self.spend]) * self.micros_per_unit
        return {key: int(micros) for key, micros in sums.items()}


MICROSOFT = RealExport(
    "microsoft_ads_campaign_performance_daily_report.csv",
    "microsoft_ads", "campaign_id", "spend", UNIT, 946_340_000, 3, 403,
)  # fmt: skip
GOOGLE = RealExport("google_ads_campaign_stats.csv", "google_ads", "id", "cost_micros", 1, 231_330_000, 1, 16)
SNAPCHAT = RealExport("snapchat_ad_hourly_report.csv", "snapchat_ads", "ad_id", "spend", 1, 2_513_448_305, 18, 70)

each_real_export = pytest.mark.parametrize("export", [MICROSOFT, GOOGLE, SNAPCHAT], ids=lambda export: export.platform)


def counters(world: World) -> dict[tuple[str, str], int]:
    rows = world.rows(
        "SELECT external_id, day, spent_micros FROM campaign_days"
        " JOIN campaigns ON campaigns.brand_id = campaign_days.brand_id AND id = campaign_id"
    )
    return {(row["external_id"], str(row["day"])): row["spent_micros"] for row in rows}


def brand_counters(world: World) -> dict[str, int]:
    return {str(row["day"]): row["spent_micros"] for row in world.rows("SELECT day, spent_micros FROM brand_days")}


def by_day(totals: Mapping[tuple[str, str], int]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for (_, day), micros in totals.items():
        sums[day] = sums.get(day, 0) + micros
    return sums


def ledger(world: World) -> list[dict[str, object]]:
    return world.rows("SELECT * FROM spend_events ORDER BY event_id")


@each_real_export
def test_counters_equal_the_files_own_sums_to_the_micro(
    world: World, spendgate: Spendgate, data: Path, export: RealExport
) -> None:
    totals = export.totals(data)
    told = spendgate("import", str(data / export.file), "--platform", export.platform, *BRAND, "--json")
    assert told.code == 0, told
    assert counters(world) == totals
    assert brand_counters(world) == by_day(totals)
    assert sum(counters(world).values()) == export.sum_micros == told.data["sum_micros"]
    assert len({campaign for campaign, _ in totals}) == export.campaigns == told.data["campaigns_made"]
    assert len(totals) == export.campaign_days == told.data["totals"] == told.data["taken"]
    assert told.data["days"] == len(by_day(totals))
    assert told.data["bad_rows"] == []
    world.verify()


def test_the_microsoft_export_spans_238_days(world: World, spendgate: Spendgate, data: Path) -> None:
    spendgate("import", str(data / MICROSOFT.file), "--platform", "microsoft_ads", *BRAND)
    assert len(brand_counters(world)) == 238


@each_real_export
def test_importing_a_file_again_changes_nothing(
    world: World, spendgate: Spendgate, data: Path, export: RealExport
) -> None:
    command = ("import", str(data / export.file), "--platform", export.platform, *BRAND, "--json")
    at = world.set_clock("2026-06-17T12:00:00Z")
    assert spendgate(*command).code == 0
    first = ledger(world), counters(world), brand_counters(world)
    same = spendgate(*command)
    assert (same.data["taken"], same.data["nothing_new"]) == (0, export.campaign_days)
    later = spendgate(*command, "--as-of", at.replace(minute=1).isoformat())
    assert (same.code, later.code, later.data["campaigns_made"]) == (0, 0, 0)
    assert (ledger(world), counters(world), brand_counters(world)) == first
    world.verify()


def written(folder: Path, *lines: str, name: str = "export.csv") -> str:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


HEADER = "campaign_id,date,spend"


def test_a_dry_run_says_what_a_file_holds_and_changes_nothing(
    world: World, spendgate: Spendgate, tmp_path: Path
) -> None:
    file = written(tmp_path, HEADER, "a,2026-06-01,1.25", "a,2026-06-01,0.75", "b,2026-06-02,3")
    told = spendgate("import", file, "--platform", "bing", *BRAND, "--dry-run", "--json")
    assert told.code == 0
    assert told.data | {"taken": 0, "campaigns_made": 0, "dry_run": True} == told.data
    assert (told.data["rows"], told.data["totals"], told.data["sum_micros"]) == (3, 2, 5 * UNIT)
    for table in ("brands", "campaigns", "spend_events", "reported_totals", "rejected_events", "audit_entries"):
        assert world.rows(f"SELECT FROM {table}") == []
    assert "nothing was changed" in spendgate("import", file, "--platform", "bing", "--dry-run").out


def test_a_person_reads_what_was_imported(world: World, spendgate: Spendgate, tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, "a,2026-06-01,1.25")
    told = spendgate("import", file, "--platform", "bing", *BRAND)
    assert "1 rows: 1 campaigns, 1 days, 1 totals, $1.25 in all" in told.out
    assert "1 campaigns created, 1 totals counted" in told.out


def test_without_the_columns_it_names_those_that_are_there(tmp_path: Path) -> None:
    file = written(tmp_path, "Wer;Wann;Wieviel", "a;2026-06-01;1")
    told = shell("import", file, "--platform", "microsoft_ads")
    assert told.code == 2
    assert told.err.startswith("file: needs a campaign id, a day and a cost")
    assert told.err.count("\n") == 1
    assert "it has Wer, Wann, Wieviel" in told.err


def test_bad_rows_are_listed_by_line_and_their_day_is_not_counted(
    world: World, spendgate: Spendgate, tmp_path: Path
) -> None:
    file = written(
        tmp_path, HEADER,
        "a,2026-06-01,1", "a,2026-06-01,free", "", "a,2026-06-02,2",
        "a,yesterday,3", ",2026-06-02,4", "a,2026-06-03,nan",
    )  # fmt: skip
    told = spendgate("import", file, "--platform", "bing", *BRAND)
    assert told.code == 1
    for line, about in ((3, "'free'"), (6, "'yesterday'"), (7, "campaign"), (8, "'nan'")):
        assert any(row.startswith(f"line {line} ") and about in row for row in told.err.splitlines()), told.err
    assert counters(world) == {("a", "2026-06-02"): 2 * UNIT}
    world.verify()


def test_the_line_of_a_bad_row_is_right_below_a_cell_of_several_lines(spendgate: Spendgate, tmp_path: Path) -> None:
    file = written(tmp_path, f"{HEADER},name", 'a,2026-06-01,1,"two', 'lines"', "a,2026-06-02,free,x")
    told = spendgate("import", file, "--platform", "bing", "--dry-run", "--json")
    assert [row["line"] for row in told.data["bad_rows"]] == [4]


def test_many_bad_rows_are_listed_in_part_and_all_by_json(spendgate: Spendgate, tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, *["a,2026-06-01,x"] * 30)
    told = spendgate("import", file, "--platform", "bing", "--dry-run")
    assert told.code == 1
    assert "10 more" in told.err
    assert len(spendgate("import", file, "--platform", "bing", "--dry-run", "--json").data["bad_rows"]) == 30


def test_a_restated_file_moves_each_day_to_its_new_total(world: World, spendgate: Spendgate, tmp_path: Path) -> None:
    first = written(tmp_path, HEADER, "a,2026-06-01,10", "a,2026-06-02,20", name="first.csv")
    second = written(tmp_path, HEADER, "a,2026-06-01,12.5", "a,2026-06-02,15", name="second.csv")
    for file, as_of in ((first, "2026-06-10T00:00:00Z"), (second, "2026-06-11T00:00:00Z")):
        assert spendgate("import", file, "--platform", "bing", *BRAND, "--as-of", as_of, "--yes").code == 0
    restated = {("a", "2026-06-01"): 12_500_000, ("a", "2026-06-02"): 15_000_000}
    assert counters(world) == restated
    late = spendgate("import", first, "--platform", "bing", "--as-of", "2026-06-09T00:00:00+02:00", "--json")
    assert (late.data["taken"], late.data["nothing_new"]) == (0, 2)
    assert counters(world) == restated
    world.verify()


def test_a_platform_without_a_preset_is_told_its_columns_and_unit(
    world: World, spendgate: Spendgate, tmp_path: Path
) -> None:
    file = written(tmp_path, "Wann;Wer;Centimicros", "01.06.2026;a:1;1234567", "02.06.2026;a:1;-7")
    told = spendgate(
        "import", file, "--platform", "überall", "--campaign-column", "Wer", "--date-column", "Wann",
        "--spend-column", "Centimicros", "--unit", "micros", *BRAND,
    )  # fmt: skip
    assert told.code == 0, told
    assert counters(world) == {("a:1", "2026-06-01"): 1_234_567, ("a:1", "2026-06-02"): -7}
    assert world.one("SELECT platform FROM campaigns")["platform"] == "überall"
    assert spendgate("explain", "überall:a:1", "--json").data["effective_status"] == "active"


def test_the_days_are_those_of_the_brands_zone(world: World, spendgate: Spendgate, tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, "a,2026-03-08,10")
    told = spendgate("import", file, "--platform", "bing", *BRAND, "--time-zone", "America/New_York")
    assert told.code == 0, told
    assert world.one("SELECT time_zone FROM brands")["time_zone"] == "America/New_York"
    assert counters(world) == {("a", "2026-03-08"): 10 * UNIT}
    world.verify()


def test_a_zone_that_does_not_exist_makes_nothing(world: World, spendgate: Spendgate, tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, "a,2026-03-08,10")
    told = spendgate("import", file, "--platform", "bing", *BRAND, "--time-zone", "Mars/Olympus")
    assert told.code == 2
    assert "Mars/Olympus" in told.err
    assert world.rows("SELECT FROM brands") == []


def test_campaigns_join_the_brand_that_has_the_name(world: World, spendgate: Spendgate, tmp_path: Path) -> None:
    today = world.set_clock("2026-06-01T12:00:00Z")
    brand = world.brand(name="Imported", daily=10 * UNIT)
    file = written(tmp_path, "campaign_id,date,spend,campaign_name", f"a,{today.date()},10,Alpha")
    assert spendgate("import", file, "--platform", "bing", *BRAND).code == 0
    made = world.one("SELECT * FROM campaigns")
    assert (made["brand_id"], made["name"], made["holds"]) == (brand, "Alpha", ["brand_daily_budget"])
    world.verify()


def test_unknown_campaigns_are_kept_as_rejected_unless_they_are_made(
    world: World, spendgate: Spendgate, tmp_path: Path
) -> None:
    file = written(tmp_path, HEADER, "a,2026-06-01,10")
    told = spendgate("import", file, "--platform", "bing", "--json")
    assert (told.code, told.data["taken"], told.data["rejected"]) == (1, 0, 1)
    assert [row["reason"] for row in world.rejected()] == ["unknown_campaign"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--unit", "pounds"), "--unit"),
        (("--as-of", "yesterday"), "--as-of"),
        (("--as-of", "2026-06-01T00:00:00"), "--as-of"),
        (("--as-of", "0001-01-01T00:00+14:00"), "--as-of"),
        (("--create-campaigns",), "--brand"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(
    spendgate: Spendgate, tmp_path: Path, options: tuple[str, ...], named: str
) -> None:
    told = spendgate("import", written(tmp_path, HEADER), "--platform", "bing", *options)
    assert told.code == 2
    assert told.err.startswith(f"{named}: ")
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"\n" * 100, b"\x00\xff\xfe\x00" * 100, b'"' * 300_000],
    ids=["empty", "blank lines", "bytes", "one endless cell"],
)
def test_a_file_that_is_no_export_is_refused(spendgate: Spendgate, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(content)
    told = spendgate("import", str(path), "--platform", "bing")
    assert told.code == 2
    assert told.err.startswith("file: ")
    assert told.err.count("\n") == 1


def test_the_example_of_the_project_can_be_imported(world: World, spendgate: Spendgate) -> None:
    example = str(REPOSITORY / "examples" / "google_ads.csv")
    told = spendgate("import", example, "--platform", "google_ads", *BRAND, "--json")
    assert told.code == 0, told
    assert sum(counters(world).values()) == told.data["sum_micros"] > 0


def test_a_locked_brand_is_named_when_the_others_are_counted_and_may_be_imported_later(
    world: World, spendgate: Spendgate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", "200")
    settings.cache_clear()
    free, held = world.brand(), world.brand()
    campaigns = [world.campaign(free, platform="bing", external_id="1")]
    campaigns += [world.campaign(held, platform="bing", external_id="2")]
    file = written(tmp_path, HEADER, "1,2026-06-01,5", "2,2026-06-01,7")
    with psycopg.connect(world.url) as other:
        other.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [held])
        told = spendgate("import", file, "--platform", "bing")
        assert told.code == 4
        assert told.err.startswith(f"another transaction has locked brand {held}: the spend was not counted")
        assert told.err.count("\n") == 1
        edit = spendgate("brand", "pause", str(held), "--yes")
        assert edit.code == 4
        assert edit.err.startswith("another transaction has locked rows that this command needs: run the command again")
    assert [world.spent(one) for one in campaigns] == [5 * UNIT, 0]
    assert spendgate("import", file, "--platform", "bing").code == 0
    assert [world.spent(one) for one in campaigns] == [5 * UNIT, 7 * UNIT]


def test_a_new_brand_wants_its_zone_and_currency_and_nothing_is_made_without(
    world: World, spendgate: Spendgate, tmp_path: Path
) -> None:
    bare = written(tmp_path, HEADER, "a,2026-06-01,10")
    for options, named in (
        ((), "--time-zone"),
        (("--currency", "EUR"), "--time-zone"),
        (("--time-zone", "Asia/Tokyo"), "--currency"),
        (("--time-zone", "Asia/Tokyo", "--currency", "yen"), "--currency"),
        (("--time-zone", "Mars/Olympus", "--currency", "JPY"), "time_zone"),
    ):
        told = spendgate("import", bare, "--platform", "bing", *NEW_BRAND, *options)
        assert (told.code, told.err.split(":")[0], told.err.count("\n")) == (2, named, 1)
    for table in ("brands", "campaigns", "spend_events", "rejected_events", "audit_entries"):
        assert world.rows(f"SELECT FROM {table}") == []


def test_the_files_own_currency_is_the_new_brands(world: World, spendgate: Spendgate, tmp_path: Path) -> None:
    file = written(tmp_path, f"{HEADER},currency", "a,2026-06-01,10,jpy")
    refused = spendgate("import", file, "--platform", "bing", *BRAND)
    assert (refused.code, refused.err) == (2, "file: no row is in USD: the file is in JPY\n")
    assert spendgate("import", file, "--platform", "bing", *NEW_BRAND, "--time-zone", "Asia/Tokyo").code == 0
    assert world.one("SELECT time_zone, currency FROM brands") == {"time_zone": "Asia/Tokyo", "currency": "JPY"}
    more = written(tmp_path, HEADER, "b,2026-06-01,5", name="more.csv")
    assert spendgate("import", more, "--platform", "bing", *NEW_BRAND).code == 0
    other = written(tmp_path, f"{HEADER},currency", "c,2026-06-01,5,USD", name="other.csv")
    assert spendgate("import", other, "--platform", "bing", *NEW_BRAND).code == 2
    assert len(world.rows("SELECT FROM campaigns")) == 2
