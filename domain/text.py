"""Texts that name something: what they may not contain, so that each is one visible line that says what it shows.

Refused are control characters, line and paragraph separators, what turns the direction of writing (Unicode's
Bidi_Control), halves of surrogate pairs, and texts in which nothing can be seen. Joiners within words, which some
scripts need, stay.
"""

import re
import unicodedata
from typing import Final

_FORBIDDEN: Final = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BLANKS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and signs by their category, and nothing to see."""

_UNSEEN_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cn", "Cs", "Mn", "Me", "Zs", "Zl", "Zp"})


def fault_of(text: str) -> str | None:
    """What is wrong with a text that is not empty, such as «has U+202E, RIGHT-TO-LEFT OVERRIDE»; None for nothing."""
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
    """A name that somebody else gave, with a space for each character that is refused; empty where nothing is seen."""
    kept = _FORBIDDEN.sub(" ", text).strip()
    return "" if not kept or fault_of(kept) else kept


def _is_unseen(character: str) -> bool:
    return character in _BLANKS or unicodedata.category(character) in _UNSEEN_CATEGORIES
