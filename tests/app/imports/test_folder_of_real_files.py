"""Files in the layouts of real platforms in the spend folder: exact or on the list; a second look changes nothing."""

import json
import shutil
from pathlib import Path

import pytest

from app.imports.folder_imports import import_folder
from runtime.settings import settings
from tests.app.imports.real_files import AT, RealFile, counters, real_files, state
from tests.world import World


def put(folder: Path, file: RealFile) -> None:
    """Lays a file into a directory of its own, beside its options."""
    place = folder / Path(file.name).stem
    place.mkdir()
    shutil.copy(file.path, place / file.name)
    names = f"name_as_id = {json.dumps(file.names_are_ids)}\n"
    (place / "spendgate.toml").write_text(f"platform = {json.dumps(file.platform)}\n{names}")


def make_campaigns(world: World, files: list[RealFile]) -> None:
    """Makes the campaigns of the files, each in a brand of the file's currency and zone."""
    brands: dict[tuple[str, str], int] = {}
    made = set()
    for file in files:
        key = file.currency, file.zone
        brands[key] = brands.get(key) or world.brand(zone=file.zone, currency=file.currency)
        for campaign in {campaign for campaign, _ in file.totals}:
            name = file.canonical, campaign
            if name not in made:
                world.campaign(brands[key], platform=name[0], external_id=campaign)
                made.add(name)


def test_takes_each_real_file_exactly_or_lists_it_and_a_second_look_changes_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_SPEND_FOLDER_QUIET_SECONDS", "0")
    settings.cache_clear()
    world.set_clock(AT)
    files = real_files()
    make_campaigns(world, files)
    for file in files:
        put(tmp_path, file)
        import_folder(tmp_path)
        row = world.one("SELECT problem, imported_version FROM spend_files WHERE name = %s", file.name)
        if file.is_taken_unseen:
            assert row["problem"] is None, (file.name, row)
            assert file.totals.items() <= counters(world, file.canonical).items(), file.name
        else:
            assert row["problem"] or not file.totals, (file.name, row)
    before = state(world)
    import_folder(tmp_path)
    assert state(world) == before
    world.verify()
