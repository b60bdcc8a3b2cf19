"""The nightly job through its actor: partitions, retention and expired rows, with a clock set by the test."""

from datetime import datetime

import psycopg
import pytest
import structlog

from db.repository.shared.deletions import ROWS_A_BATCH
from runtime.settings import settings
from tests.kit import at_each_statement, lines, wait_for_locks
from tests.world import World
from workers.actors.schedule import maintain_ledger


def partitions(world: World) -> list[str]:
    query = "SELECT right(relname, 7) AS month FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE relkind = 'r'"
    return sorted(row["month"] for row in world.rows(query))


def test_maintenance_creates_partitions_of_this_month_and_the_next_three(world: World) -> None:
    world.set_clock("2031-11-15T12:00:00Z")
    maintain_ledger()
    maintain_ledger()
    assert set(partitions(world)) >= {"2031_11", "2031_12", "2032_01", "2032_02"}
    assert "2032_03" not in partitions(world)


def test_maintenance_drops_no_month_without_a_retention_setting(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    world.spend(world.campaign(world.brand()), 5)
    world.set_clock("2036-06-17T12:00:00Z")
    maintain_ledger()
    assert "2026_06" in partitions(world)


def test_maintenance_drops_months_past_retention_and_keeps_every_counter(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_LEDGER_RETENTION_MONTHS", "2")
    settings.cache_clear()
    world.set_clock("2026-02-10T12:00:00Z")
    campaign = world.campaign(world.brand("Pacific/Kiritimati", lifetime=100))
    for at in ("2026-02-10T12:00:00Z", "2026-02-28T12:00:00Z", "2026-03-31T12:00:00Z", "2026-04-01T12:00:00Z"):
        world.set_clock(at)
        world.spend(campaign, 10)
    world.set_clock("2026-05-31T23:59:00Z")
    maintain_ledger()
    assert "2026_02" not in partitions(world)
    assert "2026_03" in partitions(world)
    world.verify()
    world.set_clock("2026-06-01T00:00:00Z")
    with structlog.testing.capture_logs() as logged:
        maintain_ledger()
    assert {"2026-03-01"} <= set(lines(logged, "ledger.maintained")[0]["dropped"])
    assert world.spent(campaign) == 40
    world.verify()
    world.spend(campaign, 60)
    assert world.holds(campaign) == {"brand_lifetime_budget"}
    world.verify()


OLD_ROWS = """
    INSERT INTO webhook_endpoints (url, secret, types) VALUES ('https://x.example', '', '{campaign.paused}');
    INSERT INTO alert_channels (id, name, scheme, encrypted_url, created_at, created_by)
    VALUES (1, 'ops', 'slack', '', now(), 'ada');
    INSERT INTO notices (kind, key, body, created_at)
    SELECT 'import.failed', number::text, '{}', '2020-01-01Z' FROM generate_series(1, 11000) AS number;
    INSERT INTO webhook_deliveries (endpoint_id, next_attempt_at, created_at, type, body, state, settled_at)
    SELECT (SELECT id FROM webhook_endpoints), now(), now(), 'endpoint.test', '{}', 'failed', '2020-01-01Z'
    FROM generate_series(1, 11000);
    INSERT INTO alerts (kind, subject, episode, raised_at, figures, state, resolved_at, resolved_because)
    SELECT 'overspend', number::text, 'e', '2020-01-01Z', '{}', 'resolved', '2020-01-02Z', 'gone'
    FROM generate_series(1, 11000) AS number;
    INSERT INTO alert_attempts (channel_id, purpose, attempted_at, duration_ms, alerts, is_delivered)
    SELECT 1, 'test', '2020-01-01Z', 0, 0, true FROM generate_series(1, 11000);
    INSERT INTO alert_mutes (kind, until, muted_at, muted_by)
    SELECT 'overspend', '2020-01-02Z', '2020-01-01Z', 'ada' FROM generate_series(1, 11000)
"""
OLD_TABLES = ("notices", "webhook_deliveries", "alerts", "alert_attempts", "alert_mutes")


def test_maintenance_deletes_any_number_of_old_rows_in_batches(world: World) -> None:
    world.execute(OLD_ROWS)
    deleted: list[int] = []

    def note(cursor: psycopg.Cursor, statement: str, _parameters: object) -> None:
        if "DELETE" in statement:
            deleted.append(cursor.rowcount)

    with at_each_statement(after=note):
        maintain_ledger()
    assert max(deleted) == ROWS_A_BATCH
    assert [len(world.rows(f"SELECT FROM {table}")) for table in OLD_TABLES] == [0] * len(OLD_TABLES)


def test_step_of_maintenance_that_times_out_stops_no_other_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.set_clock("2031-11-15T12:00:00Z")
    wait_for_locks(100, monkeypatch)
    world.execute(OLD_ROWS)
    with psycopg.connect(world.url) as other, structlog.testing.capture_logs() as logged:
        other.execute("LOCK TABLE webhook_deliveries")
        maintain_ledger()
    assert len(lines(logged, "job.held_up")) == 1
    assert "2032_02" in partitions(world)
    assert world.rows("SELECT FROM alerts") == []
    maintain_ledger()
    assert world.rows("SELECT FROM webhook_deliveries") == []


def test_months_are_not_dropped_while_another_session_reads_the_ledger(
    world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPENDGATE_LEDGER_RETENTION_MONTHS", "2")
    settings.cache_clear()
    world.set_clock(noon)
    before = world.rows("SELECT inhrelid FROM pg_inherits WHERE inhparent = 'spend_events'::regclass")
    with psycopg.connect(world.url) as reader, structlog.testing.capture_logs() as logged:
        reader.execute("SELECT count(*) FROM spend_events")
        maintain_ledger()
    assert len(lines(logged, "ledger.busy")) == 1
    assert len(world.rows("SELECT inhrelid FROM pg_inherits WHERE inhparent = 'spend_events'::regclass")) >= len(before)
    maintain_ledger()
    world.verify()
