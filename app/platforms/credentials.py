"""Credentials of platform accounts, read by reference at each use: stored only encrypted, never logged or shown."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from db.engine import transaction
from db.repository.platforms import kept_credentials
from domain.errors import InvalidValue
from domain.text import is_sound
from runtime import encryption
from runtime.settings import SettingsError, variable

KEPT: Final = "kept"
"""The reference of credentials that the database keeps encrypted."""

MAX_BYTES: Final = 65_536
LEAST_SECRET: Final = 6
"""Characters of the shortest value that is hidden in texts; shorter ones would hide parts of ordinary words."""


class Credentials:
    """Secrets by name, from a reference: `kept`, or such as `env:GOOGLE` or `file:/run/secrets/google.json`."""

    __slots__ = ("_secrets", "reference")

    def __init__(self, reference: str, secrets: Mapping[str, str]) -> None:
        self.reference = reference
        self._secrets = dict(secrets)

    def __repr__(self) -> str:
        return f"Credentials({self.reference})"

    def get(self, name: str) -> str | None:
        """The secret with this name; None if there is none."""
        return self._secrets.get(name)

    def required(self, name: str) -> str:
        """The secret with this name. Raises InvalidValue if it is missing or empty."""
        value = self._secrets.get(name)
        if not value:
            raise InvalidValue("credentials", f"{self.reference} has no {name}")
        return value

    def hide_in(self, text: str) -> str:
        """The text with every secret of at least LEAST_SECRET characters replaced by `…`."""
        for secret in sorted(self._secrets.values(), key=len, reverse=True):
            if len(secret) >= LEAST_SECRET:
                text = text.replace(secret, "…")
        return text


def credentials_at(reference: str, account: int = 0) -> Credentials:
    """Returns the secrets in the JSON object that the reference names. Raises InvalidValue, without any secret in it.

    `account`: the platform account whose kept credentials the reference `kept` means.
    """
    kind, place = parts_of(reference)
    if kind == KEPT:
        return Credentials(reference, secrets_in(_kept(account), "the kept credentials"))
    if kind == "file":
        return Credentials(reference, secrets_in(_content(Path(place)), reference))
    content = variable(place)
    if content is None:
        raise InvalidValue("credentials", f"the variable {place} is not set in this process")
    return Credentials(reference, secrets_in(content, reference))


def parts_of(reference: str) -> tuple[str, str]:
    """The kind of a reference, `env`, `file` or `kept`, and its name or path, empty for `kept`.

    Raises InvalidValue for anything else.
    """
    kind, _, place = reference.partition(":")
    if reference != KEPT and (kind not in {"env", "file"} or not place):
        raise InvalidValue("credentials", "expected env:NAME or file:/path, which contain a JSON object, or kept")
    return kind, place


def encrypted(secrets: Mapping[str, str]) -> str:
    """The secrets as a JSON object, encrypted for the database.

    Raises InvalidValue for no secrets, a secret without name or value, more than MAX_BYTES, or without an encryption
    key.
    """
    content = json.dumps(dict(secrets))
    if len(content) > MAX_BYTES:
        raise InvalidValue("secrets", f"are larger than {MAX_BYTES} bytes")
    if not secrets or not all(name and value for name, value in secrets.items()):
        raise InvalidValue("secrets", "have no secret, or one without a name or a value")
    try:
        return encryption.encrypted(content)
    except SettingsError as error:
        raise InvalidValue("secrets", str(error)) from None


def _kept(account: int) -> str:
    with transaction() as connection:
        stored = kept_credentials.secrets_of(connection, account)
    if stored is None:
        advice = f"spendgate platform credentials {account} --stdin"
        raise InvalidValue("credentials", f"none are kept for platform account {account} yet: {advice}")
    try:
        return encryption.decrypted(stored)
    except SettingsError as error:
        raise InvalidValue("credentials", str(error)) from None


def _content(path: Path) -> str:
    try:
        if not path.is_file():
            raise InvalidValue("credentials", f"{path} is not a file")
        if path.stat().st_size > MAX_BYTES:
            raise InvalidValue("credentials", f"{path} is larger than {MAX_BYTES} bytes")
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue("credentials", f"{path} cannot be read: {type(error).__name__}") from None


def secrets_in(content: str, place: str) -> dict[str, str]:
    """The secrets in a text. Raises InvalidValue, which names the text's `place`, if it is no JSON object of texts."""
    try:
        read = json.loads(content)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict) or not all(isinstance(value, str) and is_sound(value) for value in read.values()):
        raise InvalidValue("credentials", f"{place} is not a JSON object of texts")
    return read
