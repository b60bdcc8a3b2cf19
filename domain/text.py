"""Checks that names are one visible line, and escapes characters that cannot be stored or shown in other texts.

Forbidden in names are control characters, line and paragraph separators, characters that change the writing direction
(Unicode's Bidi_Control), halves of surrogate pairs, and texts without any visible character. Joiners within words,
which some scripts need, are allowed.
"""

import re
import unicodedata
from typing import Final

_FORBIDDEN: Final = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSEEN: Final = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_BLANKS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Characters that Unicode counts as letters or signs, but that are drawn as blank space."""

_UNSEEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cn", "Cs", "Mn", "Me", "Zs", "Zl", "Zp"})


def fault_of(text: str) -> str | None:
    """The fault of a name, such as «has U+202E, RIGHT-TO-LEFT OVERRIDE»; None for a valid one.

    `text` must not be empty.
    """
    if text.isascii() and text.isprintable() and not text.isspace():
        return None
    found = _FORBIDDEN.search(text)
    if found is not None:
        name = unicodedata.name(found[0], "a control character" if ord(found[0]) < 0xD800 else "half of a pair")
        return f"has U+{ord(found[0]):04X}, {name}"
    if all(map(_is_unseen, text)):
        return f"has no visible character, but U+{ord(text[0]):04X}, {unicodedata.name(text[0], 'which has no name')}"
    return None


def readable(text: str) -> str:
    """A name from another system, stripped, with spaces for forbidden characters; empty if nothing visible is left."""
    kept = _FORBIDDEN.sub(" ", text).strip()
    return "" if not kept or fault_of(kept) else kept


def storable(text: str) -> str:
    """The text with U+0000 and halves of surrogate pairs, which Postgres cannot store, as escapes such as `\\ud800`."""
    return text if is_sound(text) else _UNSTORABLE.sub(_escape, text)


def is_sound(text: str) -> bool:
    """Whether Postgres can store the text: it has neither U+0000 nor halves of surrogate pairs."""
    return text.isprintable() or _UNSTORABLE.search(text) is None


def visible(text: str) -> str:
    """The text with the characters that names may not have as escapes such as `\\u009b`; keeps tabs and line feeds.

    Some of them control a terminal, others change the order in which text is shown. JSON with the escapes has the same
    values.
    """
    return text if text.isprintable() else _UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _is_unseen(character: str) -> bool:
    return character in _BLANKS or unicodedata.category(character) in _UNSEEN_CATEGORIES
