"""`spendgate import` of files in the layouts of real platforms: exact, refused or asked about; once only."""

import os
import shutil
from datetime import datetime
from pathlib import Path

from tests.app.imports.real_files import AT, DOUBTFUL, RealFile, counters, real_files, state
from tests.cli.conftest import Spendgate
from tests.cli.shell import CommandResult
from tests.world import World


def copied(file: RealFile, folder: Path, age_seconds: int) -> Path:
    """A copy of the file that was last modified so many seconds before AT: later files have later figures."""
    copy = folder / file.name
    shutil.copy(file.path, copy)
    modified_at = datetime.fromisoformat(AT).timestamp() - age_seconds
    os.utime(copy, (modified_at, modified_at))
    return copy


def imported(spendgate: Spendgate, file: RealFile, path: Path) -> CommandResult:
    """Imports a file into a brand of its own currency and zone."""
    options = ["--name-as-id"] if file.names_are_ids else []
    brand = f"{file.currency} {file.zone}"
    into: tuple[str, ...] = ("--create-campaigns", "--brand", brand, "--time-zone", file.zone)
    if file.currency == "USD":
        into = (*into, "--currency", "USD")
    return spendgate("import", str(path), "--platform", file.platform, *options, *into, "--json")


def test_imports_each_real_file_exactly_or_not_at_all_and_again_changes_nothing(
    world: World, spendgate: Spendgate, tmp_path: Path
) -> None:
    world.set_clock(AT)
    for place, file in enumerate(real_files()):
        path = copied(file, tmp_path, age_seconds=1_000 - place)
        told = imported(spendgate, file, path)
        counted = counters(world, file.canonical)
        if file.is_taken_unseen:
            assert told.code == 0, (file.name, told)
            assert file.totals.items() <= counted.items(), file.name
            assert told.data["sum_micros"] == sum(file.totals.values()), file.name
        elif file.name in DOUBTFUL:
            assert told.code == 2, (file.name, told)
            assert "--yes: add --yes" in told.err
            assert "and a total must be of a whole day" in told.err
        else:
            assert told.code == 2 or told.data["warnings"], (file.name, told)
        before = state(world)
        again = imported(spendgate, file, path)
        assert again.code == told.code, (file.name, again)
        assert state(world) == before, file.name
    world.verify()


def test_a_file_without_ids_is_asked_about_and_names_the_option(world: World, spendgate: Spendgate) -> None:
    world.set_clock(AT)
    (file,) = [one for one in real_files() if one.name == "g07_google_names_only.csv"]
    told = spendgate("import", str(file.path), "--json")
    assert told.code == 2
    assert told.data["readings"][0]["options"] == "--name-as-id"
    assert "--name-as-id" in told.err
