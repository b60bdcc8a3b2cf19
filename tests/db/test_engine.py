"""Transactions commit or roll back as a whole, and are retried after transient errors only."""

from collections.abc import Callable
from datetime import datetime
from threading import Barrier
from typing import Any

import pytest
import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError

from db.dry_runs import run_dry
from db.engine import (
    MAX_TRIES,
    before_next,
    committed,
    deferred,
    engine,
    query_pipelined,
    snapshot,
    transaction,
)
from db.failures import StaleRead, is_transient, sql_state
from db.local_settings import local_setting
from runtime.settings import settings
from tests.citus import Limit
from tests.kit import at_once, lines, statements
from tests.world import World


def counted(work: Callable[[Connection], Any]) -> tuple[Callable[[Connection], Any], list[int]]:
    """The work wrapped to count its attempts, and a list with one entry per attempt."""
    tries: list[int] = []

    def once_more(connection: Connection) -> Any:
        tries.append(len(tries))
        return work(connection)

    return once_more, tries


def raising(state: str) -> Callable[[Connection], Any]:
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{state}'; END $$"
    return lambda connection: connection.exec_driver_sql(statement)


def insert_and_fail() -> None:
    with transaction() as connection:
        connection.exec_driver_sql("INSERT INTO brands (name) VALUES ('lost')")
        raising("P0001")(connection)


def test_statement_over_the_timeout_is_cancelled(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPENDGATE_STATEMENT_TIMEOUT_MS", "100")
    settings.cache_clear()
    with pytest.raises(OperationalError, match="statement timeout"), transaction() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(30)")


def test_transaction_commits_completely_or_not_at_all(world: World) -> None:
    with pytest.raises(DBAPIError, match="on purpose"):
        insert_and_fail()
    with transaction() as connection:
        connection.exec_driver_sql("INSERT INTO brands (name) VALUES ('kept')")
    assert world.rows("SELECT name FROM brands") == [{"name": "kept"}]


def test_both_transactions_of_a_deadlock_succeed(world: World) -> None:
    brands = world.brand(), world.brand()
    meet = Barrier(2)

    def rename(first: int, second: int) -> int:
        def work(connection: Connection) -> None:
            for brand in (first, second):
                connection.exec_driver_sql("UPDATE brands SET name = name || '+' WHERE id = %s", (brand,))
                if not tries[1:] and brand == first:
                    meet.wait(10)

        work_counted, tries = counted(work)
        committed(work_counted)
        return len(tries)

    with structlog.testing.capture_logs() as logged:
        at_once(lambda: rename(*brands), lambda: rename(*reversed(brands)))
    assert [row["name"] for row in world.rows("SELECT name FROM brands")] == ["Brand++", "Brand++"]
    assert lines(logged, "transaction.retried")[0]["attempt"] == 1


@pytest.mark.parametrize("state", ["40P01", "40001"])
def test_transaction_is_retried_max_tries_times(database: str, state: str) -> None:
    work, tries = counted(raising(state))
    with pytest.raises(DBAPIError) as error:
        committed(work)
    assert (sql_state(error.value), len(tries)) == (state, MAX_TRIES)


def test_stale_read_is_rolled_back_and_retried(world: World) -> None:
    def work(connection: Connection) -> str:
        connection.exec_driver_sql("INSERT INTO brands (name) VALUES ('once')")
        if len(tries) < 3:
            raise StaleRead("it changed meanwhile")
        return "done"

    again, tries = counted(work)
    assert committed(again) == "done"
    assert len(tries) == 3
    assert len(world.rows("SELECT * FROM brands")) == 1


def test_deadlock_raised_by_the_driver_is_retried(database: str) -> None:
    """COPY uses the driver directly, so that its errors are not wrapped by SQLAlchemy."""

    def work(connection: Connection) -> str:
        driver = connection.connection.driver_connection
        assert driver is not None
        if len(tries) < 2:
            driver.execute("DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '40P01'; END $$")
        return "done"

    again, tries = counted(work)
    assert committed(again) == "done"


def test_other_errors_are_not_retried(database: str) -> None:
    for state in ("23505", "22003", "55P03"):
        work, tries = counted(raising(state))
        with pytest.raises(DBAPIError):
            committed(work)
        assert len(tries) == 1


def test_snapshot_sees_one_state_and_is_read_only(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brands = "SELECT count(*) FROM brands"
    with snapshot() as connection:
        before = connection.exec_driver_sql(brands).scalar_one()
        world.brand()
        assert connection.exec_driver_sql(brands).scalar_one() == before
        with pytest.raises(InternalError, match="read-only transaction"):
            connection.exec_driver_sql("INSERT INTO brands (name) VALUES ('b')")
    with transaction() as connection:
        connection.exec_driver_sql("INSERT INTO brands (name) VALUES ('b')")
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar_one() == "read committed"


def test_the_process_has_one_engine(database: str) -> None:
    assert engine() is engine()


RENAME = text("UPDATE brands SET name = :name WHERE id = :id")
ADD_CAMPAIGN = text("INSERT INTO campaigns (brand_id, name) VALUES (:id, 'Campaign')")


NAMES = text("SELECT id, name FROM brands WHERE name <> :other ORDER BY id")


def test_pipelined_queries_all_succeed_or_raise_the_first_error(world: World) -> None:
    brand = world.brand()
    with transaction() as connection:
        found = query_pipelined(
            connection, (NAMES, {"other": ""}), (RENAME, {"name": "new", "id": brand}), (NAMES, {"other": ""})
        )
    assert found == [[(brand, "Brand")], [], [(brand, "new")]]
    with pytest.raises(IntegrityError, match="foreign key") as refused, transaction() as connection:
        query_pipelined(connection, (RENAME, {"name": "lost", "id": brand}), (ADD_CAMPAIGN, {"id": brand + 1}))
    assert sql_state(refused.value) == "23503"
    assert world.one("SELECT name FROM brands")["name"] == "new"


def test_deferred_queries_are_done_before_what_follows_them_and_with_the_commit(world: World) -> None:
    brand = world.brand()
    with transaction() as connection:
        deferred(connection, (RENAME, {"name": "first", "id": brand}))
        assert query_pipelined(connection, (NAMES, {"other": ""})) == [[(brand, "first")]]
        deferred(connection, (RENAME, {"name": "second", "id": brand}))
        assert connection.scalar(text("SELECT name FROM brands")) == "second"
        deferred(connection, (RENAME, {"name": "third", "id": brand}))
    with transaction() as connection:
        deferred(connection, (RENAME, {"name": "third, committed", "id": brand}))
    assert world.one("SELECT name FROM brands")["name"] == "third, committed"


def test_settings_of_later_queries_are_sent_before_them_and_not_before_a_commit(world: World) -> None:
    shown = text("SELECT current_setting('lock_timeout')")
    for is_last in (True, False):
        with statements() as sent, transaction() as connection:
            query_pipelined(connection, (shown, {}))
            before_next(connection, local_setting(connection, "lock_timeout", "1234ms"))
            if not is_last:
                assert query_pipelined(connection, (shown, {})) == [[("1234ms",)]]
        texts = [statement for statement, _ in sent]
        assert len(texts[texts.index(str(shown)) :]) == (2 if is_last else 4)


def test_a_deferred_query_that_fails_undoes_the_transaction(world: World) -> None:
    brand = world.brand()

    def work(connection: Connection) -> None:
        query_pipelined(connection, (RENAME, {"name": "lost", "id": brand}))
        deferred(connection, (ADD_CAMPAIGN, {"id": brand + 1}), (RENAME, {"name": "lost too", "id": brand}))

    for run in (committed, run_dry):
        with pytest.raises(IntegrityError, match="foreign key"):
            run(work)
    assert world.one("SELECT name FROM brands")["name"] == "Brand"


def test_a_transaction_without_a_query_asks_postgres_nothing(world: World) -> None:
    with statements() as sent:
        with transaction():
            pass
        assert committed(lambda _: "done", 123) == "done"
    assert not [statement for statement, _ in sent if statement in {"BEGIN", "COMMIT"} or "lock_timeout" in statement]


def test_a_transaction_leaves_its_connection_to_the_driver_as_it_was(world: World) -> None:
    with transaction() as connection:
        one = backend(connection)
    with pytest.raises(DBAPIError, match="on purpose"):
        insert_and_fail()
    with engine().connect() as connection:
        assert backend(connection) == one
        connection.exec_driver_sql("INSERT INTO brands (name) VALUES ('undone')")
        connection.rollback()
    assert world.rows("SELECT FROM brands") == []


SETTINGS = text("SELECT current_setting('lock_timeout'), current_setting('plan_cache_mode')")


@pytest.mark.parametrize(
    ("is_small", "plans"),
    [
        pytest.param(True, "force_generic_plan", marks=pytest.mark.on_one_server(Limit.VALUES)),
        (False, "auto"),
    ],
)
def test_transaction_settings_do_not_outlive_the_transaction(world: World, *, is_small: bool, plans: str) -> None:
    brand = world.brand()

    def work(connection: Connection) -> list[list[tuple[Any, ...]]]:
        return query_pipelined(connection, (NAMES, {"other": ""}), (SETTINGS, {}))

    assert committed(work, 123, is_small=is_small) == [[(brand, "Brand")], [("123ms", plans)]]
    by_itself = committed(lambda connection: list(connection.execute(SETTINGS)), 123, is_small=is_small)
    assert by_itself == [("123ms", plans)]
    with transaction() as connection:
        (settings_after,) = query_pipelined(connection, (SETTINGS, {}))
    assert settings_after == [("15s", "auto")]


def backend(connection: Connection) -> Any:
    return connection.scalar(text("SELECT pg_backend_pid()"))


@pytest.mark.parametrize("queries", [1, 2])
def test_connection_lost_during_queries_is_a_transient_error(world: World, queries: int) -> None:
    brand = world.brand()

    def lose() -> None:
        with transaction() as connection:
            world.execute("SELECT pg_terminate_backend(CAST(%s AS integer))", backend(connection))
            query_pipelined(connection, *[(RENAME, {"name": "lost", "id": brand})] * queries)

    with pytest.raises(OperationalError) as lost:
        lose()
    assert is_transient(lost.value)
    with transaction() as connection:
        assert connection.scalar(text("SELECT name FROM brands")) == "Brand"
