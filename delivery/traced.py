"""A span around the work on each message or bundle, within the trace of the message's sender."""

import threading
import time
from contextlib import AbstractContextManager
from typing import Any

from dramatiq import Broker, MessageProxy, Middleware

from delivery import bundles
from delivery.messages import TRACEPARENT
from runtime import tracing
from runtime.metrics import UNTRACED
from runtime.settings import settings


class Allowance:
    """A rate limit of messages: `a_second` each second, and as many at once after a second or more without any."""

    def __init__(self, a_second: int) -> None:
        self._a_second = a_second
        self._left = float(a_second)
        self._at = 0.0
        self._guard = threading.Lock()

    def take(self, wanted: int, seconds: float) -> int:
        """Counts and returns how many of `wanted` messages are allowed now. `seconds`: the monotonic clock's time."""
        with self._guard:
            self._left = min(self._a_second, self._left + (seconds - self._at) * self._a_second)
            self._at = seconds
            taken = min(wanted, int(self._left))
            self._left -= taken
            return taken


class Traced(Middleware):
    """Makes a span for each message or bundle: a child of its sender's span. The span of a bundle links to all senders.

    At most SPENDGATE_TRACES_A_SECOND messages a second get a span or a link, sampled ones first: with all of them, a
    worker under load would spend more time on spans than on spend.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()
        self._allowance = Allowance(settings().traces_a_second)

    def before_process_message(self, _broker: Broker, message: MessageProxy) -> None:
        if not tracing.is_on():
            return
        options = message.options
        senders = options.get(bundles.TRACEPARENTS, [options[TRACEPARENT]] if TRACEPARENT in options else [])
        taken = self._allowance.take(len(senders) or 1, time.monotonic())
        sampled = sum(map(tracing.is_sampled, senders))
        if sampled > taken:
            UNTRACED.inc(sampled - taken)
        if not taken:
            return
        attributes: dict[str, str | int] = {
            "messaging.system": "dramatiq",
            "messaging.destination.name": message.queue_name,
            "messaging.batch.message_count": len(message.options.get("message_ids", "1")),
        }
        parents = sorted(senders, key=tracing.is_sampled, reverse=True)[:taken]
        span = tracing.span(f"process {message.actor_name}", "consumer", parents=parents, attributes=attributes)
        span.__enter__()
        self._of_thread.span = span

    def after_process_message(
        self, _broker: Broker, _message: Any, *, result: object = None, exception: BaseException | None = None
    ) -> None:
        del result
        span: AbstractContextManager[object] | None = getattr(self._of_thread, "span", None)
        self._of_thread.span = None
        if span is not None:
            _end(span, exception)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        self.after_process_message(broker, message)


def _end(span: AbstractContextManager[object], error: BaseException | None) -> None:
    try:
        span.__exit__(None if error is None else type(error), error, None if error is None else error.__traceback__)
    except BaseException as raised:
        if raised is not error:
            raise
