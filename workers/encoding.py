"""Messages as JSON, by a compiled decoder; what it refuses and Python's own reads is read as before."""

import json
from typing import cast

import msgspec
from dramatiq import Encoder
from dramatiq.encoder import MessageData


class FastJSONEncoder(Encoder):
    """The JSON of Dramatiq's own encoder, decoded in half the time."""

    def encode(self, data: MessageData) -> bytes:
        """Raises TypeError for what JSON cannot say."""
        try:
            return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()  # no larger than it came
        except UnicodeEncodeError:  # half of a surrogate pair
            return json.dumps(data, separators=(",", ":")).encode()

    def decode(self, data: bytes) -> MessageData:
        """Raises ValueError for what is no JSON."""
        try:
            return cast(MessageData, msgspec.json.decode(data))
        except (msgspec.DecodeError, RecursionError):
            return cast(MessageData, json.loads(data.decode()))
