"""Rows of import_days: kept while an undo can need them, deleted by maintenance afterwards."""

from datetime import UTC, datetime

import pytest

from app.imports.intake.undo import undo, undoing
from app.ingest.count import count_totals
from app.ingest.ingest import count_totals_now
from runtime.settings import settings
from tests.app.imports.intake.test_intake import EARLY, HEADER, LATE, Files
from tests.world import UNIT, World
from workers.actors.schedule import maintain_ledger

BETWEEN = datetime(2026, 6, 11, tzinfo=UTC)


@pytest.fixture
def files(world: World) -> Files:
    return Files(world)


def kept(world: World) -> list[tuple[int, str]]:
    rows = world.rows("SELECT import_id, day::text FROM import_days ORDER BY 1, 2")
    return [(row["import_id"], row["day"]) for row in rows]


def test_imports_that_can_be_undone_one_after_another_keep_their_days(world: World, files: Files) -> None:
    numbers = [
        files.take(HEADER + f"7,2026-06-01,{units}\n", at).import_id or 0
        for units, at in ((10, EARLY), (12, BETWEEN), (14, LATE))
    ]
    maintain_ledger()
    assert [number for number, _ in kept(world)] == numbers
    for number, units in zip(reversed(numbers), (12, 10, 0), strict=True):
        undo(number, files.edit())
        maintain_ledger()
        assert files.spent() == units
    assert [number for number, _ in kept(world)] == numbers[:1]
    world.verify()


def test_days_that_a_newer_total_replaced_are_deleted_with_all_before_it(world: World, files: Files) -> None:
    for units, at in ((10, EARLY), (12, BETWEEN)):
        files.take(HEADER + f"7,2026-06-01,{units}\n7,2026-06-02,{units}\n", at)
    total = {"source": "meta_ads", "campaign_id": files.campaign, "day": "2026-06-01", "total_micros": 20 * UNIT}
    count_totals_now([total | {"as_of": "2026-06-13T00:00:00Z"}], count_totals)
    for _ in range(2):
        maintain_ledger()
    assert kept(world) == [(1, "2026-06-02"), (2, "2026-06-02")]
    wanted = undoing(2)
    assert (len(wanted.restored), wanted.kept) == (1, 1)
    undo(2, files.edit())
    assert (files.spent("2026-06-01"), files.spent("2026-06-02")) == (20, 10)
    world.verify()


def test_an_undone_import_may_come_again_after_maintenance(world: World, files: Files) -> None:
    text = HEADER + "7,2026-06-01,10\n"
    undo(files.take(text).import_id or 0, files.edit())
    maintain_ledger()
    again = files.take(text)
    assert files.spent() == 10
    maintain_ledger()
    assert [number for number, _ in kept(world)] == [again.import_id]
    undo(again.import_id or 0, files.edit())
    assert files.spent() == 0
    world.verify()


def test_days_before_the_ledger_are_deleted(world: World, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDGATE_LEDGER_RETENTION_MONTHS", "2")
    settings.cache_clear()
    files.take(HEADER + "7,2026-05-20,10\n7,2026-06-01,10\n")
    maintain_ledger()
    assert len(kept(world)) == 2
    world.set_clock("2026-08-20T12:00:00Z")
    maintain_ledger()
    maintain_ledger()
    assert kept(world) == [(1, "2026-06-01")]
    world.verify()
