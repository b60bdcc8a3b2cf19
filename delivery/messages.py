"""What lies on a queue, read with care: another program may have written anything there."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import structlog
from dramatiq import Actor, Message
from dramatiq.common import current_millis, q_name
from dramatiq.errors import BrokerConnectionError, DecodeError
from sqlalchemy.exc import DBAPIError

from db.engine import TRANSIENT_ERRORS, transaction
from db.repository.ledger import rejected
from domain.json_text import FlawedObject, flaws_of, read_json
from runtime import clock
from runtime.settings import settings

log = structlog.get_logger()

DELAYED: Final = ".DQ"
MAX_DELAY_MS: Final = 60_000
RETRY_BYTES: Final = 1_000_000
"""By so much a message may outgrow the limit on its way: a retry carries what went wrong, and is written anew."""

KEPT_BYTES: Final = 128_000_000
HEAD_BYTES: Final = 1_000_000
"""Of a message beyond KEPT_BYTES, which would crowd out all other work, this much is kept."""

INPUTS: Final = frozenset({"events", "totals"})
"""The arguments that list inputs: what cannot be held there is rejected input by input."""

_RECEIPT: Final = re.compile(r"[0-9a-f]{32}/[0-9a-f]{32}")
REDELIVERED: Final = "redelivered"
"""The option by which a consumer says that a process died with the message: how many deaths are surely its doing."""

OPTION_TYPES: Final = {"redis_message_id": str, "eta": int, "retries": int, "traceback": str, "requeue_timestamp": int}
"""The options a message may carry, and what each must be."""


class NotEnqueued(BrokerConnectionError):
    """The broker did not take the message. The text says why, for whoever sends."""

    def __init__(self, reason: str, *, is_full: bool = False) -> None:
        super().__init__(f"nothing was enqueued: {reason}")  # type: ignore[no-untyped-call]
        self.is_full = is_full


class MessageTooLarge(ValueError):
    """The message has more bytes than SPENDGATE_MAX_MESSAGE_BYTES."""


class Fault(NamedTuple):
    """Why bytes on a queue are no message of ours: the reason they are kept under."""

    reason: str


def check_size(data: bytes) -> None:
    """Raises MessageTooLarge for what no worker would take from the queue."""
    limit = settings().max_message_bytes
    if len(data) > limit:
        raise MessageTooLarge(f"a message of {len(data)} bytes, the limit SPENDGATE_MAX_MESSAGE_BYTES is {limit}")


def largest_bytes() -> int:
    """What a message may have for a worker to take it."""
    return settings().max_message_bytes + RETRY_BYTES


def read(data: bytes, queue_name: str, actors: Mapping[str, Actor[..., Any]]) -> Message[Any] | Fault:
    """The message in `data` with the options we know, or what is wrong with it."""
    try:
        message: Any = Message.decode(data)
    except (DecodeError, TypeError, ValueError, RecursionError):
        return Fault("undecodable")
    shaped = (
        isinstance(message.options, dict)
        and isinstance(message.kwargs, dict)
        and isinstance(message.args, tuple)
        and isinstance(message.message_id, str)
        and isinstance(message.actor_name, str)
        and message.queue_name == queue_name
        and not _is_flawed(message)
    )
    if not shaped:
        return Fault("unknown_shape")
    actor = actors.get(message.actor_name)
    if actor is None or actor.queue_name != q_name(queue_name):
        return Fault("unknown_actor")
    sound: Message[Any] = replace(message, options=_sound(message.options, queue_name.endswith(DELAYED)))
    return sound


def _is_flawed(message: Message[Any]) -> bool:
    """Whether an argument beside the inputs holds what cannot be held. Options like that are left out anyway."""
    is_batch = len(message.args) == 1 and isinstance(message.args[0], list)
    others = [] if is_batch else list(message.args)
    if isinstance(message.kwargs, FlawedObject):
        others += [value for key, value in message.kwargs.items() if key not in INPUTS]
    return any(map(flaws_of, others))


def _sound(options: dict[str, Any], is_delayed: bool) -> dict[str, Any]:
    """The options that mean something to us, within bounds: a forged one neither stops a worker nor hides anything."""
    sound: dict[str, Any] = {name: value for name, value in options.items() if type(value) is OPTION_TYPES.get(name)}
    if sound.get("retries", 0) < 0:
        del sound["retries"]
    if not is_delayed:
        sound.pop("eta", None)
    elif "eta" in sound:
        sound["eta"] = min(sound["eta"], current_millis() + MAX_DELAY_MS)
    return sound


def keep_bytes(data: bytes, reason: str, queue_name: str, size: int = 0) -> bool:
    """Keeps what is no message of ours, as it came; false where Postgres will not have it now.

    `size`: how many bytes it has where `data` is only the head of it.
    """
    text = data.decode("utf-8", "backslashreplace")
    try:
        payload = read_json(data)
    except (ValueError, RecursionError):
        payload = text
    log.warning("message.set_aside", reason=reason, queue=queue_name, characters=len(text))
    held = "".join(f"; {flaw}" for flaw in flaws_of(payload))
    cut = f", cut to {HEAD_BYTES} of {size} bytes" if size > len(data) else ""
    return keep(reason, f"{len(text)} characters on queue {queue_name}{cut}{held}", payload)


def keep(reason: str, detail: str, payload: object) -> bool:
    """Keeps a message that cannot be worked on, to be listed and replayed; false where Postgres will not have it."""
    try:
        with transaction() as connection:
            rejected.keep_message(connection, reason, detail, payload, clock.now(), _receipt_in(payload))
    except (DBAPIError, OSError, *TRANSIENT_ERRORS):
        log.exception("message.not_kept", reason=reason)
        return False
    return True


def receipt_name(value: object) -> str | None:
    """The name of a receipt that a message carries; what is none is nobody's."""
    return value if isinstance(value, str) and _RECEIPT.fullmatch(value) else None


def _receipt_in(payload: object) -> str | None:
    kwargs = payload.get("kwargs") if isinstance(payload, dict) else None
    return receipt_name(kwargs.get("receipt")) if isinstance(kwargs, dict) else None
