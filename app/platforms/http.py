"""HTTP to ad platforms: JSON answers, within the deadline of the settings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from app import outgoing_http
from app.outgoing_http import NoAnswer
from app.platforms.protocol import TooLarge, Unanswered
from runtime.settings import settings

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: status, headers, and the decoded JSON (None if it is not JSON), without floats."""

    status: int
    headers: Mapping[str, str]
    content: Any


def send(method: str, url: str, headers: Mapping[str, str], **body: Any) -> Answer:
    """Sends one request and returns the answer whatever its status is.

    `body`: `json` or `data` as httpx takes them, and `params`, which have no secrets. Raises Unanswered, with neither
    URL nor headers in the message.
    """
    seconds = settings().platform_deadline_seconds
    try:
        answer = outgoing_http.request(method, url, headers, seconds=seconds, max_bytes=MAX_ANSWER_BYTES, **body)
    except NoAnswer as error:
        kind = TooLarge if error.is_late else Unanswered
        raise kind(f"the platform: {error}", may_be_applied=error.may_be_received) from None
    if answer.is_cut:
        raise TooLarge(f"the answer is larger than {MAX_ANSWER_BYTES} bytes", may_be_applied=True)
    return Answer(answer.status, answer.headers, _decoded(answer.content))


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content, parse_float=Decimal) if content else None
    except (ValueError, RecursionError):
        return None
