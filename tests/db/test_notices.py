"""Notices: each key is reported once, and ids rise in commit order."""

from datetime import timedelta
from functools import partial
from threading import Event

from app.maintenance import NOTICES_KEPT, maintain
from db.engine import committed, transaction
from db.repository.notices import notices
from db.repository.notices.notices import NoticeKind
from tests.kit import at_once
from tests.world import World, moment

AT = moment("2026-06-17T12:00:30")


def add(key: str, kind: str = "import.failed", at: str = "2026-06-17T12:00:30") -> int | None:
    return committed(partial(notices.add, kind=kind, key=key, brand_id=None, body={"file": "spend.csv"}, at=moment(at)))


def test_notice_with_a_known_key_of_its_kind_is_not_added(world: World) -> None:
    added = add("spend.csv")
    assert added is not None
    assert add("spend.csv") is None
    assert add("spend.csv", kind="report.ready") is not None
    assert add("other.csv") is not None
    assert world.one("SELECT kind, brand_id, key, body, created_at FROM notices WHERE id = %s", added) == {
        "kind": "import.failed",
        "brand_id": None,
        "key": "spend.csv",
        "body": {"file": "spend.csv"},
        "created_at": AT,
    }


def test_four_concurrent_workers_add_one_notice(world: World) -> None:
    added: list[int | None] = []
    at_once(*[lambda: added.append(add("spend.csv"))] * 4)
    assert sum(one is not None for one in added) == 1
    assert world.one("SELECT count(*) FROM notices")["count"] == 1


def test_notice_of_an_open_transaction_has_a_lower_id_than_later_ones(world: World) -> None:
    """A reader that has seen an id misses no lower one: the later transaction waits for the earlier commit."""
    added: list[int | None] = []
    is_added = Event()

    def first() -> None:
        with transaction() as connection:
            added.append(notices.add(connection, "report.ready", "first", None, {}, AT))
            is_added.set()
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            while not world.one(waiting)["count"]:
                pass
            assert not world.rows("SELECT FROM notices")

    def second() -> None:
        is_added.wait(30)
        added.append(add("second"))

    at_once(first, second)
    assert added == sorted(added, key=lambda one: one or 0)
    assert len(world.rows("SELECT FROM notices")) == 2


def test_every_kind_of_notice_is_allowed_by_the_table(world: World) -> None:
    for kind in NoticeKind:
        assert add("key", kind=kind) is not None


def test_maintenance_deletes_old_notices(world: World) -> None:
    at = world.set_clock("2026-06-17T12:00:30")
    add("old", at=(at - NOTICES_KEPT - timedelta(seconds=1)).isoformat())
    add("new", at=(at - NOTICES_KEPT + timedelta(seconds=1)).isoformat())
    maintain(at)
    assert [row["key"] for row in world.rows("SELECT key FROM notices")] == ["new"]
