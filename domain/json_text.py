"""JSON from outside, read so that what Python or Postgres cannot hold spoils no more than the object it stands in.

Such a value is a flaw: a number beyond what Python reads (over 4,300 digits, 1e400, NaN), a container nested too
deeply, a text or key with U+0000, with half of a surrogate pair, or with bytes that are no UTF-8. Numbers and
containers are read as `Unheld`, texts as they are; every object around a flaw is a `Flawed`, which names it.
A key that stands twice has its last value, as in JavaScript and in Postgres.
"""

import json
import re
from collections.abc import Iterator
from math import isfinite
from typing import Any, Final

MAX_DEPTH: Final = 64
"""Containers in containers, counted from the outermost: an event has 4 around its fields in a message."""

MAX_DIGITS: Final = 4_300
"""Reading an integer takes time by the square of its length: Python's own limit, whatever a process sets."""

MAX_FLAWS: Final = 3
"""Named of one object."""

_KEY_SHOWN: Final = 40
_PLACE_SHOWN: Final = 80
_UNHELD: Final = "\0unheld"
"""The key by which an `Unheld` is written as JSON. No sound object has it: U+0000 is a flaw of its own."""

_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_TOKENS: Final = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)
_UNSOUND: Final = re.compile("[\0\ud800-\udfff]")


class Unheld:
    """A value that cannot be held, as the text it was sent as."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Unheld({self.text[:_KEY_SHOWN]!r})"

    @property
    def is_integer(self) -> bool:
        return self.text.removeprefix("-").isdecimal()

    @property
    def description(self) -> str:
        """What it is, in a few words."""
        if self.is_integer:
            return f"an integer of {len(self.text.removeprefix('-'))} digits"
        if self.text[:1] in {"[", "{"}:
            return f"nested over {MAX_DEPTH} deep"
        return f"{self.text}, which is no JSON number" if self.text[-1:].isalpha() else "a number beyond a double"


class Flawed(dict[str, Any]):
    """An object with `flaws`: each the place and what is wrong there, such as «amount_micros: an integer of …»."""

    def __init__(self, fields: dict[str, Any], flaws: list[str]) -> None:
        super().__init__(fields)
        self.flaws = flaws


def read_json(data: bytes | str) -> Any:
    """The value in a JSON text, UTF-8 unless its first bytes say otherwise; a byte order mark is left out.

    Raises ValueError (json.JSONDecodeError where its place is known) and RecursionError for what is no JSON.
    """
    text = (data if isinstance(data, str) else _decoded(data)).removeprefix("\ufeff")
    return json.loads(
        _flattened(text) if may_be_deep(text.encode("utf-8", "surrogatepass")) else text,
        object_pairs_hook=_object,
        parse_int=_integer,
        parse_float=_float,
        parse_constant=Unheld,
    )


def as_held(value: object) -> object:
    """For `json.dumps(default=…)`: an Unheld as JSON that `read_json` reads as the same. Raises TypeError."""
    if isinstance(value, Unheld):
        return {_UNHELD: value.text}
    raise TypeError(f"{type(value).__name__} is not JSON")


def flaws_of(value: object) -> list[str]:
    """The flaws of an object that was read, at most MAX_FLAWS; those of a bare value or a list too."""
    return value.flaws if isinstance(value, Flawed) else _first(_flaws("", value))


def may_be_deep(data: bytes) -> bool:
    """False where the brackets of UTF-8 alone, also those within texts, nest at most MAX_DEPTH deep: quickly known."""
    brackets = data.translate(None, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        inner = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if inner == brackets:
            break
        brackets = inner
    return bool(brackets)


def is_nested_too_deeply(value: object) -> bool:
    """Whether lists and objects hold one another over MAX_DEPTH deep."""
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


def _integer(text: str) -> int | Unheld:
    try:
        return int(text) if len(text) <= MAX_DIGITS else Unheld(text)
    except ValueError:
        return Unheld(text)


def _float(text: str) -> float | Unheld:
    number = float(text)
    return number if isfinite(number) else Unheld(text)


def _object(pairs: list[tuple[str, Any]]) -> Any:
    fields = dict(pairs)
    if len(fields) == 1 and isinstance(fields.get(_UNHELD), str):
        return Unheld(fields[_UNHELD])
    flaws = _first(flaw for key, value in fields.items() for flaw in _flaws_of_field(key, value))
    return Flawed(fields, flaws) if flaws else fields


def _first(flaws: Iterator[str]) -> list[str]:
    return [flaw for flaw, _ in zip(flaws, range(MAX_FLAWS), strict=False)]


def _flaws_of_field(key: str, value: object) -> Iterator[str]:
    if unsound := _unsound(key):
        yield f"a key with {unsound}"
    yield from _flaws(_shown(key), value)


def _flaws(place: str, value: object) -> Iterator[str]:
    if isinstance(value, Unheld):
        yield f"{_cut(place, _PLACE_SHOWN)}: {value.description}, kept as text"
    elif isinstance(value, str):
        if unsound := _unsound(value):
            yield f"{place}: a text with {unsound}"
    elif isinstance(value, Flawed):
        yield from (f"{place}.{flaw}" for flaw in value.flaws)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _flaws(f"{place}[{number}]", one)


def _unsound(text: str) -> str | None:
    """What a text has that Postgres or UTF-8 cannot hold, in words; None for nothing."""
    found = None if text.isascii() and "\0" not in text else _UNSOUND.search(text)
    if found is None:
        return None
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"the byte {code - 0xDC00:#04x} that is no UTF-8, kept as \\u{code:04x}"
    return "U+0000" if code == 0 else f"U+{code:04X}, half of a surrogate pair"


def _shown(key: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in _cut(key, _KEY_SHOWN))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _flattened(text: str) -> str:
    """The text with each container beyond MAX_DEPTH written as an Unheld, so that reading it needs no deep stack."""
    kept: list[str] = []
    depth = start = end = 0
    for token in _TOKENS.finditer(text):
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
