"""Rejected inputs and audit entries are deleted past their retention, by whole seals, and verify stays green."""

from collections.abc import Callable

import psycopg
import pytest

from app import maintenance
from app.proof import seals
from cli import roles
from db.engine import snapshot
from db.repository.access.privileges import DatabaseRole
from db.repository.proof import retention, seal_checks
from runtime import clock
from runtime.settings import settings
from tests.roles import UrlOf
from tests.world import World


def keep_days(patch: pytest.MonkeyPatch, days: str) -> None:
    """Stores the retention as `spendgate migrate` does."""
    for name in ("SPENDGATE_REJECTED_RETENTION_DAYS", "SPENDGATE_AUDIT_RETENTION_DAYS"):
        patch.setenv(name, days)
    settings.cache_clear()
    roles.grant_again()


def written(world: World, count: int, days_ago: int) -> None:
    """Writes so many rows of each history, that old, and seals them."""
    world.execute(
        "INSERT INTO rejected_events (received_at, reason, payload)"
        " SELECT now() - make_interval(days => %s), 'malformed', to_json(random()) FROM generate_series(1, %s)",
        days_ago,
        count,
    )
    world.execute(
        "INSERT INTO audit_entries (changed_at, changed_by, action, subject, subject_id)"
        " SELECT now() - make_interval(days => %s), 'ada', 'edit', 'brand', 1 FROM generate_series(1, %s)",
        days_ago,
        count,
    )
    seals.seal()


def rows_of(world: World, history: str) -> int:
    counts = world.one(
        "SELECT (SELECT count(*) FROM rejected_events) AS rejected_events,"
        " (SELECT count(*) FROM audit_entries) AS audit_entries"
    )
    return int(counts[history])


@pytest.mark.parametrize("history", retention.FORGETTABLE)
def test_rows_past_the_retention_go_in_bounded_batches(
    world: World, monkeypatch: pytest.MonkeyPatch, history: str
) -> None:
    keep_days(monkeypatch, "30")
    for _ in range(3):
        written(world, 4, days_ago=31)
    written(world, 5, days_ago=29)
    monkeypatch.setattr(retention, "ROWS_A_BATCH", 5)
    with pytest.MonkeyPatch.context() as patch:
        sizes: list[int] = []
        forget: Callable[..., int] = retention.forget

        def counted(*args: object, **named: object) -> int:
            sizes.append(forget(*args, **named))
            return sizes[-1]

        patch.setattr(retention, "forget", counted)
        patch.setattr(retention, "FORGETTABLE", (history,))
        maintenance.maintain(clock.now())
    assert sizes == [8, 4, 0]
    assert rows_of(world, history) == 5
    world.verify()
    written(world, 2, days_ago=0)
    world.verify()


def test_everything_is_kept_without_a_setting(world: World) -> None:
    written(world, 3, days_ago=3_000)
    maintenance.maintain(clock.now())
    assert [rows_of(world, history) for history in retention.FORGETTABLE] == [3, 3]


def test_rows_that_no_seal_proves_yet_stay(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_days(monkeypatch, "30")
    world.execute(
        "INSERT INTO rejected_events (received_at, reason, payload)"
        " VALUES (now() - interval '1 year', 'malformed', '1')"
    )
    maintenance.maintain(clock.now())
    assert rows_of(world, "rejected_events") == 1
    seals.seal()
    maintenance.maintain(clock.now())
    assert rows_of(world, "rejected_events") == 0
    world.verify()


def test_rows_among_forgotten_and_deleted_rows_after_them_are_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_days(monkeypatch, "30")
    written(world, 3, days_ago=31)
    written(world, 3, days_ago=1)
    maintenance.maintain(clock.now())
    world.execute(
        "INSERT INTO audit_entries (id, changed_at, changed_by, action, subject, subject_id)"
        " OVERRIDING SYSTEM VALUE VALUES (2, now(), 'ada', 'edit', 'brand', 1)"
    )
    world.execute("DELETE FROM rejected_events WHERE id = 5")
    with snapshot() as connection:
        found = seal_checks.broken(connection, 10)
    assert {one["history"] for one in found} == {"audit_entries", "rejected_events"}


def test_worker_forgets_by_the_stored_retention_alone(
    world: World, url_of: UrlOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_days(monkeypatch, "30")
    written(world, 3, days_ago=29)
    with psycopg.connect(url_of(DatabaseRole.WORKER), autocommit=True) as worker:
        assert worker.execute("SELECT forget_history('audit_entries', 1000000)").fetchall() == [(0,)]
        for statement in (
            "UPDATE history_floors SET forgotten_to_id = 1000",
            "INSERT INTO history_floors VALUES ('audit_entries', 1000)",
            "CREATE OR REPLACE FUNCTION history_retention_days(of_history text) RETURNS int LANGUAGE sql AS 'SELECT 0'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(statement)
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            worker.execute("SELECT forget_history('status_changes', 1)")
    assert rows_of(world, "audit_entries") == 3
