"""Pooled connections have timeouts, and are pinged before they are used again unless the ping grace applies."""

from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from db.engine import committed, engine, transaction
from db.failures import is_transient
from db.pool import ping_grace, unpooled_engine
from runtime.settings import settings
from tests.world import World


def backend(connection: Connection) -> Any:
    return connection.scalar(text("SELECT pg_backend_pid()"))


def test_every_connection_has_timeouts(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDGATE_STATEMENT_TIMEOUT_MS", "1234")
    monkeypatch.setenv("SPENDGATE_LOCK_TIMEOUT_MS", "321")
    settings.cache_clear()
    limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]
    names = [*limits, "client_connection_check_interval", "timezone", "application_name"]
    with transaction() as connection:
        shown = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]
    assert shown == ["1234ms", "321ms", "1min", "1s", "UTC", "spendgate"]


@pytest.mark.parametrize("is_pooled", [True, False])
def test_every_connection_ends_soon_after_its_server_vanished(database: str, is_pooled: bool) -> None:
    made = engine() if is_pooled else unpooled_engine()
    with made.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        found = driver.info.get_parameters()
    seconds = int(found["keepalives_idle"]) + int(found["keepalives_interval"]) * int(found["keepalives_count"])
    assert (found["keepalives"], seconds, found["tcp_user_timeout"]) == ("1", 25, "20000")


def test_dead_idle_connections_are_replaced(world: World) -> None:
    with transaction() as one, transaction() as other:
        dead = [backend(one), backend(other)]
    world.execute("SELECT pg_terminate_backend(unnest(%s::int[]))", dead)
    with transaction() as one, transaction() as other:
        assert not {backend(one), backend(other)} & set(dead)


def test_dead_connection_within_ping_grace_fails_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ping_grace, "seconds", 10.0)
    with transaction() as connection:
        dead = backend(connection)
    world.execute("SELECT pg_terminate_backend(CAST(%s AS integer))", dead)
    with pytest.raises(OperationalError) as lost:
        committed(backend)
    assert is_transient(lost.value)
    assert committed(backend) != dead


def test_ping_grace_does_not_apply_outside_committed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ping_grace, "seconds", 10.0)
    dead = committed(backend)
    world.execute("SELECT pg_terminate_backend(CAST(%s AS integer))", dead)
    with transaction() as connection:
        assert backend(connection) != dead
