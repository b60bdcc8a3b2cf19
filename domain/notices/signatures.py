"""Signatures of webhooks by the Standard Webhooks specification, version v1: HMAC-SHA256 in base64."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from domain.errors import InvalidValue

PREFIX: Final = "whsec_"
LEAST_BYTES: Final = 24
MOST_BYTES: Final = 64
"""Most bytes of a secret's key by the specification; LEAST_BYTES is the least."""


def secret_of(key: bytes) -> str:
    """The key as the text that receivers configure as secret: PREFIX and base64."""
    return PREFIX + base64.b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """The bytes of the key in a secret, which is PREFIX and base64.

    Raises InvalidValue, whose text leaves out the secret, for another form or a key of another length.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise InvalidValue("secret", f"expected {PREFIX} and {LEAST_BYTES} to {MOST_BYTES} bytes in base64")
    return key


def headers(message_id: str, at: datetime, body: bytes, secrets: Iterable[str]) -> Mapping[str, str]:
    """The headers of a message sent at `at`, with a signature for each of the secrets.

    Raises InvalidValue, whose text leaves out the secret, for a secret of another form.
    """
    seconds = str(int(at.timestamp()))
    signed = b".".join([message_id.encode(), seconds.encode(), body])
    signatures = [
        base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode() for secret in secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
