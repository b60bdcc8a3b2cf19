"""Citus refuses no statement of a job without brands, and a session in which it refused one is used no more."""

from datetime import datetime

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import NotSupportedError

from db.engine import committed, query_pipelined
from tests.world import World
from workers.actors.enforcement import evaluate_budgets

SESSION = text("SELECT pg_backend_pid()")
REFUSED = text("SELECT id FROM brands FOR UPDATE")


def session() -> int:
    return committed(lambda connection: int(connection.scalar(SESSION)))


def refused(connection: Connection) -> None:
    connection.execute(REFUSED)


def refused_in_pipeline(connection: Connection) -> None:
    query_pipelined(connection, (REFUSED, {}))


def test_brand_with_an_unreadable_zone_is_enforced_without_an_error(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    brand = world.one("INSERT INTO brands (name, time_zone) VALUES ('Unreadable', 'PST') RETURNING id")["id"]
    evaluate_budgets([brand])


@pytest.mark.parametrize("is_pipelined", [True, False])
def test_session_in_which_a_statement_was_refused_is_closed(world: World, is_pipelined: bool) -> None:
    before = session()
    assert session() == before
    with pytest.raises(NotSupportedError):
        committed(refused_in_pipeline if is_pipelined else refused)
    assert session() != before
