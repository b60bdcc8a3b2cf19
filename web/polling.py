"""One task that polls for all streams of a process: begun by the first of them, and over soon after the last."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

FIRST_BACKOFF_SECONDS: Final = 1.0


class Poller:
    """Polls again and again while `is_wanted` returns True, and goes on after every error.

    `poll`: one poll. `is_wanted`: asked before each poll; the task ends in the step in which it is False, so that
    nobody can join in between. `pause`: waits between two polls. `log_fault`: called with each error; the next poll
    comes after FIRST_BACKOFF_SECONDS, a time that doubles with each further error up to `max_backoff_seconds`.
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
        """Whether the task has begun and is not over."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Begins to poll. The caller has seen that the task is not running."""
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
