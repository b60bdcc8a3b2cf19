"""Sends HTTP requests to ad platforms and decodes their JSON answers, within SPENDGATE_PLATFORM_DEADLINE_SECONDS."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from app import outgoing_http
from app.outgoing_http import NoAnswer
from app.platforms.protocol import TooLarge, Unanswered
from domain.text import storable
from runtime.settings import settings

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_UNSOUND: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\xed[\xa0-\xbf]")
"""JSON that may have U+0000 or half of a surrogate pair in a text; a whole pair, such as of an emoji, matches too."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: status, headers, and decoded JSON with Decimals for floats (None if it is not JSON)."""

    status: int
    headers: Mapping[str, str]
    content: Any


def send(method: str, url: str, headers: Mapping[str, str], **body: Any) -> Answer:
    """Sends one request and returns the answer whatever its status is.

    `body`: `json` or `data` as httpx takes them, and `params`, which must contain no secrets. Raises Unanswered, or
    TooLarge for an answer that is too large or too slow; their messages have neither URL nor headers.
    """
    seconds = settings().platform_deadline_seconds
    try:
        answer = outgoing_http.request(method, url, headers, seconds=seconds, max_bytes=MAX_ANSWER_BYTES, **body)
    except NoAnswer as error:
        kind = TooLarge if error.is_late else Unanswered
        raise kind(f"the platform: {error}", may_be_applied=error.may_be_received) from None
    if answer.is_cut:
        raise TooLarge(f"the platform's answer is larger than {MAX_ANSWER_BYTES} bytes", may_be_applied=True)
    return Answer(answer.status, answer.headers, decoded(answer.content))


def decoded(content: bytes | str) -> Any:
    """The value of a platform's JSON, with Decimals for floats and storable texts; None if it is not JSON."""
    try:
        value = json.loads(content, parse_float=Decimal) if content else None
        data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        return value if _UNSOUND.search(data) is None else _storable(value)
    except (TypeError, ValueError, RecursionError):
        return None


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_storable(one) for one in value]
    if isinstance(value, dict):
        return {storable(name): _storable(one) for name, one in value.items()}
    return value
