"""Reads JSON from outside without failing on values that Python or Postgres cannot store.

Such a value is called a flaw: a number that Python cannot read (over 4,300 digits, 1e400, NaN), a container nested
too deeply, or a text or key with U+0000, half of a surrogate pair, or bytes outside UTF-8. Flawed numbers and
containers become `UnstorableValue`, flawed texts stay as they are. Every object that contains a flaw becomes a
`FlawedObject`, which lists it, so that only this object is rejected. Of a duplicate key the last value counts, as in
JavaScript and Postgres.
"""

import json
import re
from collections.abc import Iterator
from math import isfinite
from typing import Any, Final

MAX_DEPTH: Final = 64
"""Most levels of nested arrays and objects, the outermost being 1. The fields of an event in a message are at 4."""

MAX_DIGITS: Final = 4_300
"""Most characters of an integer, its sign included: Python's default limit of digits.

Longer ones stay text, because parsing takes quadratic time.
"""

MAX_FLAWS: Final = 3
"""Most flaws listed per object; further ones are left out."""

MAX_BRACKETS: Final = 400_000
"""Most brackets in a JSON document, those within strings included; a message of 5,000 inputs has some 10,000.

Without this limit and MAX_TOKENS, a body of 8 MB would keep a processor busy for ten seconds.
"""

MAX_TOKENS: Final = 500_000
"""Most strings and brackets, counted together, in a JSON document that may nest too deeply (`may_be_deep`)."""

_KEY_SHOWN: Final = 40
_PLACE_SHOWN: Final = 80
_UNHELD: Final = "\0unheld"
"""The key under which an `UnstorableValue` is written as JSON. It cannot collide: U+0000 in a key is itself a flaw."""

_NO_MARKS: Final = bytes(set(range(256)) - set(b'[]{}"'))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_ROUNDS: Final = 16
"""Most levels of brackets that `may_be_deep` removes, so that large bodies take milliseconds."""

_TOKENS: Final = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
"""Matches a JSON string or a bracket.

An unfinished string matches to the end; otherwise each quote in it would be tried, in quadratic time.
"""

_UNSOUND: Final = re.compile("[\0\ud800-\udfff]")


class UnstorableValue:
    """A number or container that cannot be stored; `text` is the JSON text as sent."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"UnstorableValue({self.text[:_KEY_SHOWN]!r})"

    @property
    def is_integer(self) -> bool:
        return self.text.removeprefix("-").isdecimal()

    @property
    def description(self) -> str:
        """A few words for people, such as `an integer of 5000 digits`."""
        if self.is_integer:
            return f"an integer of {len(self.text.removeprefix('-'))} digits"
        if self.text[:1] in {"[", "{"}:
            return f"nested over {MAX_DEPTH} deep"
        return (
            f"{self.text}, which is no JSON number"
            if self.text[-1:].isalpha()
            else "a number beyond the range of a double"
        )


class FlawedObject(dict[str, Any]):
    """An object that contains flaws. `flaws`: the first MAX_FLAWS, such as «amount_micros: an integer of …»."""

    def __init__(self, fields: dict[str, Any], flaws: list[str]) -> None:
        super().__init__(fields)
        self.flaws = flaws


def read_json(data: bytes | str) -> Any:
    """Decodes JSON. Bytes are UTF-8 unless their first bytes show UTF-16 or UTF-32; a byte order mark is ignored.

    Raises ValueError (json.JSONDecodeError if the place is known) or RecursionError for invalid JSON, and for more
    than MAX_BRACKETS or MAX_TOKENS.
    """
    text = (data if isinstance(data, str) else _decoded(data)).removeprefix("\ufeff")
    return json.loads(
        _flattened(text) if may_be_deep(text.encode("utf-8", "surrogatepass")) else text,
        object_pairs_hook=_object,
        parse_int=_integer,
        parse_float=_float,
        parse_constant=UnstorableValue,
    )


def encode_unstorable(value: object) -> object:
    """For `json.dumps(default=…)`: encodes an UnstorableValue so that `read_json` restores it.

    Raises TypeError for a value of any other type.
    """
    if isinstance(value, UnstorableValue):
        return {_UNHELD: value.text}
    raise TypeError(f"{type(value).__name__} is not JSON")


def flaws_of(value: object) -> list[str]:
    """The flaws in a value that `read_json` returned, at most MAX_FLAWS; empty for a sound value."""
    return value.flaws if isinstance(value, FlawedObject) else _first(_flaws("", value))


def may_be_deep(data: bytes) -> bool:
    """Whether UTF-8 JSON may nest more than MAX_DEPTH deep; a fast check that may answer True for harmless JSON.

    False: it has at most MAX_DEPTH brackets, or none within strings, and they nest at most _ROUNDS deep. Raises
    json.JSONDecodeError for more than MAX_BRACKETS.
    """
    marks = data.translate(_ONE_KIND, _NO_MARKS)
    bracket_count = len(marks) - marks.count(b'"')
    if bracket_count > MAX_BRACKETS:
        raise _too_long(f"{MAX_BRACKETS} brackets")
    if bracket_count <= MAX_DEPTH:
        return False
    # Without escaped quotes, each quote begins or ends a string, so a string with a bracket leaves a quote here. Such a
    # bracket could close one of the document's own.
    brackets = marks.replace(b'""', b"")
    if b'"' in brackets or b'\\"' in data:
        return True
    for _ in range(_ROUNDS):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            break
        brackets = inner
    return bool(brackets)


def _too_long(what: str) -> json.JSONDecodeError:
    return json.JSONDecodeError(f"it has over {what}", "", 0)


def is_nested_too_deeply(value: object) -> bool:
    """Whether lists and objects within the value nest more than MAX_DEPTH deep."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            held
            for outer in level
            for held in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(held, (dict, list))
        ]
        if not level:
            return False
    return True


def _decoded(data: bytes) -> str:
    encoding = json.detect_encoding(data)
    return data.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "strict")


def _integer(text: str) -> int | UnstorableValue:
    try:
        return int(text) if len(text) <= MAX_DIGITS else UnstorableValue(text)
    except ValueError:
        return UnstorableValue(text)


def _float(text: str) -> float | UnstorableValue:
    number = float(text)
    return number if isfinite(number) else UnstorableValue(text)


def _object(pairs: list[tuple[str, Any]]) -> Any:
    fields = dict(pairs)
    if len(fields) == 1 and isinstance(fields.get(_UNHELD), str):
        return UnstorableValue(fields[_UNHELD])
    flaws = _first(flaw for key, value in fields.items() for flaw in _flaws_of_field(key, value))
    return FlawedObject(fields, flaws) if flaws else fields


def _first(flaws: Iterator[str]) -> list[str]:
    return [flaw for flaw, _ in zip(flaws, range(MAX_FLAWS), strict=False)]


def _flaws_of_field(key: str, value: object) -> Iterator[str]:
    if unsound := _unsound(key):
        yield f"a key with {unsound}"
    yield from _flaws(_shown(key), value)


def _flaws(place: str, value: object) -> Iterator[str]:
    if isinstance(value, UnstorableValue):
        yield f"{_cut(place, _PLACE_SHOWN)}: {value.description}, kept as text"
    elif isinstance(value, str):
        if unsound := _unsound(value):
            yield f"{place}: a text with {unsound}"
    elif isinstance(value, FlawedObject):
        yield from (f"{place}.{flaw}" for flaw in value.flaws)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _flaws(f"{place}[{number}]", one)


def _unsound(text: str) -> str | None:
    """The first character of the text that Postgres or UTF-8 cannot store, in words; None if there is none."""
    found = None if text.isascii() and "\0" not in text else _UNSOUND.search(text)
    if found is None:
        return None
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"the byte {code - 0xDC00:#04x}, which is not UTF-8, kept as \\u{code:04x}"
    return "U+0000" if code == 0 else f"U+{code:04X}, half of a surrogate pair"


def _shown(key: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in _cut(key, _KEY_SHOWN))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _flattened(text: str) -> str:
    """The text with every container deeper than MAX_DEPTH replaced by an encoded UnstorableValue.

    Keeps `json.loads` from exceeding the recursion limit. Raises json.JSONDecodeError after MAX_TOKENS.
    """
    kept: list[str] = []
    depth = start = end = 0
    for count, token in enumerate(_TOKENS.finditer(text)):
        if count == MAX_TOKENS:
            raise _too_long(f"{MAX_TOKENS} texts and brackets beside a value that nests too deeply")
        bracket = token[0]
        if bracket in {"[", "{"}:
            depth += 1
            if depth == MAX_DEPTH + 1:
                start = token.start()
        elif bracket in {"]", "}"}:
            if depth == MAX_DEPTH + 1:
                kept += [text[end:start], json.dumps({_UNHELD: text[start : token.end()]})]
                end = token.end()
            depth -= 1
    return "".join([*kept, text[end:]]) if kept else text
