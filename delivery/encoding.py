"""Messages as JSON, by a compiled decoder; what it refuses or would read wrongly is read by `domain.json_text`."""

import json
from typing import Any, Final, cast

import msgspec
from dramatiq import Encoder
from dramatiq.encoder import MessageData

from domain.json_text import encode_unstorable, is_nested_too_deeply, may_be_deep, read_json

_ZERO: Final = b"\\u0000"
"""How JSON spells U+0000, which the compiled decoder takes and Postgres does not."""


class FastJSONEncoder(Encoder):
    """The JSON of Dramatiq's own encoder, decoded in half the time."""

    def encode(self, data: MessageData) -> bytes:
        """Raises TypeError for what JSON cannot say."""
        try:
            text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, default=encode_unstorable)
            return text.encode()  # no larger than it came
        except UnicodeEncodeError:  # half of a surrogate pair
            return json.dumps(data, separators=(",", ":"), default=encode_unstorable).encode()

    def decode(self, data: bytes) -> MessageData:
        """Raises ValueError and RecursionError for what is no JSON. See `domain.json_text` for what cannot be held."""
        return cast(MessageData, decoded(data))


def decoded(data: bytes) -> Any:
    """The value of a JSON text. Raises as `read_json`."""
    if b"\\" in data and _ZERO in data:
        return read_json(data)
    try:
        value = msgspec.json.decode(data)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return read_json(data)
    return read_json(data) if may_be_deep(data) and is_nested_too_deeply(value) else value
