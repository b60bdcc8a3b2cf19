"""Budget edits by SQL beside edits by the product: no deadlock, and `has_campaign_budgets` stays right."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

import psycopg
import pytest
import structlog
from sqlalchemy import Connection

from app.edits import editing
from app.enforcement import edited
from app.proof.verification import verify
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from domain.periods import Period
from tests.citus import Limit
from tests.kit import at_once, lines
from tests.world import World, eventually

LIMIT = 1_000
ROUNDS = 25
SET = "UPDATE budgets SET limit_micros = 5 WHERE brand_id = %(brand)s AND period = 'daily'"
INSERT = "INSERT INTO budgets (brand_id, period, limit_micros) VALUES (%(brand)s, 'weekly', 5)"
UPSERT = INSERT.replace("weekly", "daily") + (
    " ON CONFLICT (brand_id, campaign_id, period) DO UPDATE SET limit_micros = excluded.limit_micros"
)
MOVE = "UPDATE budgets SET brand_id = %(other)s WHERE brand_id = %(brand)s AND period = 'daily'"
REMOVE = "DELETE FROM budgets WHERE brand_id = %(brand)s AND period = 'daily'"

Run = Callable[[str, dict[str, int]], "Future[None]"]


@pytest.fixture
def run(world: World) -> Iterator[Run]:
    """Returns a function that runs one statement in a thread, on its own connection."""
    with ThreadPoolExecutor(4) as pool:

        def execute(statement: str, parameters: dict[str, int]) -> None:
            with psycopg.connect(world.url, autocommit=True) as connection:
                connection.execute(statement.encode(), parameters)

        yield lambda statement, parameters: pool.submit(execute, statement, parameters)


def wait_until_one_waits(world: World) -> None:
    eventually(world.waits)


def flags(world: World) -> dict[int, bool]:
    return {row["id"]: row["has_campaign_budgets"] for row in world.rows("SELECT id, has_campaign_budgets FROM brands")}


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
@pytest.mark.parametrize("statement", [SET, INSERT, UPSERT, MOVE, REMOVE])
@pytest.mark.parametrize("removes", [False, True])
def test_edit_waits_for_an_sql_edit_without_a_deadlock(
    world: World, run: Run, noon: datetime, statement: str, removes: bool
) -> None:
    edit = Edit("test", world.set_clock(noon))
    brand, other = world.brand(daily=LIMIT), world.brand()
    period = Period.WEEKLY if statement == INSERT else Period.DAILY
    if removes and statement == INSERT:
        world.limit(LIMIT, "weekly", brand=brand)
        statement = SET.replace("daily", "weekly")
    sql_edits: list[Future[None]] = []

    def work(connection: Connection) -> None:
        if not sql_edits:
            sql_edits.append(run(statement, {"brand": brand, "other": other}))
            wait_until_one_waits(world)
        if removes and catalog.budget_of(connection, brand, None, period):
            editing.remove_budget(connection, brand, None, period, edit)
        elif not removes:
            editing.set_budget(connection, brand, None, period, 7, edit)

    with structlog.testing.capture_logs() as logged:
        edited(work, brand)
        sql_edits[0].result()
    assert {line["error"] for line in lines(logged, "transaction.retried")} <= {"StaleRead"}
    kept = world.rows("SELECT limit_micros FROM budgets WHERE brand_id = %s AND period = %s", brand, period)
    assert kept == ([] if removes else [{"limit_micros": 7}])
    world.verify()


def test_concurrent_sql_edits_product_edits_and_spend_never_deadlock(world: World, noon: datetime) -> None:
    edit = Edit("test", world.set_clock(noon))
    brands = [world.brand() for _ in range(4)]
    for brand in reversed(brands):
        world.limit(LIMIT, brand=brand)
    campaigns = [world.campaign(brand) for brand in brands]

    def by_sql(statement: str) -> Callable[[], None]:
        def repeat() -> None:
            with psycopg.connect(world.url, autocommit=True) as connection:
                for number in range(ROUNDS):
                    connection.execute(statement.encode(), {"limit": LIMIT + number, "brand": brands[number % 4]})

        return repeat

    def by_product() -> None:
        for number in range(ROUNDS):
            brand, limit = brands[number % 4], 2 * LIMIT + number

            def work(connection: Connection, brand: int = brand, limit: int = limit) -> None:
                editing.set_budget(connection, brand, None, Period.DAILY, limit, edit)

            edited(work, brand)

    def spend() -> None:
        for _ in range(ROUNDS):
            world.ingest([world.event(campaign, 1) for campaign in campaigns])

    with structlog.testing.capture_logs() as logged:
        at_once(
            by_product,
            spend,
            by_sql("UPDATE budgets SET limit_micros = %(limit)s"),
            by_sql("UPDATE budgets SET limit_micros = %(limit)s WHERE brand_id = %(brand)s"),
        )
    assert {line["error"] for line in lines(logged, "transaction.retried")} <= {"StaleRead"}
    world.verify()


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_one_statement_locks_brands_in_id_order_for_any_order_of_rows(world: World, run: Run) -> None:
    first, second = world.brand(), world.brand()
    for brand in (second, first):
        world.limit(LIMIT, brand=brand)
    lock = b"SELECT FROM brands WHERE id = %s FOR NO KEY UPDATE NOWAIT"
    with psycopg.connect(world.url) as holder:
        holder.execute(lock, [first])
        updated = run("UPDATE budgets SET limit_micros = 5", {})
        wait_until_one_waits(world)
        holder.execute(lock, [second])
    updated.result()


WAITS_FOR_A_BUDGET = """
    SELECT FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND strpos(query, 'FROM budgets') > 0 AND strpos(query, 'FOR NO KEY UPDATE') > 0
"""


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_edit_waits_without_its_brand_for_an_sql_edit_that_takes_long(world: World, noon: datetime) -> None:
    edit = Edit("test", world.set_clock(noon))
    first, second = world.brand(daily=LIMIT), world.brand(daily=LIMIT)

    def work(connection: Connection) -> None:
        editing.set_budget(connection, second, None, Period.DAILY, 7, edit)

    def by_sql() -> None:
        with psycopg.connect(world.url, autocommit=True) as connection:
            connection.execute(b"UPDATE budgets SET limit_micros = 5")

    lock = b"SELECT FROM brands WHERE id = %s FOR NO KEY UPDATE NOWAIT"
    with ThreadPoolExecutor(2) as pool, psycopg.connect(world.url) as holder, psycopg.connect(world.url) as other:
        holder.execute(lock, [first])
        of_sql = pool.submit(by_sql)
        wait_until_one_waits(world)
        of_product = pool.submit(edited, work, second)
        eventually(lambda: bool(world.rows(WAITS_FOR_A_BUDGET)))
        other.execute(lock, [second])
        other.rollback()
        holder.rollback()
        of_sql.result()
        of_product.result()
    assert [row["limit_micros"] for row in world.rows("SELECT * FROM budgets ORDER BY brand_id")] == [5, 7]
    world.verify()


# --- whether campaigns have budgets


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_flag_stays_true_when_one_campaign_budget_is_removed_while_another_is_inserted(world: World, run: Run) -> None:
    brand = world.brand()
    one, two = world.campaign(brand, daily=LIMIT), world.campaign(brand)
    world.spend(one, 1)
    with psycopg.connect(world.url) as inserting:
        insert = b"INSERT INTO budgets (brand_id, campaign_id, period, limit_micros) VALUES (%s, %s, 'daily', 10)"
        inserting.execute(insert, (brand, two))
        removed = run("DELETE FROM budgets WHERE campaign_id = %(one)s", {"one": one})
        wait_until_one_waits(world)
    removed.result()
    assert flags(world) == {brand: True}
    world.spend(one, 1)
    world.spend(two, 10)
    assert not world.is_active(two)
    world.verify()


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_flag_stays_true_when_one_campaign_budget_is_inserted_while_another_is_removed(world: World, run: Run) -> None:
    brand = world.brand()
    one, two = world.campaign(brand, daily=LIMIT), world.campaign(brand)
    insert = "INSERT INTO budgets (brand_id, campaign_id, period, limit_micros) VALUES (%(brand)s, %(two)s, 'daily', 1)"
    with psycopg.connect(world.url) as removing:
        removing.execute("DELETE FROM budgets WHERE campaign_id = %s", [one])
        inserted = run(insert, {"brand": brand, "two": two})
        wait_until_one_waits(world)
    inserted.result()
    assert flags(world) == {brand: True}


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_edit_on_a_snapshot_older_than_another_edit_is_refused(world: World) -> None:
    brand = world.brand()
    one, two = world.campaign(brand, daily=LIMIT), world.campaign(brand)
    with psycopg.connect(world.url) as older:
        older.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        older.execute("SELECT count(*) FROM budgets")
        world.limit(LIMIT, campaign=two)
        with pytest.raises(psycopg.errors.SerializationFailure):
            older.execute("DELETE FROM budgets WHERE campaign_id = %s", [one])
    assert flags(world) == {brand: True}


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_flag_follows_every_kind_of_sql_edit(world: World) -> None:
    brand, other = world.brand(), world.brand(daily=LIMIT)
    campaign = world.campaign(brand)
    world.execute(
        "INSERT INTO budgets (brand_id, campaign_id, period, limit_micros) SELECT brand_id, id, period, 5 "
        "FROM campaigns, unnest('{daily,weekly,monthly}'::text[]) AS period"
    )
    assert flags(world) == {brand: True, other: False}
    world.execute("DELETE FROM budgets WHERE period = 'daily'")
    assert flags(world) == {brand: True, other: False}
    world.execute("UPDATE budgets SET brand_id = %s, campaign_id = NULL WHERE campaign_id = %s", other, campaign)
    assert flags(world) == {brand: False, other: False}
    world.execute("UPDATE budgets SET brand_id = %s, campaign_id = %s", brand, campaign)
    assert flags(world) == {brand: True, other: False}
    world.execute("DELETE FROM budgets")
    assert flags(world) == {brand: False, other: False}


@pytest.mark.on_one_server(Limit.SQL_BY_HAND)
def test_edit_that_waited_for_a_lock_is_dated_after_the_edit_that_held_it(world: World, run: Run) -> None:
    brand = world.brand(daily=LIMIT)
    set_limit = "UPDATE budgets SET limit_micros = %s"
    with psycopg.connect(world.url) as first, psycopg.connect(world.url) as later:
        first.execute("SELECT now()")
        later.execute(set_limit.encode(), [2])
        later.commit()
        first.execute(set_limit.encode(), [1])
    history = world.rows("SELECT limit_micros FROM budget_limits WHERE brand_id = %s ORDER BY changed_at", brand)
    assert [row["limit_micros"] for row in history] == [LIMIT, 2, 1]


@pytest.mark.parametrize("flag", [True, False])
def test_verify_lists_a_brand_with_a_wrong_flag(world: World, flag: bool) -> None:
    brand = world.brand()
    campaign = world.campaign(brand)
    if not flag:
        world.limit(LIMIT, campaign=campaign)
    world.execute("UPDATE brands SET has_campaign_budgets = %s", flag)
    assert {"brand_id": brand, "has_campaign_budgets": flag} in [row for check in verify() for row in check.wrong]
