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
    """Allows a number of calls a second. After a pause of a second or more, so many may come at once."""

    def __init__(self, a_second: int) -> None:
        self._a_second = a_second
        self._left = float(a_second)
        self._at = 0.0
        self._guard = threading.Lock()

    def is_allowed(self, seconds: float) -> bool:
        """Returns whether a call is allowed at a moment of a monotonic clock, and counts it if so."""
        with self._guard:
            self._left = min(self._a_second, self._left + (seconds - self._at) * self._a_second)
            self._at = seconds
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Traced(Middleware):
    """Makes a span for each message: its parent is the span that sent it. The span of a bundle links to all senders.

    At most SPENDGATE_TRACES_A_SECOND spans a second: with one for each message under load, a worker would spend more
    time on spans than on spend.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()
        self._allowance = Allowance(settings().traces_a_second)

    def before_process_message(self, _broker: Broker, message: MessageProxy) -> None:
        if not tracing.is_on():
            return
        options = message.options
        senders = options.get(bundles.TRACEPARENTS, [options[TRACEPARENT]] if TRACEPARENT in options else [])
        if not self._allowance.is_allowed(time.monotonic()):
            UNTRACED.inc(sum(map(tracing.is_sampled, senders)))
            return
        attributes: dict[str, str | int] = {
            "messaging.system": "dramatiq",
            "messaging.destination.name": message.queue_name,
            "messaging.batch.message_count": len(message.options.get("message_ids", "1")),
        }
        span = tracing.span(f"process {message.actor_name}", "consumer", parents=senders, attributes=attributes)
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
