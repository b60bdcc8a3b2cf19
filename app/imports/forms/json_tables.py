"""JSON: lines of objects, one array of objects, or a platform's answer with one.

Names of nested fields are joined by dots. Lists of several values are left out.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, BinaryIO, Final

from app.imports.answers import Refused
from app.imports.cells import NumberCell
from app.imports.tables import Table
from domain.text import storable

MAX_DOCUMENT: Final = 64 * 1024 * 1024
_WRAPPERS: Final = ("_airbyte_data", "record", "data")


def json_table(stream: BinaryIO) -> Table:
    """The objects as rows under the names of all their fields, the names on line 0. Raises Refused for other JSON."""
    stream.seek(0)
    start = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    objects = _Lines(stream) if start[:1] == b"{" and _is_of_lines(stream) else _Document(stream)
    return Table(_Objects(objects, _names(objects)), "json", "JSON")


def _is_of_lines(stream: BinaryIO) -> bool:
    stream.seek(0)
    first = next((line for line in stream if line.strip()), b"")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return first.strip() != b"{"
    return isinstance(value, dict) and _only_list(value) is None


class _Lines:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __call__(self) -> Iterator[tuple[int, dict[str, str]]]:
        self._stream.seek(0)
        for line, text in enumerate(self._stream, start=1):
            if not text.strip():
                continue
            value = _parsed(text, line)
            if not isinstance(value, dict):
                raise Refused(f"line {line} is no JSON object", "write one object a line")
            yield line, _flat(value)


class _Document:
    def __init__(self, stream: BinaryIO) -> None:
        stream.seek(0)
        text = stream.read(MAX_DOCUMENT + 1)
        if len(text) > MAX_DOCUMENT:
            raise Refused("is one JSON document of over 64 MB", "write it as lines, one object each")
        value = _parsed(text, 1)
        found = value if isinstance(value, list) else _only_list(value) if isinstance(value, dict) else None
        if found and all(isinstance(one, dict) and _only_list(one) is not None for one in found):
            found = [row for one in found for row in _only_list(one) or []]
        if not found or not all(isinstance(one, dict) for one in found):
            raise Refused("has no list of JSON objects", "export rows as CSV, XLSX or lines of JSON")
        self._rows = [_flat(one) for one in found]

    def __call__(self) -> Iterator[tuple[int, dict[str, str]]]:
        return iter(enumerate(self._rows, start=1))


def unwrapped(tables: list[Table]) -> list[Table]:
    """One table of the JSON objects in the column `_airbyte_data`, if a table has that column; else the same tables."""
    for table in tables:
        cells = _first_row(table)
        if _WRAPPERS[0] in cells and len(cells) > 1:
            objects = _Column(table, list(cells).index(_WRAPPERS[0]))
            return [Table(_Objects(objects, _names(objects)), "json", table.encoding)]
    return tables


def _first_row(table: Table) -> Sequence[str]:
    """The cells of the first row; none where the delimiter does not fit the quotes in it."""
    try:
        return next(iter(table.rows()), (0, ()))[1]
    except Refused:
        return ()


class _Column:
    """The objects in one column of a table."""

    def __init__(self, table: Table, place: int) -> None:
        self._table, self._place = table, place

    def __call__(self) -> Iterator[tuple[int, dict[str, str]]]:
        for line, row in islice(self._table.rows(), 1, None):
            value = _parsed(row[self._place].encode(), line) if len(row) > self._place else None
            if not isinstance(value, dict):
                raise Refused(f"line {line} has no JSON object in {_WRAPPERS[0]}", "export it again")
            yield line, _flat(value)


def _names(objects: Any) -> list[str]:
    names: dict[str, None] = {}
    for _, fields in objects():
        names.update(dict.fromkeys(fields))
    return list(names)


class _Objects:
    def __init__(self, objects: Any, names: Sequence[str]) -> None:
        self._objects, self._names = objects, names

    def __call__(self) -> Iterator[tuple[int, Sequence[str]]]:
        yield 0, self._names
        for line, fields in self._objects():
            yield line, [fields.get(name, "") for name in self._names]


def _parsed(text: bytes, line: int) -> Any:
    try:
        return json.loads(text, parse_int=str, parse_float=NumberCell)
    except (ValueError, RecursionError) as error:
        cut = (
            "is cut off or "
            if isinstance(error, json.JSONDecodeError) and error.pos >= len(error.doc.rstrip()) - 1
            else ""
        )
        raise Refused(f"line {line} {cut}is no JSON", "export it again") from None


def _only_list(value: Mapping[str, Any]) -> list[Any] | None:
    """The rows within a platform's answer; None unless it has one list of objects and a field such as `results`."""
    lists = [
        one for one in value.values() if isinstance(one, list) and one and all(isinstance(row, dict) for row in one)
    ]
    return lists[0] if len(lists) == 1 and ({"results", "data", "rows", "items", "elements"} & set(value)) else None


def _flat(value: Mapping[str, Any]) -> dict[str, str]:
    if value.get("type") == "RECORD" and isinstance(value.get("record"), dict):
        value = value["record"]
    for wrapper in _WRAPPERS:
        inner = value.get(wrapper)
        if isinstance(inner, dict):
            value = inner
        elif isinstance(inner, str) and wrapper == "_airbyte_data":
            value = _parsed(inner.encode(), 0)
    fields = dict(_fields("", value))
    for name in [name.removesuffix(".year") for name in fields if name.endswith(".year")]:
        year, month, day = (fields.get(f"{name}.{part}", "") for part in ("year", "month", "day"))
        if day:
            fields[name] = f"{year}-{month.zfill(2)}-{day.zfill(2)}"
    return {storable(name): storable(cell) for name, cell in fields.items()}


def _fields(prefix: str, value: object) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _fields(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, list) and len(value) == 1:
        yield from _fields(prefix, value[0])
    elif isinstance(value, str):
        yield prefix, value
    elif value is None:
        yield prefix, ""
    elif not isinstance(value, list):
        yield prefix, str(value)
