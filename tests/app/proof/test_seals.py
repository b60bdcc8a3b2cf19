"""Sealing: seals only final rows, each once, while other transactions write."""

import threading
from datetime import datetime

import psycopg
import pytest
from sqlalchemy import Connection

from app.proof import seals
from app.proof.verification import verify
from db.repository.proof import seals as repository
from tests.citus import Limit
from tests.world import World

HOLDS = "INSERT INTO hold_changes (brand_id, campaign_id, changed_at, holds, cause) VALUES (%s, %s, now(), %s, 'edit')"


@pytest.fixture
def campaign(world: World, noon: datetime) -> int:
    """A campaign, at noon."""
    world.set_clock(noon)
    return world.campaign(world.brand())


def sealed(world: World, history: str) -> int:
    row = world.one("SELECT COALESCE(sum(row_count), 0) AS rows FROM history_seals WHERE history = %s", history)
    return int(row["rows"])


def broken() -> list[dict[str, object]]:
    return [row for check in verify(only=["sealed histories are unaltered"]) for row in check.wrong]


def test_seals_each_row_once(world: World, campaign: int) -> None:
    assert seals.seal() == 4
    assert seals.seal() == 0
    world.set_status(campaign, "paused")
    assert seals.seal() == 3
    numbers = [row["id"] for row in world.rows("SELECT id FROM history_seals ORDER BY id")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert sealed(world, "hold_changes") == 2
    assert broken() == []


def test_row_with_a_smaller_id_that_is_committed_later_is_sealed_too(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "WRITERS_SECONDS", 0.3)
    brand = world.brand_of(campaign)
    with psycopg.connect(world.url) as slow:
        slow.execute(HOLDS, [brand, campaign, []])
        world.execute(HOLDS, brand, campaign, [])
        seals.seal()
        assert sealed(world, "hold_changes") == 0, "an id is still on its way"
        assert sealed(world, "budget_limits") == 0
        assert sealed(world, "audit_entries") == 2, "no other transaction writes audit entries"
        slow.commit()
    seals.seal()
    assert sealed(world, "hold_changes") == 3
    assert broken() == []


@pytest.mark.on_one_server(Limit.PREPARED)
def test_row_of_a_prepared_transaction_that_is_committed_later_is_sealed_too(
    world: World, campaign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if world.one("SELECT current_setting('max_prepared_transactions')::int AS most")["most"] == 0:
        pytest.skip("the server prepares no transactions")
    monkeypatch.setattr(seals, "WRITERS_SECONDS", 0.3)
    brand = world.brand_of(campaign)
    with psycopg.connect(world.url, autocommit=True) as other:
        other.execute("BEGIN")
        other.execute(HOLDS, [brand, campaign, []])
        other.execute("PREPARE TRANSACTION 'of another program'")
        try:
            world.execute(HOLDS, brand, campaign, [])
            seals.seal()
            assert sealed(world, "hold_changes") == 0, "an id is still on its way"
            assert sealed(world, "audit_entries") == 2, "it wrote no audit entries"
        finally:
            other.execute("COMMIT PREPARED 'of another program'")
    seals.seal()
    assert sealed(world, "hold_changes") == 3
    assert broken() == []


def test_seal_waits_for_earlier_writers_and_not_for_later_ones(world: World, campaign: int) -> None:
    brand = world.brand_of(campaign)
    with psycopg.connect(world.url) as slow, psycopg.connect(world.url) as later:
        slow.execute(HOLDS, [brand, campaign, []])
        looked = threading.Event()

        def end() -> None:
            looked.wait(60)
            later.execute(HOLDS, [brand, campaign, []])
            slow.commit()

        ending = threading.Thread(target=end)
        ending.start()
        first = repository.writers

        def writers(connection: Connection, history: repository.History) -> frozenset[str]:
            found = first(connection, history)
            if found:
                looked.set()
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(repository, "writers", writers)
            world.execute(HOLDS, brand, campaign, [])
            seals.seal()
        ending.join()
        assert sealed(world, "hold_changes") == 3
    assert broken() == []


def test_concurrent_runs_seal_each_row_once(world: World, campaign: int) -> None:
    for status in ("paused", "enabled") * 3:
        world.set_status(campaign, status)
    threads = [threading.Thread(target=seals.seal) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sealed(world, "status_changes") == 6
    assert broken() == []


def test_long_history_is_sealed_in_slices(world: World, campaign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "ROWS_A_SLICE", 4)
    for status in ("paused", "enabled") * 5:
        world.set_status(campaign, status)
    world.execute("SELECT setval(pg_get_serial_sequence('hold_changes', 'id'), 40)")
    world.set_status(campaign, "paused")
    seals.seal()
    assert sealed(world, "hold_changes") == 12
    assert broken() == []


def test_verify_finds_a_row_inserted_under_an_id_that_is_already_sealed(world: World, campaign: int) -> None:
    other = world.campaign(world.brand())
    world.set_status(other, "paused")
    world.execute("SELECT setval(pg_get_serial_sequence('hold_changes', 'id'), 100)")
    world.set_status(other, "enabled")
    seals.seal()
    brand = world.brand_of(campaign)
    world.execute(HOLDS.replace("(brand_id", "(id, brand_id").replace("(%s", "(50, %s", 1), brand, campaign, [])
    assert [row["brand_id"] for row in broken()] == [brand, brand]
