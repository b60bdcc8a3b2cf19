"""Ticks, the scheduler's messages to jobs: after an outage hundreds of them wait, and one run does the work of all.

Each job finds its due work in rows, so a run does the work of every tick that was made before the run began. A process
acknowledges such ticks without running the job. It retries a failed tick until the next one is due.
"""

import threading
from dataclasses import dataclass
from typing import Any, Final

import structlog
from dramatiq import Broker, MessageProxy, Middleware
from dramatiq.common import current_millis
from dramatiq.middleware import SkipMessage
from periodiq import pendulum

from runtime.settings import settings

log = structlog.get_logger()

IS_OVER: Final = "is_over"
"""The option of a failed tick that is not retried. Messages on a queue never have it."""


@dataclass
class Run:
    """The last run of a job that began in this process and has not failed.

    `began_ms`: by this machine's clock. `made_ms`: when the newest of the ticks whose work the run does was made, by
    the scheduler's clock. Both are in milliseconds since 1970.
    """

    message_id: str
    began_ms: int
    made_ms: int


class Ticks(Middleware):
    """Acknowledges a tick without running its job if a later run in this process does or did its work.

    Marks failed ticks whose next tick is due, so that they are not retried.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._runs: dict[str, Run] = {}

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        if not _is_tick(broker, message):
            return
        now_ms = current_millis()
        made_ms = _made_ms(message, now_ms)
        # the clocks of the scheduler and of this machine may each be off by so much
        certain_ms = 2 * settings().max_clock_offset.total_seconds() * 1000
        with self._guard:
            run = self._runs.get(message.actor_name)
            if run is None or made_ms + certain_ms >= run.began_ms:
                self._runs[message.actor_name] = Run(message.message_id, now_ms, made_ms)
                return
            run.made_ms = max(run.made_ms, made_ms)
        raise SkipMessage("a run that began after this tick was made does its work")

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: object = None, exception: BaseException | None = None
    ) -> None:
        del result
        if exception is None or not _is_tick(broker, message):
            return
        now_ms = current_millis()
        made_ms = _made_ms(message, now_ms)
        with self._guard:
            run = self._runs.get(message.actor_name)
            if run is not None and run.message_id == message.message_id:
                made_ms = max(made_ms, run.made_ms)
                del self._runs[message.actor_name]
        next_tick = schedule_of(broker, message.actor_name).next_valid_date(pendulum.from_timestamp(made_ms / 1000))
        if next_tick.timestamp() * 1000 <= now_ms:
            message.options[IS_OVER] = True
            log.warning("job.not_retried", error=type(exception).__name__)


def schedule_of(broker: Broker, actor_name: str) -> Any:
    """Returns the actor's schedule, a `CronSpec` of periodiq; None if it has none, or is unknown."""
    actor = broker.actors.get(actor_name)
    return None if actor is None else actor.options.get("periodic")


def _made_ms(message: MessageProxy, now_ms: int) -> int:
    """Returns when a message was made, in milliseconds since 1970, at least 0 and at most `now_ms`.

    Another program may send any value; one that is no integer becomes `now_ms`.
    """
    made_ms: object = message.message_timestamp
    return max(0, min(made_ms, now_ms)) if isinstance(made_ms, int) else now_ms


def _is_tick(broker: Broker, message: MessageProxy) -> bool:
    return not (message.args or message.kwargs) and schedule_of(broker, message.actor_name) is not None
