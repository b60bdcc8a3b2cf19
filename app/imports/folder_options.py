"""The options of the spend folder: `spendgate.toml` beside the files says how they are to be read."""

import hashlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from app.imports import spend_folder
from app.imports.answers import ReadOptions
from domain import platforms
from domain.errors import InvalidValue
from runtime.settings import settings

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "unit": ("currency", "cents", "micros"),
    "decimal": ("point", "comma"),
    "day_order": ("day_first", "month_first"),
    "sum_rows": ("sums", "parts"),
    "evening_times": ("same_day", "next_day"),
}
_TEXTS: Final = ("platform", "currency", "encoding", "sheet", "account")
_SWITCHES: Final = ("name_as_id", "delta", "keep_duplicates", "complete", "allow_falls", "restated")
_COLUMNS: Final = ("campaign", "name", "day", "spend", "currency", "account")
DOUBTS: Final = ("few_hours", "days_apart", "other_platform", "unknown_zone", "outside_range", "several_rows")
"""Codes of the warnings that must be accepted before a file is imported."""

KEYS: Final = (*_TEXTS, *_WORDS, *_SWITCHES, "accept", "columns")


@dataclass(frozen=True)
class FolderOptions:
    """The options for the files of one directory of the spend folder; `read` has those of reading.

    `account`: the platform's id of the account; None: the account that a file names. `allow_falls`: changes that need a
    person's consent, such as totals that fall by more than a tenth, are imported without it. `accept`: the codes of
    doubts about a file that do not stop its import. `restated`: a file that has an earlier content again is a newer
    report, not a copy of the old one. `version`: a hash that differs where the options do.
    """

    read: ReadOptions
    account: str | None
    allow_falls: bool
    accept: frozenset[str]
    restated: bool
    version: str


def options_of(folder: Path, platform: str) -> FolderOptions:
    """Reads the options for the files in the directory `platform` of the spend folder; empty: in the folder itself.

    The directory's name is the platform unless the options name one. Raises InvalidValue for an options file that
    cannot be read or is no TOML, and for unknown options and values.
    """
    try:
        text = spend_folder.options_text(folder, platform)
        told = tomllib.loads(text.decode())
    except OSError as error:
        raise _bad(spend_folder.reason_of(error)) from None
    except (ValueError, RecursionError) as error:
        raise _bad(f"is no TOML: {error}") from None
    for key in told.keys() - set(KEYS):
        raise _bad(f"{key} is no option; there are {', '.join(KEYS)}")
    allow_falls = _read(told, "allow_falls", _switch) or settings().spend_folder_allow_falls
    version = hashlib.sha256(text + repr(allow_falls).encode()).hexdigest()[:16]
    account = _read(told, "account", _text)
    accept = _read(told, "accept", _doubts) or frozenset()
    restated = _read(told, "restated", _switch) or False
    return FolderOptions(_read_options(told, platform), account, allow_falls, accept, restated, version)


def _read_options(told: Mapping[str, Any], platform: str) -> ReadOptions:
    read = ReadOptions(
        platform=_read(told, "platform", _text) or (platforms.canonical_or_lower(platform) if platform else None)
    )
    texts: dict[str, Any] = {name: _read(told, name, _text) for name in ("currency", "encoding", "sheet")}
    words: dict[str, Any] = {name: _read(told, name, _one_of(allowed)) for name, allowed in _WORDS.items()}
    switches: dict[str, Any] = {
        name: _read(told, name, _switch) or False for name in ("name_as_id", "delta", "keep_duplicates")
    }
    complete = _read(told, "complete", _switch)
    columns = _read(told, "columns", _headings) or {}
    return replace(read, columns=columns, complete=complete, **texts, **words, **switches)


def _read(told: Mapping[str, Any], key: str, read: Callable[[Any], Any]) -> Any:
    """The option's value; None if it is not set. Raises InvalidValue for a value that it cannot have."""
    if key not in told:
        return None
    value = read(told[key])
    if value is None:
        raise _bad(f"{key} cannot be {told[key]!r}")
    return value


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _switch(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _doubts(value: object) -> frozenset[str] | None:
    if not isinstance(value, list) or not all(one in DOUBTS for one in value):
        return None
    return frozenset(value)


def _one_of(allowed: tuple[str, ...]) -> Callable[[object], str | None]:
    return lambda value: value if isinstance(value, str) and value in allowed else None


def _headings(value: object) -> dict[str, str] | None:
    if not isinstance(value, dict) or value.keys() - set(_COLUMNS):
        return None
    return value if all(isinstance(heading, str) for heading in value.values()) else None


def _bad(message: str) -> InvalidValue:
    return InvalidValue(spend_folder.OPTIONS_FILE, message)
