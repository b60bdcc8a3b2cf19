"""Sends one webhook request: checks and pins the address, signs the body, and returns the outcome."""

import time
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from app.notices import bodies
from app.notices.address_lookups import NotSent, address_of
from app.outgoing_http import NoAnswer, RawAnswer, request
from db.repository.notices.deliveries import Attempt, Taken
from db.repository.notices.endpoints import Endpoint
from domain.errors import InvalidValue
from domain.notices import retries, signatures
from domain.notices.addresses import checked_url
from runtime import clock, encryption
from runtime.settings import settings

DEADLINE_SECONDS: Final = 15.0
MAX_ANSWER_BYTES: Final = 65_536
ANSWER_KEPT: Final = 1_024
"""Bytes of the answer that an attempt keeps for people."""

GONE: Final = 410
PORTS: Final = {"https": 443, "http": 80}


class Target(NamedTuple):
    """An endpoint's URL, and the secrets that sign its messages, the newest first."""

    url: str
    secrets: tuple[str, ...]


class Outcome(NamedTuple):
    """The outcome of one request.

    `retry_after`: the earliest time of the next request by the answer's header, None without one. `is_gone`: the answer
    was 410, after which the endpoint is disabled.
    """

    attempt: Attempt
    retry_after: datetime | None = None
    is_gone: bool = False

    @property
    def is_success(self) -> bool:
        return self.attempt.error is None


def target_of(endpoint: Endpoint, at: datetime) -> Target:
    """The endpoint's URL with its decrypted secrets; the previous secret is one of them while it still signs at `at`.

    Raises SettingsError if no key decrypts them.
    """
    kept = [endpoint.secret]
    if endpoint.previous_secret is not None and endpoint.previous_secret_until is not None:
        kept += [endpoint.previous_secret] if at < endpoint.previous_secret_until else []
    return Target(endpoint.url, tuple(map(encryption.decrypted, kept)))


def post(target: Target, one: Taken) -> Outcome:
    """Sends the message once and returns the outcome; only an answer 2xx is a success. Never raises."""
    at, began = clock.now(), time.monotonic()
    try:
        answer = _answer(target, one, at)
        error = None if 200 <= answer.status < 300 else f"answered {answer.status}"
    except (NoAnswer, NotSent, InvalidValue) as refused:
        answer, error = None, str(refused)
    except Exception as unexpected:  # noqa: BLE001 - a message that cannot be sent must not stop others
        answer, error = None, f"could not be sent: {type(unexpected).__name__}"
    duration_ms = round(1000 * (time.monotonic() - began))
    if answer is None:
        return Outcome(Attempt(at, None, duration_ms, "", error))
    attempt = Attempt(at, answer.status, duration_ms, _beginning(answer), error)
    wait = retries.retry_after(answer.headers.get("retry-after"), clock.now()) if error else None
    return Outcome(attempt, wait, answer.status == GONE)


def _answer(target: Target, one: Taken, at: datetime) -> RawAnswer:
    read = settings()
    url = checked_url(target.url, allows_http=read.webhook_allow_http)
    split = urlsplit(url)
    host, port = split.hostname or "", split.port or PORTS[split.scheme]
    address = address_of(host, port, allows_private=read.webhook_allow_private)
    content = bodies.encoded(bodies.body_of(one))
    signed = signatures.headers(f"msg_{one.message_id.hex}", at, content, target.secrets)
    headers = {"Content-Type": "application/json", **signed}
    return request(
        "POST",
        url,
        headers,
        seconds=DEADLINE_SECONDS,
        max_bytes=MAX_ANSWER_BYTES,
        address=address,
        content=content,
    )


def _beginning(answer: RawAnswer) -> str:
    """The answer's first bytes as text that Postgres can store."""
    return answer.content[:ANSWER_KEPT].decode("utf-8", "replace").replace("\0", "�")
