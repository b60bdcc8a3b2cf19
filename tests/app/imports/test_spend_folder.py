"""Exports in the spend folder: imported when they are complete, whatever else lies there, and never read otherwise."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any

import psycopg
import pytest
import structlog

from app.imports import folder_imports
from app.imports.answers import Reading
from app.imports.intake import commit
from app.imports.reading import read_file
from app.imports.spend_folder import LastScan, SpendFile, Version, is_complete
from db.repository.imports import spend_files
from runtime import clock
from runtime.settings import settings
from tests.app.imports.folder_kit import HEADER, LONG_AGO, Folder
from tests.kit import lines, wait_for_locks
from tests.world import UNIT, World
from web.metrics import metrics
from workers.actors.schedule import import_exports, refresh_spend

QUIET = timedelta(seconds=60)


def spent(world: World, campaign: int) -> float:
    return world.spent(campaign) / UNIT


def named(logged: list[Any], event: str) -> list[str]:
    return [Path(line["file"]).name for line in lines(logged, event)]


# --- which files are taken


def test_takes_in_an_export_and_enforces(world: World, folder: Folder, campaign: int) -> None:
    folder.write("meta_ads/june.csv", "7,2026-06-17,2\n7,2026-06-16,1\n404,2026-06-16,1\n")
    folder.look()
    assert (spent(world, campaign), world.holds(campaign)) == (3, {"brand_daily_budget"})
    assert [row["reason"] for row in world.rejected()] == ["unknown_campaign"]
    world.verify()


def test_reads_a_file_again_only_when_it_changed(world: World, folder: Folder, campaign: int) -> None:
    folder.write("meta_ads/june.csv", "7,2026-06-17,1\n")
    assert named(folder.look(), "export.imported") == ["june.csv"]
    assert named(folder.look(300), "export.imported") == []
    folder.replace("meta_ads/june.csv", "7,2026-06-17,1.5\n", LONG_AGO + timedelta(seconds=1))
    assert named(folder.look(300), "export.imported") == ["june.csv"]
    assert spent(world, campaign) == 1.5
    world.verify()


@pytest.mark.parametrize("name", ["UPPER.CSV", "a.TSV", "größe.csv", "two words.txt", "a.b.csv", "none"])
def test_takes_any_extension_in_any_case(world: World, folder: Folder, campaign: int, name: str) -> None:
    folder.write(f"meta_ads/{name}", "7,2026-06-17,1\n")
    assert named(folder.look(), "export.imported") == [name]
    assert spent(world, campaign) == 1


@pytest.mark.parametrize("name", ["a.csv.part", "a.csv~", "a.CSV.Tmp", ".a.csv", "a.csv.skipped.csv"])
def test_leaves_unfinished_and_hidden_names_alone(world: World, folder: Folder, campaign: int, name: str) -> None:
    folder.write(f"meta_ads/{name}", "7,2026-06-17,1\n")
    assert folder.look() == []
    assert spent(world, campaign) == 0


def test_importing_is_not_part_of_the_sweep(world: World, folder: Folder, campaign: int) -> None:
    folder.write("meta_ads/a.csv", "7,2026-06-17,1\n")
    refresh_spend()
    assert spent(world, campaign) == 0
    assert (import_exports.queue_name, refresh_spend.queue_name) == ("platforms", "schedule")


# --- when a file is complete


def version(modified_at: datetime, inode: int = 1, size: int = 10) -> Version:
    return Version(inode, size, int(modified_at.timestamp()) * 1_000_000_000)


def complete(
    now: Version, last: LastScan | None, at: datetime, quiet: timedelta = QUIET, *, is_renamed: bool = True
) -> bool:
    return is_complete(SpendFile("meta", "a.csv", now, is_renamed), last, at, quiet)


def test_a_new_file_that_was_renamed_is_complete_when_it_was_left_alone(noon: datetime) -> None:
    assert complete(version(noon - QUIET), None, noon)
    assert not complete(version(noon - QUIET + timedelta(seconds=1)), None, noon)
    assert not complete(version(noon + timedelta(days=30)), None, noon)


def test_a_file_that_was_written_in_place_must_be_seen_unchanged(noon: datetime) -> None:
    now = version(LONG_AGO)
    assert not complete(now, None, noon, is_renamed=False)
    assert not complete(now, LastScan(version(LONG_AGO, inode=2), LONG_AGO), noon, is_renamed=False)
    assert not complete(now, LastScan(now, noon - QUIET + timedelta(seconds=1)), noon, is_renamed=False)
    assert complete(now, LastScan(now, noon - QUIET), noon, is_renamed=False)


def test_a_new_file_of_a_server_whose_clock_is_behind_is_read_once_it_was_seen_unchanged(
    world: World, folder: Folder, campaign: int
) -> None:
    folder.at = datetime.now(UTC) + timedelta(days=1)  # noqa: TID251 - the file server's clock
    directory = folder.path / "meta_ads"
    directory.mkdir()
    written, renamed = directory / "written.csv", directory / "renamed.csv"
    written.write_text(f"{HEADER}7,2026-06-17,0.1\n")
    (folder.path / ".new").write_text(f"{HEADER}7,2026-06-16,0.2\n")
    os.utime(folder.path / ".new", (written.stat().st_mtime - 1,) * 2)
    (folder.path / ".new").rename(renamed)
    logged = folder.look()
    assert (named(logged, "export.imported"), named(logged, "export.waiting")) == (["renamed.csv"], ["written.csv"])
    written.write_text(f"{HEADER}7,2026-06-17,0.25\n")
    assert named(folder.look(300), "export.imported") == []
    assert named(folder.look(60), "export.imported") == ["written.csv"]


def test_an_old_time_that_a_program_sets_as_it_writes_proves_nothing(
    world: World, folder: Folder, campaign: int
) -> None:
    folder.write("meta_ads/a.csv", "7,2026-06-17,0.1\n")
    os.utime(folder.path / "meta_ads", (LONG_AGO.timestamp(),) * 2)  # no name in it changed since
    assert named(folder.look(), "export.waiting") == ["a.csv"]
    assert named(folder.look(60), "export.imported") == ["a.csv"]


def test_a_known_file_is_complete_when_it_was_the_same_for_long_enough(noon: datetime) -> None:
    now = version(noon + timedelta(days=30))
    assert complete(now, LastScan(now, noon - QUIET), noon)
    assert not complete(now, LastScan(now, noon - QUIET + timedelta(seconds=1)), noon)


@pytest.mark.parametrize("last", [version(LONG_AGO, size=9), version(LONG_AGO - QUIET)])
def test_a_file_that_is_rewritten_in_place_must_be_seen_unchanged(noon: datetime, last: Version) -> None:
    assert not complete(version(LONG_AGO), LastScan(last, noon - timedelta(days=1)), noon)


def test_a_file_that_replaced_another_is_complete_by_its_own_time(noon: datetime) -> None:
    last = LastScan(version(LONG_AGO, inode=2), noon - timedelta(days=1))
    assert complete(version(LONG_AGO), last, noon)
    assert not complete(version(noon), last, noon)


def test_a_clock_that_was_ahead_does_not_block_a_file(noon: datetime) -> None:
    now = version(noon)
    assert not complete(now, LastScan(now, noon + timedelta(days=1)), noon)
    assert complete(now, LastScan(now, noon + timedelta(days=1)), noon, timedelta())


def test_a_half_written_file_takes_no_spend_away(
    world: World, folder: Folder, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_SPEND_FOLDER_ALLOW_FALLS", "true")
    settings.cache_clear()
    folder.write("meta_ads/a.csv", "7,2026-06-17,250.00\n")
    folder.look()
    assert not world.is_active(campaign)
    for text in ("", "7,2026-06-17,2", "7,2026-06-17,250.0"):
        folder.write("meta_ads/a.csv", text, LONG_AGO + timedelta(seconds=1 + len(text)))
        assert lines(folder.look(30), "export.imported") == []
        assert not world.is_active(campaign)
    folder.write("meta_ads/a.csv", "7,2026-06-17,1\n", folder.at)
    folder.look(59)
    assert not world.is_active(campaign)
    folder.look(60)
    assert (world.is_active(campaign), spent(world, campaign)) == (True, 1)


def test_a_time_in_the_future_delays_a_file_and_blocks_no_later_one(
    world: World, folder: Folder, campaign: int
) -> None:
    ahead = folder.at + timedelta(days=30)
    folder.write("meta_ads/b.csv", "7,2026-06-17,0.1\n", ahead)
    assert named(folder.look(), "export.waiting") == ["b.csv"]
    folder.look(300)
    assert spent(world, campaign) == 0.1
    folder.write("meta_ads/b.csv", "7,2026-06-17,0.25\n", folder.at + timedelta(seconds=100))
    folder.look(300)
    folder.look(300)
    assert spent(world, campaign) == 0.25


def test_no_wait_where_none_is_wanted(
    world: World, folder: Folder, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_SPEND_FOLDER_QUIET_SECONDS", "0")
    settings.cache_clear()
    for micros in (100_000, 200_000):
        folder.write("meta_ads/a.csv", f"7,2026-06-17,{micros / UNIT}\n", folder.at + timedelta(seconds=micros))
        folder.look(1)
        assert world.spent(campaign) == micros


def test_a_file_that_changes_while_it_is_read_is_not_booked(
    world: World, folder: Folder, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder.write("meta_ads/a.csv", "7,2026-06-17,1\n")

    def read_and_append(*arguments: Any) -> Reading:
        reading = read_file(*arguments)
        with path.open("a") as stream:
            stream.write("7,2026-06-16,1\n")
        return reading

    monkeypatch.setattr(folder_imports, "read_file", read_and_append)
    assert named(folder.look(), "export.waiting") == ["a.csv"]
    assert spent(world, campaign) == 0
    monkeypatch.undo()
    monkeypatch.setenv("SPENDGATE_SPEND_FOLDER", str(folder.path))


# --- what is never read


@contextmanager
def listening(path: Path) -> Iterator[None]:
    with socket(AF_UNIX) as found:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path is short
        try:
            found.bind(path.name)
        finally:
            os.chdir(here)
        yield


def test_whatever_else_lies_there_stops_nothing_and_is_not_read(world: World, folder: Folder, campaign: int) -> None:
    secret = folder.write("secret.txt", "7,2026-06-17,100\n")
    meta = folder.path / "meta_ads"
    meta.mkdir()
    (meta / "dangling.csv").symlink_to("/nonexistent/x.csv")
    (meta / "link.csv").symlink_to(secret)
    os.mkfifo(meta / "pipe.csv")
    (meta / "directory.csv").mkdir()
    (folder.path / "elsewhere").symlink_to(meta)
    Path(os.fsdecode(os.fsencode(meta) + b"/\xff\xfe.csv")).write_text(f"{HEADER}7,2026-06-17,100\n")
    Path(os.fsdecode(os.fsencode(folder.path) + b"/\xff")).mkdir()
    folder.write("meta_ads/z.csv", "7,2026-06-17,1\n")
    with listening(meta / "socket.csv"):
        found: list[Any] = []
        looking = threading.Thread(target=lambda: found.extend(folder.look()), daemon=True)
        looking.start()
        looking.join(60)
        assert not looking.is_alive()
    assert spent(world, campaign) == 1
    reasons = {Path(line["file"]).name: line["reason"] for line in lines(found, "export.skipped")}
    assert reasons == {
        "dangling.csv": "link",
        "link.csv": "link",
        "elsewhere": "link",
        "pipe.csv": "not_a_file",
        "directory.csv": "not_a_file",
        "socket.csv": "not_a_file",
        "\\xff\\xfe.csv": "name_is_not_utf8",
        "\\xff": "name_is_not_utf8",
    }


def test_a_file_that_became_a_link_after_the_look_is_not_read(
    world: World, folder: Folder, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = folder.write("meta_ads/.secret", "7,2026-06-17,1\n")
    path = folder.write("meta_ads/a.csv", "7,2026-06-17,1\n")

    def now_a_link() -> datetime:
        path.unlink(missing_ok=True)
        path.symlink_to(secret)
        return folder.at

    monkeypatch.setattr(clock, "now", now_a_link)
    with structlog.testing.capture_logs() as logged:
        import_exports()
    monkeypatch.undo()
    assert [line["reason"] for line in lines(logged, "export.unreadable")] == ["ELOOP"]
    assert spent(world, campaign) == 0


# --- the reported problems


def test_a_bad_file_stops_no_other_and_the_log_has_nothing_of_its_content(
    world: World, folder: Folder, campaign: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write("meta_ads/a.csv", "")
    (folder.path / "meta_ads/a.csv").write_text("Secret client,clicks\n1,2\n")
    os.utime(folder.path / "meta_ads/a.csv", (LONG_AGO.timestamp(),) * 2)
    folder.write("meta_ads/b.csv", f'7,2026-06-17,"{"Secret client" * 20_000}"\n')
    folder.write("meta_ads/c.csv", "Secret client,2026-06-17,9\n7,Secret client,9\n7,2026-06-16,Secret client\n")
    folder.write("meta_ads/d.csv", "7,2026-06-17,2\n")
    logged = folder.look()
    reasons = {Path(line["file"]).name: line["reason"] for line in lines(logged, "export.unreadable")}
    assert reasons["a.csv"] == "refused"
    assert reasons.keys() <= {"a.csv", "b.csv"}
    assert "Secret client" not in repr(logged)
    assert spent(world, campaign) == 2


def test_a_name_with_control_characters_is_told_in_one_line(folder: Folder, campaign: int) -> None:
    folder.write("meta_ads/a\nb\u202e\x1b[31m.csv", "7,2026-06-17,1\n")
    assert named(folder.look(), "export.imported") == ["a\\nb\\u202e\\x1b[31m.csv"]


def test_metrics_name_no_file(world: World, folder: Folder, campaign: int) -> None:
    folder.write("meta_ads/Secret client.csv", "7,2026-06-17,1\n")
    folder.look()
    assert b"Secret client" not in bytes(metrics().body)


def test_a_locked_brand_stops_neither_other_files_nor_the_rest_of_its_own(
    world: World, folder: Folder, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_locks(300, monkeypatch)
    monkeypatch.setattr(commit, "TOTALS_A_TRANSACTION", 1)
    locked = world.brand()
    world.campaign(locked, platform="meta_ads", external_id="1")
    folder.write("meta_ads/a.csv", "1,2026-06-17,5\n7,2026-06-17,1\n")
    folder.write("meta_ads/b.csv", "7,2026-06-16,1\n", LONG_AGO + timedelta(seconds=1))
    with psycopg.connect(world.url) as holder:
        holder.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [locked])
        logged = folder.look()
    assert (named(logged, "export.postponed"), named(logged, "export.imported")) == (["a.csv"], ["b.csv"])
    assert spent(world, campaign) == 2
    assert named(folder.look(300), "export.imported") == ["a.csv"]
    world.verify()


def test_files_that_are_gone_are_forgotten(world: World, folder: Folder, campaign: int) -> None:
    path = folder.write("meta_ads/a.csv", "7,2026-06-17,1\n")
    folder.look()
    assert world.rows("SELECT platform, name FROM spend_files") == [{"platform": "meta_ads", "name": "a.csv"}]
    path.unlink()
    folder.look(300)
    assert world.rows("SELECT FROM spend_files") == []


def test_a_folder_that_is_not_there_is_told_once(world: World, folder: Folder, campaign: int) -> None:
    folder.path.rmdir()
    for reasons in (["ENOENT"], []):
        assert [line["reason"] for line in lines(folder.look(), "export.unreadable")] == reasons
    (listed,) = problems(world)
    assert (listed["name"], listed["problem"]) == ("", "the folder cannot be read: ENOENT")
    folder.path.mkdir()
    folder.look()
    assert problems(world) == []


def problems(world: World) -> list[dict[str, Any]]:
    return world.rows("SELECT platform, name, problem FROM spend_files WHERE problem IS NOT NULL ORDER BY name")


def test_a_file_that_cannot_be_read_is_logged_once_and_listed_until_it_is_mended(
    world: World, folder: Folder, campaign: int
) -> None:
    folder.write("meta_ads/a.csv", "campaign_id,clicks\n7,1\n")
    assert named(folder.look(), "export.unreadable") == ["a.csv"]
    for _ in range(3):
        assert folder.look(1_800) == []
    (listed,) = problems(world)
    assert (listed["platform"], listed["name"]) == ("meta_ads", "a.csv")
    assert "needs a campaign id, a day and a cost" in listed["problem"]
    folder.replace("meta_ads/a.csv", "7,2026-06-17,1\n")
    assert named(folder.look(300), "export.imported") == ["a.csv"]
    assert (problems(world), spent(world, campaign)) == ([], 1)


def test_a_link_is_logged_once_and_listed(world: World, folder: Folder, campaign: int) -> None:
    target = folder.write("meta_ads/a.csv", "7,2026-06-17,1\n")
    (folder.path / "meta_ads/link.csv").symlink_to(target)
    assert named(folder.look(), "export.skipped") == ["link.csv"]
    assert folder.look(300) == []
    assert [one["problem"] for one in problems(world)] == ["is not read: link"]
    (folder.path / "meta_ads/link.csv").unlink()
    folder.look(300)
    assert problems(world) == []


# --- how a file is read


def test_a_file_in_the_folder_itself_says_which_platform_it_is_of(world: World, folder: Folder) -> None:
    campaign = world.campaign(world.brand(), platform="tiktok_ads", external_id="7")
    folder.write("anything.csv", "campaign_id,stat_time_day,cost\n7,2026-06-17,1.50\n")
    folder.look()
    assert spent(world, campaign) == 1.5


def test_options_beside_the_files_say_how_they_are_read(world: World, folder: Folder, campaign: int) -> None:
    options = folder.path / "meta_ads" / "spendgate.toml"
    folder.write("meta_ads/a.csv", "campaign_id,date,Betrag,Budget\n7,2026-06-17,1500000,9\n")
    options.write_text('unit = "micros"\n[columns]\nspend = "Betrag"\n')
    folder.look()
    assert spent(world, campaign) == 1.5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("unit = ", "is no TOML"),
        ('unit = "pounds"', "unit cannot be 'pounds'"),
        ("colour = 1", "colour is no option"),
        ("columns = 1", "columns cannot be 1"),
        ("delta = 1", "delta cannot be 1"),
        ('"a\\u0000" = 1', r"a\u0000 is no option"),
        (f"a = {'[' * 10_000}", "is no TOML: maximum recursion depth"),
    ],
)
def test_options_that_cannot_be_read_import_nothing_and_are_listed(
    world: World, folder: Folder, campaign: int, text: str, told: str
) -> None:
    folder.write("meta_ads/a.csv", "7,2026-06-17,1\n")
    (folder.path / "meta_ads" / "spendgate.toml").write_text(text)
    folder.look()
    assert folder.look(300) == []
    (listed,) = problems(world)
    assert told in listed["problem"]
    (folder.path / "meta_ads" / "spendgate.toml").write_text("")
    folder.look(300)
    assert (problems(world), spent(world, campaign)) == ([], 1)


def test_a_question_is_listed_with_the_options_that_answer_it(world: World, folder: Folder, campaign: int) -> None:
    named_campaign = world.campaign(world.brand_of(campaign), platform="meta_ads", external_id="Spring")
    folder.write("meta_ads/a.csv", "campaign,date,spend\nSpring,2026-06-17,1.50\n")
    folder.look()
    (listed,) = problems(world)
    assert "name_as_id = true" in listed["problem"]
    (folder.path / "meta_ads" / "spendgate.toml").write_text("name_as_id = true\n")
    folder.look(300)
    assert spent(world, named_campaign) == 1.5


def test_a_total_that_falls_waits_for_the_option_that_allows_it(world: World, folder: Folder, campaign: int) -> None:
    folder.write("meta_ads/a.csv", "7,2026-06-17,250.00\n")
    folder.look()
    folder.replace("meta_ads/a.csv", "7,2026-06-17,1.00\n", LONG_AGO + timedelta(seconds=1))
    folder.look(300)
    assert (spent(world, campaign), world.is_active(campaign)) == (250, False)
    (listed,) = problems(world)
    assert "falls by more than a tenth" in listed["problem"]
    assert "allow_falls = true" in listed["problem"]
    (folder.path / "meta_ads" / "spendgate.toml").write_text("allow_falls = true\n")
    folder.look(300)
    assert (spent(world, campaign), world.is_active(campaign), problems(world)) == (1, True, [])
    world.verify()


# --- a file of the same size and time


def test_a_file_that_is_written_in_place_with_its_old_size_and_time_is_read_again(
    world: World, folder: Folder, campaign: int
) -> None:
    path = folder.write("meta_ads/a.csv", "7,2026-06-17,1\n")
    folder.look()
    with path.open("r+") as stream:
        stream.write(f"{HEADER}7,2026-06-17,2\n")
    os.utime(path, (LONG_AGO.timestamp(),) * 2)
    folder.look(300)
    folder.look(300)
    assert [one["name"] for one in problems(world)] == ["a.csv"], "another figure of the same moment"
    os.utime(path, ((LONG_AGO + timedelta(seconds=1)).timestamp(),) * 2)
    folder.look(300)
    folder.look(300)
    assert spent(world, campaign) == 2


# --- growing and replaced while it is read


@pytest.mark.parametrize("is_replaced", [True, False], ids=["replaced", "growing"])
def test_a_file_that_changes_between_passes_books_no_figure_that_no_version_had(
    world: World, folder: Folder, campaign: int, monkeypatch: pytest.MonkeyPatch, is_replaced: bool
) -> None:
    """Rows are written, or the whole file is replaced, while the reader goes through it again and again."""
    sums = {float(number) for number in range(1, 40)}
    folder.write("meta_ads/a.csv", "7,2026-06-17,1.00\n")
    monkeypatch.setenv("SPENDGATE_SPEND_FOLDER_QUIET_SECONDS", "0")
    settings.cache_clear()
    number = 1

    def change(*_: object) -> None:
        nonlocal number
        number += 1
        rows = "".join("7,2026-06-17,1.00\n" for _ in range(number))
        text = "campaign_id,date,spend,row\n" + "".join(
            f"{row},{place}\n" for place, row in enumerate(rows.splitlines())
        )
        write = folder.replace if is_replaced else folder.write
        write("meta_ads/a.csv", text, LONG_AGO + timedelta(seconds=number))

    def read(*arguments: Any) -> Reading:
        source, name, options, modified_at = arguments
        return read_file(source, name, options, modified_at, change)

    monkeypatch.setattr(folder_imports, "read_file", read)
    seen = set()
    for _ in range(8):
        folder.look(1)
        seen.add(spent(world, campaign))
    assert seen <= {0.0, *sums}
    monkeypatch.setattr(folder_imports, "read_file", read_file)
    folder.look(1)
    folder.look(1)
    assert spent(world, campaign) == number
    world.verify()


def test_fault_of_one_file_does_not_stop_the_others(
    world: World, folder: Folder, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("meta/odd.csv", "7,2026-06-01,1\n", LONG_AGO - timedelta(days=1))
    folder.write("meta/good.csv", "7,2026-06-01,1\n")

    def fail_for_one(stream: Any, name: str, *others: Any) -> Reading:
        if name == "odd.csv":
            raise KeyError(name)
        return read_file(stream, name, *others)

    monkeypatch.setattr(folder_imports, "read_file", fail_for_one)
    logged = [*folder.look(), *folder.look(120)]
    assert [line["reason"] for line in lines(logged, "export.unreadable")] == ["KeyError"]
    assert len(lines(logged, "export.imported")) == 1


@pytest.mark.parametrize(
    "options",
    [
        f"a = {'[' * 10_000}",
        '"a\\u0000" = 1',
        'platform = "a\\u0000"',
        'account = "\\u0000"',
        "\0",
    ],
)
def test_odd_options_of_one_directory_stop_no_other(world: World, folder: Folder, campaign: int, options: str) -> None:
    folder.write("other/odd.csv", "7,2026-06-01,1\n", LONG_AGO - timedelta(days=1))
    (folder.path / "other" / "spendgate.toml").write_text(options)
    _imports_all_but_the_odd_one(world, folder)


@pytest.mark.parametrize(
    "text",
    [
        r'[{"\ud800": "x", "foo": "y"}]',
        r'[{"a\u0000": "x", "foo": "y"}]',
        r'[{"campaign_id": "\ud800", "date": "2026-06-01", "spend": "x"}]',
        r'[{"campaign_id": "7", "date": "2026-06-01", "spend": "1", "currency": "\u0000"}]',
        r'[{"campaign_id": "7", "date": "2026-06-01", "spend": "1", "account_id": "\ud800"}]',
        r'[{"campaign_id": "7", "date": "\u0000", "spend": "1"}]',
        r'[{"campaign_id": "7", "date": "2026-06-01", "spend": "\udfff1"}]',
        "a\0,b\n1,2\n",
        f"campaign_id,date,spend,account_id\n{'7,2026-06-01,1,1' * 20_000}\n7,2026-06-01,1,\0\n",
    ],
)
def test_text_that_cannot_be_stored_stops_its_own_file_alone(
    world: World, folder: Folder, campaign: int, text: str
) -> None:
    (folder.write("other/odd.csv", "", LONG_AGO)).write_text(text)
    os.utime(folder.path / "other" / "odd.csv", (LONG_AGO.timestamp() - 1,) * 2)
    _imports_all_but_the_odd_one(world, folder)


def _imports_all_but_the_odd_one(world: World, folder: Folder) -> None:
    folder.write("meta/good.csv", "7,2026-06-01,1\n")
    logged = [*folder.look(), *folder.look(120)]
    imported, unreadable = named(logged, "export.imported"), named(logged, "export.unreadable")
    assert "good.csv" in imported
    assert sorted(imported + unreadable) == ["good.csv", "odd.csv"]
    assert [row["name"] for row in problems(world)] == unreadable


def test_fault_of_a_record_does_not_stop_the_other_files(
    world: World, folder: Folder, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("meta/odd.csv", "campaign\n", LONG_AGO - timedelta(days=1))
    folder.write("meta/good.csv", "7,2026-06-01,1\n")

    def fail(*_: Any, **__: Any) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(spend_files, "keep_problem", fail)
    with structlog.testing.capture_logs() as logged, pytest.raises(KeyError):
        folder_imports.import_folder(folder.path)
    assert named(logged, "export.imported") == ["good.csv"]
