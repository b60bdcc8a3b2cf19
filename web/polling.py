"""One task that polls for all streams of a process: the first stream starts it; it ends soon after the last one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

FIRST_BACKOFF_SECONDS: Final = 1.0


class Poller:
    """Polls again and again while `is_wanted` returns True, and goes on after every error.

    `poll`: polls once. `is_wanted`: called before each poll; when it returns False the task ends without an `await` in
    between, so that no stream can join meanwhile. `pause`: waits between two polls. `log_fault`: called with each
    error; the next poll comes after a backoff of FIRST_BACKOFF_SECONDS, doubled with each further error in a row, at
    most `max_backoff_seconds`.
    """

    def __init__(
        self,
        poll: Callable[[], Awaitable[None]],
        *,
        is_wanted: Callable[[], bool],
        pause: Callable[[], Awaitable[object]],
        log_fault: Callable[[Exception], None],
        max_backoff_seconds: float,
    ) -> None:
        self._poll, self._is_wanted, self._pause, self._log_fault = poll, is_wanted, pause, log_fault
        self._max_backoff_seconds = max_backoff_seconds
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the task has started and has not ended."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Starts the task that polls. Call it only while `is_running` is False."""
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        wait_seconds = FIRST_BACKOFF_SECONDS
        while self._is_wanted():
            try:
                await self._poll()
                wait_seconds = FIRST_BACKOFF_SECONDS
            except Exception as error:  # noqa: BLE001 - polling must survive every error
                self._log_fault(error)
                await asyncio.sleep(wait_seconds)
                wait_seconds = min(2 * wait_seconds, self._max_backoff_seconds)
            await self._pause()
