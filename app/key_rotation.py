"""Re-encrypts stored secrets with the newest key: the first of SPENDGATE_ENCRYPTION_KEYS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from sqlalchemy import Connection

from db.engine import committed, transaction
from db.repository.access import kept_secrets
from db.repository.access.kept_secrets import KeptSecrets
from runtime import encryption
from runtime.settings import SettingsError, settings

SECRETS_A_TRANSACTION: Final = 100


@dataclass
class Rotation:
    """The result of re-encrypting the kept secrets, made or (in a dry run) expected.

    `re_encrypted`: the number of secrets that an older key had encrypted. `current`: the number of secrets that the
    newest key had encrypted. `unreadable`: the names of the secrets that no key decrypts.
    """

    re_encrypted: int = 0
    current: int = 0
    unreadable: list[str] = field(default_factory=list)


class _New(NamedTuple):
    key: int
    old: str
    new: str


def total() -> int:
    """The number of secrets that the database keeps encrypted."""
    with transaction() as connection:
        return sum(kept_secrets.count(connection, kept) for kept in kept_secrets.KEPT)


def re_encrypt(*, dry_run: bool = False, on_done: Callable[[int], object] = lambda _secrets: None) -> Rotation:
    """Re-encrypts each secret that an older key encrypted; secrets that no key decrypts stay as they are.

    Safe while the service runs, and to run again. `dry_run`: only counts. Calls `on_done` after each page with the
    number of secrets read in it. Returns the counts. Raises SettingsError without a key.
    """
    settings().required_encryption_keys()
    rotation = Rotation()
    for kept in kept_secrets.KEPT:
        after = 0
        while rows := _page(kept, after):
            after = rows[-1][0]
            changed = [_New(key, old, new) for key, old in rows if (new := _turned(kept, key, old, rotation))]
            if not dry_run:
                committed(partial(_replace, kept=kept, changed=changed))
            on_done(len(rows))
    return rotation


def _page(kept: KeptSecrets, after: int) -> Sequence[tuple[int, str]]:
    with transaction() as connection:
        return kept_secrets.page(connection, kept, after, SECRETS_A_TRANSACTION)


def _turned(kept: KeptSecrets, key: int, old: str, rotation: Rotation) -> str | None:
    """Returns the secret encrypted with the newest key, None if it is already or no key decrypts it; counts each."""
    if encryption.is_current(old):
        rotation.current += 1
        return None
    try:
        new = encryption.re_encrypted(old)
    except SettingsError:
        rotation.unreadable.append(f"{kept.words} {key}")
        return None
    rotation.re_encrypted += 1
    return new


def _replace(connection: Connection, kept: KeptSecrets, changed: Sequence[_New]) -> None:
    """Stores the new texts; leaves a secret that a person changed meanwhile, because the newest key encrypted it."""
    for one in changed:
        kept_secrets.replace(connection, kept, one.key, one.old, one.new)
