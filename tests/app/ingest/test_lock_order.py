"""The order in which a transaction of spend locks rows: counters by key, brands by id (ADR 31), rejected inputs."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
import pytest
from psycopg.errors import LockNotAvailable

from app.ingest.ingest import count_events
from tests.citus import Limit
from tests.world import World, eventually

pytestmark = pytest.mark.on_one_server(Limit.CATALOGS)

ROWS: Final = (
    ("campaign_days", "campaign_id = %s", "campaign", 0),
    ("campaign_days", "campaign_id = %s", "campaign", 1),
    ("brand_days", "brand_id = %s", "brand", 0),
    ("brand_days", "brand_id = %s", "brand", 1),
    ("brands", "id = %s", "brand", 0),
    ("brands", "id = %s", "brand", 1),
    ("rejected_events", "id = %s", "rejected", 0),
    ("rejected_events", "id = %s", "rejected", 1),
)
"""Every row that counting one event of each of two brands and two known rejected inputs updates, in order."""

BAD: Final = ("a bad input", "b, another one")

Ids = dict[str, list[int]]


@pytest.fixture
def ids(world: World) -> Ids:
    """Two brands with a campaign each, counters of today, and two rejected inputs."""
    brands = [world.brand(), world.brand()]
    campaigns = [world.campaign(brand) for brand in brands]
    count_events([*(world.event(campaign, 1) for campaign in campaigns), *BAD])
    rejected = [row["id"] for row in world.rows("SELECT id FROM rejected_events ORDER BY payload::text")]
    return {"brand": brands, "campaign": campaigns, "rejected": rejected}


def lock(connection: psycopg.Connection[Any], place: int, ids: Ids, *, nowait: bool = False) -> None:
    table, condition, kind, number = ROWS[place]
    statement = f"SELECT FROM {table} WHERE {condition} FOR UPDATE {'NOWAIT' if nowait else ''}"
    assert connection.execute(statement.encode(), [ids[kind][number]]).rowcount == 1


def locked_places(connection: psycopg.Connection[Any], ids: Ids, but: int) -> list[int]:
    """The places in ROWS, without `but`, that some other transaction has locked now."""
    found = []
    for place in range(len(ROWS)):
        try:
            if place != but:
                lock(connection, place, ids, nowait=True)
        except LockNotAvailable:
            found.append(place)
        finally:
            connection.rollback()
    return found


@pytest.mark.parametrize("held", range(len(ROWS)), ids=[f"{row[0]} {row[3] + 1}" for row in ROWS])
@pytest.mark.parametrize("sent", [(0, 1), (1, 0)], ids=["in order", "reversed"])
def test_transaction_that_waits_for_a_row_holds_the_rows_before_it_and_none_after(
    world: World, ids: Ids, held: int, sent: Sequence[int]
) -> None:
    events = [one for place in sent for one in (BAD[place], world.event(ids["campaign"][place], 1))]
    seen: list[list[int]] = []
    with (
        psycopg.connect(world.url) as stranger,
        psycopg.connect(world.url) as observer,
        ThreadPoolExecutor(1) as threads,
    ):
        lock(stranger, held, ids)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"

        def is_blocked() -> bool:
            ((count,),) = observer.execute(waiting, [stranger.info.backend_pid]).fetchall()
            observer.rollback()
            return bool(count)

        def is_seen() -> bool:
            """Looks while the transaction waits: a look during which it gave up the wait proves nothing."""
            if is_blocked():
                places = locked_places(observer, ids, held)
                if is_blocked():
                    seen.append(places)
            return bool(seen)

        counting = threads.submit(count_events, events)
        eventually(is_seen)
        stranger.rollback()
        assert counting.result().taken == 2
    assert seen[0] == list(range(held))
    assert [row["times"] for row in world.rejected()] == [2, 2]
    world.verify()


def test_input_rejected_more_often_than_an_integer_holds_stays_at_the_largest(world: World) -> None:
    good = world.campaign(world.brand())
    count_events([None])
    world.execute("UPDATE rejected_events SET times = 2147483647")
    assert count_events([None, world.event(good, 1)]).taken == 1
    ((reason, times),) = [(row["reason"], row["times"]) for row in world.rejected()]
    assert (reason, times) == ("malformed", 2_147_483_647)
