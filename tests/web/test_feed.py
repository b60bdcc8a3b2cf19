"""The feed of open pages: every listener receives each status change, also after errors and idle times."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from web import polling
from web.dashboard import changes
from web.dashboard.changes import Feed

Rows = list[int]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Rows:
    """Ids of toggles; the feed reads them in place of the table, and polls often."""
    found: Rows = []
    monkeypatch.setattr(changes, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(changes, "IDLE_POLLS", 3)
    monkeypatch.setattr(polling, "FIRST_BACKOFF_SECONDS", 0.02)
    monkeypatch.setattr(changes, "_last_change", lambda: len(found))
    monkeypatch.setattr(changes, "_epoch", lambda: "first", raising=False)
    monkeypatch.setattr(changes, "_changes_after", lambda after, *_: [{"id": number} for number in found[after:]])
    return found


def add_change(rows: Rows) -> int:
    rows.append(len(rows) + 1)
    return rows[-1]


async def assert_receives(rows: Rows, queue: "asyncio.Queue[changes.Change | None]") -> None:
    change_id = add_change(rows)
    change = await asyncio.wait_for(queue.get(), 20)
    assert change == {"id": change_id}


def in_time(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test(), 120)

    with ThreadPoolExecutor(1) as thread:  # a browser's driver may keep a loop running in this one
        thread.submit(lambda: asyncio.run(bounded())).result()


def test_page_opened_any_time_after_the_last_one_closed_receives_changes(rows: Rows) -> None:
    async def test() -> None:
        for hundredths in range(20):
            feed = Feed()
            async with feed.listening():
                pass
            await asyncio.sleep(hundredths / 100)
            async with feed.listening() as queue:
                await assert_receives(rows, queue)
                await asyncio.sleep(0.1)  # longer than idle polling continues
                await assert_receives(rows, queue)

    in_time(test)


def test_pages_opened_together_share_one_polling_task_which_ends_after_them(rows: Rows) -> None:
    async def test() -> None:
        feed = Feed()
        contexts = [feed.listening() for _ in range(20)]
        queues = await asyncio.gather(*(context.__aenter__() for context in contexts))
        change_id = add_change(rows)
        for queue in queues:
            assert await asyncio.wait_for(queue.get(), 20) == {"id": change_id}
        for context in contexts:
            await context.__aexit__(None, None, None)
        polling = feed._poller._task
        assert polling is not None
        await asyncio.wait_for(polling, 20)

    in_time(test)


def test_polling_continues_after_any_error(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[Exception] = [ValueError("once"), OSError("twice"), KeyError("again")]
    read = changes._changes_after

    def failing(after: int, *rest: int | None) -> list[changes.Change]:
        if faults:
            raise faults.pop()
        return read(after, *rest)

    monkeypatch.setattr(changes, "_changes_after", failing)

    async def test() -> None:
        feed = Feed()
        async with feed.listening() as queue:
            await assert_receives(rows, queue)
            assert faults == []

    in_time(test)


def test_page_receives_changes_after_polling_was_cancelled(rows: Rows) -> None:
    async def test() -> None:
        feed = Feed()
        async with feed.listening() as first:
            await assert_receives(rows, first)
            assert feed._poller._task is not None
            feed._poller._task.cancel()
            async with feed.listening() as second:
                await asyncio.sleep(0)
                await assert_receives(rows, second)
            await asyncio.wait_for(first.get(), 20)

    in_time(test)


def test_queues_end_in_a_new_epoch_and_new_ones_begin_with_its_ids(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        feed = Feed()
        async with feed.listening() as first, feed.listening() as second:
            for _ in range(5):
                add_change(rows)
            for _ in range(5):
                assert await asyncio.wait_for(first.get(), 20) == await asyncio.wait_for(second.get(), 20)
            del rows[2:]  # the standby that took over had two of five rows
            monkeypatch.setattr(changes, "_epoch", lambda: "second", raising=False)
            assert await asyncio.wait_for(first.get(), 20) is None
            assert await asyncio.wait_for(second.get(), 20) is None
        async with feed.listening() as queue:
            assert feed.epoch == "second"
            await assert_receives(rows, queue)

    in_time(test)


def test_listener_cancelled_while_opening_is_removed(rows: Rows) -> None:
    async def test() -> None:
        feed = Feed()
        opening = asyncio.create_task(feed.listening().__aenter__())
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        assert feed._listeners == set()
        async with feed.listening() as queue:
            await assert_receives(rows, queue)

    in_time(test)


def test_changes_of_others_delay_no_heartbeat() -> None:
    async def test() -> None:
        queue: asyncio.Queue[changes.Change | None] = asyncio.Queue()

        async def flood() -> None:
            while True:
                queue.put_nowait({"id": 1})
                await asyncio.sleep(0)

        flooding = asyncio.create_task(flood())
        beats = changes.with_heartbeats(queue, lambda _change: False, 0.01)
        assert [await anext(beats) for _ in range(3)] == [changes.NOTHING] * 3
        flooding.cancel()
        queue.put_nowait(None)
        assert [one async for one in beats if one is not changes.NOTHING] == []

    in_time(test)
