"""Checks messages of a queue, where other programs may have written anything, and stores invalid or failed ones."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import structlog
from dramatiq import Actor, Message
from dramatiq.common import current_millis, dq_name, q_name
from dramatiq.errors import BrokerConnectionError, DecodeError
from sqlalchemy.exc import DBAPIError

from db.engine import transaction
from db.failures import TRANSIENT_ERRORS, is_transient, sql_state
from db.repository.ledger import rejected
from domain.inputs.json_text import FlawedObject, flaws_of, read_json
from runtime import clock, tracing
from runtime.settings import settings

log = structlog.get_logger()

DELAYED: Final = ".DQ"
MAX_DELAY_MS: Final = 60_000
"""Longest delay of a message, in milliseconds. A longer one comes from a forged `eta` or a wrong clock, and is cut."""

RETRY_BYTES: Final = 1_000_000
"""Bytes by which a retried message may exceed SPENDGATE_MAX_MESSAGE_BYTES, because a retry adds a traceback."""

KEPT_BYTES: Final = 128_000_000
"""Largest invalid message, in bytes, that is kept whole as a rejected input."""

HEAD_BYTES: Final = 1_000_000
"""Bytes kept of a message larger than KEPT_BYTES, which would take too much memory to keep whole."""

OUT_OF_MEMORY: Final = "53200"
"""The SQLSTATE with which Postgres reports that it lacks memory, in general or for one huge value."""

INPUTS: Final = frozenset({"events", "totals"})
"""Arguments that are lists of inputs. An input in them with a value that Postgres cannot store is rejected alone."""

_RECEIPT: Final = re.compile(r"[0-9a-f]{32}/[0-9a-f]{32}")
REDELIVERED: Final = "redelivered"
"""The option that a consumer sets on a suspect message, which a process may have died of.

Its value: how many process deaths the broker knows that the message caused; always 0 with RabbitMQ. Postgres keeps the
count over all deliveries, in `suspect_messages`.
"""

POSTPONED: Final = "postponed"
"""The option of a suspect message that its consumer returns to the queue after POSTPONED_MS.

Messages on a queue never have it.
"""

POSTPONED_MS: Final = 5_000
"""Delay of a suspect message whose process is busy, in milliseconds; another process may fetch it then."""

TRACEPARENT: Final = "traceparent"
"""The option with the span that sent the message, in the form of the HTTP header `traceparent`."""

OPTION_TYPES: Final = {
    "redis_message_id": str,
    "eta": int,
    "retries": int,
    "traceback": str,
    "requeue_timestamp": int,
    TRACEPARENT: str,
}
"""The options that a message on a queue may have, with their types."""


class NotEnqueued(BrokerConnectionError):
    """The broker did not accept the message; the text gives the reason, `is_full` whether the broker lacks room."""

    def __init__(self, reason: str, *, is_full: bool = False) -> None:
        super().__init__(f"nothing was enqueued: {reason}")  # type: ignore[no-untyped-call]
        self.is_full = is_full


class MessageTooLarge(ValueError):
    """The message has more bytes than SPENDGATE_MAX_MESSAGE_BYTES."""


class Fault(NamedTuple):
    """The fault of bytes that are no valid message; `reason`: the code under which they are kept as rejected."""

    reason: str


def check_size(data: bytes) -> None:
    """Raises MessageTooLarge if an encoded message is larger than SPENDGATE_MAX_MESSAGE_BYTES."""
    limit = settings().max_message_bytes
    if len(data) > limit:
        raise MessageTooLarge(f"the message has {len(data)} bytes; SPENDGATE_MAX_MESSAGE_BYTES allows {limit}")


def largest_bytes() -> int:
    """Returns the largest size of a message that a worker reads, in bytes; larger ones are kept as rejected."""
    return settings().max_message_bytes + RETRY_BYTES


def read(data: bytes, queue_name: str, actors: Mapping[str, Actor[..., Any]]) -> Message[Any] | Fault:
    """Decodes a message and removes unknown options; returns a Fault if it is not a valid message of this queue."""
    try:
        message: Any = Message.decode(data)
    except (DecodeError, TypeError, ValueError, RecursionError):
        return Fault("undecodable")
    is_well_formed = (
        isinstance(message.options, dict)
        and isinstance(message.kwargs, dict)
        and isinstance(message.args, tuple)
        and isinstance(message.message_id, str)
        and isinstance(message.actor_name, str)
        and message.queue_name == queue_name
        and not _is_flawed(message)
    )
    if not is_well_formed:
        return Fault("unknown_shape")
    actor = actors.get(message.actor_name)
    if actor is None or actor.queue_name != q_name(queue_name):
        return Fault("unknown_actor")
    checked: Message[Any] = replace(message, options=_known_options(message.options, queue_name.endswith(DELAYED)))
    return checked


def _is_flawed(message: Message[Any]) -> bool:
    """Returns whether an argument other than the inputs has a value that Postgres cannot store."""
    is_batch = len(message.args) == 1 and isinstance(message.args[0], list)
    others = [] if is_batch else list(message.args)
    if isinstance(message.kwargs, FlawedObject):
        others += [value for key, value in message.kwargs.items() if key not in INPUTS]
    return any(map(flaws_of, others))


def _known_options(options: dict[str, Any], is_delayed: bool) -> dict[str, Any]:
    """Returns the options of OPTION_TYPES with valid values, so that forged options cannot stop a worker.

    Only a message on a delay queue (`is_delayed`) keeps `eta`, the due time by its sender's clock; the broker that
    delays it cuts the delay to MAX_DELAY_MS.
    """
    known: dict[str, Any] = {name: value for name, value in options.items() if type(value) is OPTION_TYPES.get(name)}
    if known.get("retries", 0) < 0:
        del known["retries"]
    if TRACEPARENT in known and not tracing.is_traceparent(known[TRACEPARENT]):
        del known[TRACEPARENT]
    if not is_delayed:
        known.pop("eta", None)
    return known


def postponed(message: Message[Any]) -> bytes:
    """Returns a fetched message, encoded for the delay queue of its queue, without options that only workers set."""
    options = {name: value for name, value in message.options.items() if name in OPTION_TYPES}
    return replace(message, queue_name=dq_name(message.queue_name), options=options).encode()


def without_eta(message: Message[Any], queue_name: str, **more: Any) -> bytes:
    """Returns a message, encoded for the queue `queue_name`, without `eta` and with the options `more` added."""
    options = {name: value for name, value in message.options.items() if name != "eta"} | more
    return replace(message, queue_name=queue_name, options=options).encode()


def age_seconds(data: bytes | None) -> float:
    """Returns the seconds since an encoded message was made; 0 for None, invalid bytes, and a moment in the future."""
    try:
        made = Message.decode(data or b"").message_timestamp
        return max(0.0, (current_millis() - made) / 1000)
    except (DecodeError, TypeError, ValueError, RecursionError):
        return 0.0


def keep_bytes(data: bytes, reason: str, queue_name: str, size: int = 0) -> bool:
    """Stores the bytes of an invalid or failed message as a rejected input; returns False if that failed.

    Stores only the first HEAD_BYTES bytes if there are more than KEPT_BYTES, or if Postgres refuses to store them all.
    `size`: the number of bytes of the whole message if `data` is only its head.
    """
    size = max(size, len(data))
    head = data[:HEAD_BYTES]
    kept = data if len(data) <= KEPT_BYTES else head
    error = _failure(reason, lambda: _store_bytes(kept, reason, queue_name, size))
    if error is not None and len(kept) > len(head) and _is_refusal(error):
        error = _failure(reason, lambda: _store_bytes(head, reason, queue_name, size))
    return error is None


def _store_bytes(data: bytes, reason: str, queue_name: str, size: int) -> None:
    text = data.decode("utf-8", "backslashreplace")
    try:
        payload = read_json(data)
    except (ValueError, RecursionError):
        payload = text
    log.warning("message.set_aside", reason=reason, queue=queue_name, characters=len(text))
    flaws = "".join(f"; {flaw}" for flaw in flaws_of(payload))
    cut = f", cut to {HEAD_BYTES} of {size} bytes" if size > len(data) else ""
    _store(reason, f"{len(text)} characters on queue {queue_name}{cut}{flaws}", payload)


def keep(reason: str, detail: str, payload: object) -> bool:
    """Stores a message as a rejected input, which can be listed and replayed; returns False if that failed."""
    return _failure(reason, lambda: _store(reason, detail, payload)) is None


def _store(reason: str, detail: str, payload: object) -> None:
    with transaction() as connection:
        rejected.keep_message(connection, reason, detail, payload, clock.read(), _receipt_in(payload))


def _failure(reason: str, store: Callable[[], None]) -> Exception | None:
    """Calls `store`; logs and returns an error of Postgres, of the system or of this process's memory, else None."""
    try:
        store()
    except (DBAPIError, OSError, MemoryError, *TRANSIENT_ERRORS) as error:
        log.exception("message.not_kept", reason=reason)
        return error
    return None


def _is_refusal(error: Exception) -> bool:
    """Whether the error is due to the size or content of the message, so that another try would fail too."""
    is_full = isinstance(error, DBAPIError) and sql_state(error) == OUT_OF_MEMORY
    return is_full or not (isinstance(error, OSError) or is_transient(error))


def receipt_name(value: object) -> str | None:
    """Returns the value if it is a valid receipt name, else None."""
    return value if isinstance(value, str) and _RECEIPT.fullmatch(value) else None


def _receipt_in(payload: object) -> str | None:
    kwargs = payload.get("kwargs") if isinstance(payload, dict) else None
    return receipt_name(kwargs.get("receipt")) if isinstance(kwargs, dict) else None
