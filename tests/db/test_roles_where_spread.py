"""Further rights of roles where brands are spread over servers; tried on tables that are ready to be spread."""

import psycopg
import pytest
from sqlalchemy import create_engine, pool

from db.repository.access.privileges import FUNCTIONS, DatabaseRole
from db.repository.access.roles import OUR_FUNCTIONS
from db.repository.spread import citus
from tests.citus import Limit
from tests.roles import roles_of
from tests.world import World

SET_HOLDS = "UPDATE campaigns SET set_holds = %s"
NOTE = "SELECT note_platform_hold(1, 1, true, '{{platform_paused}}', {}, '2020-01-01')"
KEEP = "INSERT INTO directory_campaigns (id, brand_id) VALUES (9, 1)"


def test_every_granted_function_is_one_that_is_granted_where_it_exists() -> None:
    granted = {function.partition("(")[0] for functions in FUNCTIONS.values() for function in functions}
    assert granted - OUR_FUNCTIONS == set()


@pytest.mark.on_one_server(Limit.DATABASES)
def test_workers_keep_the_directory_and_set_no_hold_but_the_platforms(world: World) -> None:
    world.campaign(world.brand())
    url = world.url.replace("postgresql://", "postgresql+psycopg://")
    with create_engine(url, poolclass=pool.NullPool).begin() as connection:
        citus.prepare(connection)
    assert world.one("SELECT id, brand_id FROM directory_campaigns") == {"id": 1, "brand_id": 1}
    with roles_of(world.url) as urls:
        with psycopg.connect(urls[DatabaseRole.WORKER], autocommit=True) as worker:
            worker.execute(KEEP)
            worker.execute(SET_HOLDS, [["platform_paused"]])
            worker.execute(NOTE.format("'platform:meta'").encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="may set no other hold"):
                worker.execute(SET_HOLDS, [["user_paused"]])
            for by in ("", "user:ceo@example.com", "platform:"):
                with pytest.raises(psycopg.errors.InvalidParameterValue, match="no author"):
                    worker.execute(NOTE.format(f"'{by}'").encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute("UPDATE campaigns SET configured_status = 'paused'")
        with psycopg.connect(urls[DatabaseRole.READER], autocommit=True) as reader:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(NOTE.format("'me'").encode())
            reader.execute("SELECT FROM directory_brands")
        with psycopg.connect(urls[DatabaseRole.WEB], autocommit=True) as web:
            web.execute(SET_HOLDS, [["platform_paused", "flight_ended"]])
            web.execute("DELETE FROM directory_campaigns WHERE id = 9")
    entry = world.one(
        "SELECT changed_by, old, new, changed_at > '2026-01-01' AS is_now FROM audit_entries ORDER BY id DESC LIMIT 1"
    )
    held = {"set_holds": ["platform_paused"]}
    assert entry == {"changed_by": "platform:meta", "old": {"set_holds": []}, "new": held, "is_now": True}
