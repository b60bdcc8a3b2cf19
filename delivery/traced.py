"""A span around the work on each message or bundle, within the trace of the message's sender."""

import threading
from contextlib import AbstractContextManager
from typing import Any

from dramatiq import Broker, MessageProxy, Middleware

from delivery import bundles
from delivery.messages import TRACEPARENT
from runtime import tracing


class Traced(Middleware):
    """Makes a span for each message: its parent is the span that sent it. The span of a bundle links to all senders."""

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def before_process_message(self, _broker: Broker, message: MessageProxy) -> None:
        options = message.options
        senders = options.get(bundles.TRACEPARENTS, [options[TRACEPARENT]] if TRACEPARENT in options else [])
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
