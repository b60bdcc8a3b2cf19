"""Credentials of platform accounts, read by reference at each use: never stored, logged or shown."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from domain.errors import InvalidValue

MAX_BYTES: Final = 65_536
LEAST_SECRET: Final = 6
"""Characters of a value that is hidden in texts; shorter ones would hide parts of ordinary words."""


class Credentials:
    """Secrets by name, from a reference such as `env:GOOGLE` or `file:/run/secrets/google.json`."""

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
        """The secret with this name. Raises InvalidValue if it is missing."""
        value = self._secrets.get(name)
        if not value:
            raise InvalidValue("credentials", f"{self.reference} has no {name}")
        return value

    def hide_in(self, text: str) -> str:
        """The text with every secret replaced by dots."""
        for secret in sorted(self._secrets.values(), key=len, reverse=True):
            if len(secret) >= LEAST_SECRET:
                text = text.replace(secret, "…")
        return text


def credentials_at(reference: str) -> Credentials:
    """Reads the JSON object of secrets that the reference names. Raises InvalidValue, without any secret in it."""
    kind, place = parts_of(reference)
    if kind == "file":
        return Credentials(reference, _object(reference, _content(Path(place))))
    content = os.environ.get(place)
    if content is None:
        raise InvalidValue("credentials", f"the variable {place} is not set in this process")
    return Credentials(reference, _object(reference, content))


def parts_of(reference: str) -> tuple[str, str]:
    """The kind of a reference, `env` or `file`, and its name or path. Raises InvalidValue for anything else."""
    kind, _, place = reference.partition(":")
    if kind not in {"env", "file"} or not place:
        raise InvalidValue("credentials", "expected env:NAME or file:/path, which hold a JSON object")
    return kind, place


def _content(path: Path) -> str:
    try:
        if not path.is_file():
            raise InvalidValue("credentials", f"{path} is not a file")
        if path.stat().st_size > MAX_BYTES:
            raise InvalidValue("credentials", f"{path} is larger than {MAX_BYTES} bytes")
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue("credentials", f"{path} cannot be read: {type(error).__name__}") from None


def _object(reference: str, content: str) -> dict[str, str]:
    try:
        read = json.loads(content)
    except ValueError:
        read = None
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise InvalidValue("credentials", f"{reference} is not a JSON object of texts")
    return read
