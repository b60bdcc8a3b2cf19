"""Checks of the encryption keys: that one is set, and that the keys decrypt every kept secret."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy.exc import DBAPIError

from app import key_rotation
from app.doctor.findings import Finding, right, unsafe, wrong
from runtime.encryption import VARIABLE
from runtime.formats import first_of
from runtime.settings import settings

NAMED: Final = 5
"""Unreadable secrets that a finding names, at most."""


def findings() -> Iterator[Finding]:
    """Yields one finding: whether an encryption key is set, and whether the keys decrypt every kept secret."""
    keys = settings().encryption_keys
    if keys is None:
        yield _without_key()
        return
    found = f"{len(keys.split(','))} set"
    try:
        kept = key_rotation.re_encrypt(dry_run=True)
    except DBAPIError:  # another check names an unreachable Postgres, or a login or revision that has no such tables
        yield right("encryption keys", found)
        return
    if kept.unreadable:
        named = first_of(kept.unreadable, NAMED)
        yield wrong(
            "encryption keys", f"{found}; none decrypts: {named}", "add the key that encrypted them, or set them again"
        )
    elif kept.re_encrypted:
        old = f"{found}; {kept.re_encrypted} kept secrets need an older one than the first"
        yield right("encryption keys", f"{old}; `spendgate secrets re-encrypt` changes that")
    else:
        yield right("encryption keys", f"{found}; the first decrypts all {kept.current} kept secrets")


def _without_key() -> Finding:
    try:
        kept = key_rotation.total()
    except DBAPIError:
        kept = 0
    if kept:
        found = f"{VARIABLE} is not set, and {kept} secrets are kept"
        return wrong("encryption keys", found, f"set {VARIABLE} to the keys of the other processes")
    return unsafe("encryption keys", f"{VARIABLE} is not set", "make one with `spendgate new-encryption-key`")
