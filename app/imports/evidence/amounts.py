"""Amounts as platforms write them: a column's cells together prove its decimal mark; then each cell is read exactly.

Most cells are skipped because a cell of the same shape, the text with 9 for every digit, was judged before: a column
of millions has a few dozen shapes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

from app.imports.answers import DecimalMark
from app.imports.cells import NOTHING, NumberCell, bare, plain_signs
from app.imports.evidence.currency_signs import signed_currencies
from domain.money import EXACT

SHAPES: Final = str.maketrans("0123456789", "9999999999")
MAX_DECIMALS: Final = 40
MAX_DIGITS: Final = 22
MAX_WRITTEN: Final = 200
"""Characters of the longest cell that is read as an amount; a longer cell counts as no amount."""

MAX_SHAPES: Final = 20_000

_SPACES: Final = " \u00a0\u2007\u2009\u202f"
_BODY: Final = re.compile(
    rf"(?P<before>[^-+0-9.,()]*)(?P<number>[0-9.,][0-9.,'’{_SPACES}]*?(?:[eE][-+]?[0-9]+)?)(?P<after>[^0-9.,']*)"
)
_SCIENTIFIC: Final = re.compile(r"\d+([.,]\d+)?[eE]([-+]?)\d+")


class Written(NamedTuple):
    """A cell taken apart: whether it is negative, its digits and marks, and its currency's sign or code; "" without."""

    is_negative: bool
    number: str
    sign: str


class Unreadable(ValueError):
    """A cell that is no amount."""


def take_apart(cell: str) -> Written | None:
    """The parts of an amount; None for an empty cell or a dash. Raises Unreadable for any other text."""
    text = bare(cell).strip(_SPACES + "\t\r\n")
    if text in NOTHING:
        return None
    plain = plain_signs(text)
    if plain is None or len(text) > MAX_WRITTEN:
        raise Unreadable(f"{text[:40]!r} is not an amount")
    text = plain.replace("\u2212", "-")
    is_negative = False
    if text[:1] == "(" and text[-1:] == ")":
        text, is_negative = text[1:-1].strip(), True
    minus = text.count("-") - len(re.findall(r"[eE]-", text))
    if minus == 1 and re.search(r"^\D*-|-\s*$", text):
        text, is_negative = re.sub(r"-(?=\D*\d)|-\s*$", "", text, count=1), not is_negative
        minus = 0
    text = re.sub(r"^(\D*)\+", r"\1", text)
    found = _BODY.fullmatch(text) if not minus else None
    if found is None:
        raise Unreadable(f"{cell.strip()[:40]!r} is not an amount")
    signs = [one.strip(_SPACES + ".").upper() for one in (found["before"], found["after"]) if one.strip(_SPACES + ".")]
    if len(set(signs)) > 1 or (signs and signed_currencies(signs[0]) is None):
        raise Unreadable(f"{cell.strip()[:40]!r} is not an amount")
    return Written(is_negative, found["number"].strip(_SPACES), signs[0] if signs else "")


class Kind(NamedTuple):
    """Facts from the shape of a number: marks that can be decimal, grouped digits, and the count of decimals.

    `decimals`: digits after a decimal point, and after a decimal comma. `is_whole`: no decimals with either mark.
    """

    marks: frozenset[DecimalMark]
    is_grouped: bool
    decimals: tuple[int, int]
    is_whole: bool


_GROUPS = r"(?:\d{1,3}(?:%s\d{3})+|\d{1,2}(?:%s\d{2})+%s\d{3})"
_GROUPED_BY: Final = {mark: re.compile(_GROUPS % ((re.escape(mark),) * 3)) for mark in (".", ",", "'", "’", *_SPACES)}


def kind_of(number: str) -> Kind | None:
    """The possible decimal marks of a number, with its grouping and decimals; None if it is no number.

    `1.234` allows a decimal point or a decimal comma; `12,5` only a comma.
    """
    marks: set[DecimalMark] = set()
    decimals = [0, 0]
    grouped = False
    for place, (name, mark) in enumerate((("point", "."), ("comma", ","))):
        whole, found, fraction = number.rpartition(mark)
        if not found:
            whole, fraction = number, ""
        if fraction and not fraction.isdigit():
            continue
        if _is_whole(whole, {",", "'", "’", *_SPACES} if mark == "." else {".", "'", "’", *_SPACES}):
            marks.add(name)  # type: ignore[arg-type]
            decimals[place] = len(fraction)
            grouped = grouped or not (whole or "0").isdigit()
    if not marks:
        return None
    is_whole = len(marks) == 2 and decimals == [0, 0]
    return Kind(frozenset(marks), grouped, (decimals[0], decimals[1]), is_whole)


def _is_whole(text: str, marks: Iterable[str]) -> bool:
    """Whether a text is empty, digits, or digits grouped by one of the marks and without a 0 in front."""
    if not text or text.isdigit():
        return True
    return any(mark in text and _GROUPED_BY[mark].fullmatch(text) and text[0] != "0" for mark in marks)


@dataclass
class AmountEvidence:
    """Evidence from the cells of one column. A pair is the line and the text of the first cell that proves a fact.

    `proves`: by decimal mark, a cell that only this mark can read. `either`: a cell that allows both marks. `fraction`:
    a cell with decimals other than 0. `grouped`: a cell with thousands marks. `signs`: by currency sign, a cell with
    it. `decimals`: the most digits behind a decimal point and behind a decimal comma. `largest_whole`: the largest
    number without decimals other than 0; `has_odd_micros`: one of these numbers, taken as micros, is no multiple of a
    cent. `has_numbers`: a cell is a number of a spreadsheet or of JSON. `has_amounts`: a cell is an amount.
    """

    proves: dict[DecimalMark, tuple[int, str]] = field(default_factory=dict)
    either: tuple[int, str] | None = None
    fraction: tuple[int, str] | None = None
    grouped: tuple[int, str] | None = None
    signs: dict[str, tuple[int, str]] = field(default_factory=dict)
    largest_whole: int = 0
    has_odd_micros: bool = False
    decimals: list[int] = field(default_factory=lambda: [0, 0])
    has_numbers: bool = False
    has_amounts: bool = False
    _settled: set[str] = field(default_factory=set)
    _either_shapes: set[str] = field(default_factory=set)

    def add(self, cell: str, line: int) -> None:
        """Adds the evidence of a cell, on this line; a cell that is no amount proves nothing."""
        if len(cell) > MAX_WRITTEN:
            return
        if cell.isdigit() and cell.isascii():
            self._note_whole(int(cell))
            return
        shape = cell.translate(SHAPES)
        if shape in self._settled and type(cell) is str:
            return
        if shape in self._either_shapes and cell.lstrip("-$€£ ")[:1] != "0":
            return
        self._judge(cell, shape, line)

    def _judge(self, cell: str, shape: str, line: int) -> None:
        try:
            written = take_apart(cell)
        except Unreadable:
            return
        if written is None:
            self._settle(shape)
            return
        self.has_amounts = True
        if written.sign:
            self.signs.setdefault(written.sign, (line, cell))
        if _SCIENTIFIC.fullmatch(written.number):
            self._note_scientific(written.number, cell, line)
        elif isinstance(cell, NumberCell):
            self._note_number(written.number, cell, line)
        elif (kind := kind_of(written.number)) is not None:
            self._note(kind, written.number, cell, shape, line)

    def _note_number(self, number: str, cell: str, line: int) -> None:
        """Notes a number of a spreadsheet or of JSON, whose decimal mark is always a point."""
        self.has_numbers = True
        whole, _, fraction = number.partition(".")
        self.decimals[0] = max(self.decimals[0], len(fraction))
        if fraction.strip("0"):
            self.fraction = self.fraction or (line, cell)
        else:
            self._note_whole(int(whole or 0))

    def _note(self, kind: Kind, number: str, cell: str, shape: str, line: int) -> None:
        self.decimals = [max(pair) for pair in zip(self.decimals, kind.decimals, strict=True)]
        if kind.is_grouped and (kind.is_whole or len(kind.marks) == 1):
            self.grouped = self.grouped or (line, cell)
        if kind.is_whole:
            self._note_whole(int(re.sub(r"\D", "", number) or 0))
            return
        if len(kind.marks) == 2:
            self.either = self.either or (line, cell)
            self._either_shapes.add(shape)
            return
        mark: DecimalMark = next(iter(kind.marks))
        decimals = kind.decimals[0 if mark == "point" else 1]
        if decimals or kind.is_grouped:
            self.proves.setdefault(mark, (line, cell))
        if decimals and number[-decimals:].strip("0"):
            self.fraction = self.fraction or (line, cell)
            self._settle(shape)
        elif decimals:
            self._note_whole(int(re.sub(r"\D", "", number[: -decimals - 1]) or 0))

    def _settle(self, shape: str) -> None:
        if len(self._settled) < MAX_SHAPES:
            self._settled.add(shape)

    def _note_scientific(self, number: str, cell: str, line: int) -> None:
        if "-" in number:
            self.fraction = self.fraction or (line, cell)
            self.decimals = [MAX_DECIMALS, MAX_DECIMALS]

    def _note_whole(self, number: int) -> None:
        self.has_amounts = True
        self.largest_whole = max(self.largest_whole, number)
        self.has_odd_micros = self.has_odd_micros or bool(number % 10_000)


class AmountReader:
    """Reads the cells of a column whose decimal mark is known, as integers in units of 10**-decimals."""

    def __init__(self, mark: DecimalMark, decimals: int) -> None:
        self.decimals = min(decimals, MAX_DECIMALS)
        self._mark = mark
        self._point = "." if mark == "point" else ","
        self._others = {",", "'", "’", *_SPACES} if mark == "point" else {".", "'", "’", *_SPACES}
        self._zeros = ["0" * (self.decimals - count) for count in range(self.decimals + 1)]

    def read(self, cell: str) -> int | None:
        """The amount in units of 10**-decimals; None for an empty cell or a dash. Raises Unreadable for other texts."""
        whole, mark, fraction = cell.partition(self._point)
        if (
            cell.isascii()
            and whole.isdigit()
            and (fraction.isdigit() or not mark)
            and (len(cell) < MAX_DIGITS and len(fraction) <= self.decimals)
        ):
            return int(whole + fraction + self._zeros[len(fraction)])
        return self._read_any(cell)

    def step(self, cell: str) -> int:
        """The value of a 1 in a cell's last place, in units of 10**-decimals.

        With two decimals it is 1 for `12.50` and 100 for `12`.
        """
        try:
            written = take_apart(cell)
        except Unreadable:
            written = None
        point = "." if isinstance(cell, NumberCell) else self._point
        _, mark, fraction = (written.number if written else "").rpartition(point)
        shown = len(fraction) if mark else 0
        return int(10 ** max(0, self.decimals - shown))

    def _read_any(self, cell: str) -> int | None:
        written = take_apart(cell)
        if written is None:
            return None
        number = written.number
        point = "." if isinstance(cell, NumberCell) else self._point
        if found := _SCIENTIFIC.fullmatch(number):
            if found[2] != "-":
                raise Unreadable(f"{cell.strip()[:40]!r} is rounded by a spreadsheet")
            value = self._of_decimal(cell, number.replace(",", "."))
        else:
            whole, mark, fraction = number.rpartition(point)
            whole, fraction = (whole, fraction) if mark else (number, "")
            others = {",", "'", "’", *_SPACES} if point == "." else self._others
            if not _is_whole(whole, others) or (fraction and not fraction.isdigit()) or not (whole or fraction):
                raise Unreadable(f"{cell.strip()[:40]!r} is not an amount with a decimal {self._mark}")
            digits = re.sub(r"\D", "", whole)
            if len(fraction) > self.decimals or len(digits.lstrip("0")) > MAX_DIGITS:
                raise Unreadable(f"{cell.strip()[:40]!r} has too many digits")
            value = int((digits + fraction) + self._zeros[len(fraction)] or "0")
        return -value if written.is_negative else value

    def _of_decimal(self, cell: str, number: str) -> int:
        try:
            exact = Decimal(number)
            amount = EXACT.scaleb(exact, self.decimals)
        except InvalidOperation:
            raise Unreadable(f"{cell.strip()[:40]!r} is not an amount") from None
        is_rounded = amount != amount.to_integral_value() or bool(amount) != bool(exact)
        if is_rounded or amount.adjusted() > MAX_DIGITS + self.decimals:
            raise Unreadable(f"{cell.strip()[:40]!r} has too many digits")
        return int(amount)
