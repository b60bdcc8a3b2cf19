"""Decisions on a table before its amounts are summed: platform, currency, decimal mark, unit, order of days."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Final

from app.imports.answers import (
    Choice,
    DayOrder,
    DecimalMark,
    Question,
    ReadOptions,
    Refused,
    Unit,
)
from app.imports.evidence.currencies import Currency, currency_of
from app.imports.evidence.decisions import Decided, api_of, day_order, decimal_mark, unit_of
from app.imports.evidence.gathered import Evidence
from app.imports.evidence.platform import Known, resolve
from app.imports.evidence.preamble import Stated, stated
from app.imports.headings.columns import Columns, day_fix
from app.imports.headings.heading_reader import squeezed
from app.imports.headings.layout import Layout

OWN_CURRENCY: Final = {"yahoo_japan": "JPY"}
"""By platform, the one currency of its accounts; it decides whether amounts can have decimals."""

ABOUT_DECIMAL: Final = "decimal sign"
ABOUT_UNIT: Final = "unit"
ABOUT_ORDER: Final = "order of day and month"

_UNIT_LABELS: Final[Mapping[Unit, str]] = {"currency": "in currency units", "cents": "in cents", "micros": "in micros"}


@dataclass(frozen=True)
class FileFacts:
    """A file's name as people know it, its modification time, and the SHA-256 of its bytes, in hexadecimal."""

    name: str
    modified_at: datetime
    sha256: str


@dataclass(frozen=True)
class Decisions:
    """The decisions on a file that are made before its amounts are summed."""

    columns: Columns
    known: Known
    stated: Stated
    currency: Currency
    mark: Decided[DecimalMark]
    unit: Decided[Unit]
    order: Decided[DayOrder]


def decimals_of(evidence: Evidence, mark: DecimalMark | None) -> int:
    """The most digits behind the decimal mark of any amount, of rows and of their sums.

    `mark` None: not decided, read as a point.
    """
    point, comma = map(max, zip(evidence.amounts.decimals, evidence.sums.decimals, strict=True))
    return max(point if mark != "comma" else comma, point if evidence.amounts.has_numbers else 0)


def decide(layout: Layout, columns: Columns, evidence: Evidence, options: ReadOptions, file: FileFacts) -> Decisions:
    """Decides platform, currency, decimal mark, order of days and unit by the options and the evidence.

    Raises Refused for contradictions, if no day can be read, and for a report by weeks, months or years. Raises
    Question if the currency, the decimal mark, the order of days or the unit stays open, or if rows are of several
    platforms. The platform may stay unknown (`known.name` None).
    """
    around = list(chain(layout.above, (row for row in evidence.undated if row.line > evidence.last_dated)))
    said = stated(around)
    known = resolve(layout, options, file.name, evidence, around)
    _check_has_rows(evidence, columns)
    if said.aggregation.lower().startswith(("week", "month", "year", "summ")):
        raise Refused(
            f"the report says that it is {said.aggregation}, and each row must be of one day", day_fix(known.name)
        )
    currency = currency_of(evidence, columns, said, options)
    mark = decimal_mark(evidence, options, layout.table.form, currency.code or OWN_CURRENCY.get(known.name or ""))
    if mark.value is None:
        raise Question(
            ABOUT_DECIMAL, [Choice(f"decimal {one}", {"decimal": one}) for one in ("point", "comma")], mark.proof
        )
    is_own = known.has_marks and squeezed(columns.day.text.partition("(")[0]) in _ENGLISH_DAYS and mark.value == "point"
    order = day_order(evidence, options, said, known.name or "", file.modified_at.date(), is_own=is_own)
    if order.value is None:
        choices = [Choice(one.replace("_", " "), {"day_order": one}) for one in ("day_first", "month_first")]
        raise Question(ABOUT_ORDER, choices, order.proof)
    unit = unit_of(evidence, columns, options, currency.code, api_of(layout, columns, known, said.title))
    if unit.value is None:
        units: list[Unit] = ["currency", "micros" if columns.spend.unit is None else columns.spend.unit]
        raise Question(ABOUT_UNIT, [Choice(_UNIT_LABELS[one], {"unit": one}) for one in units], unit.proof)
    return Decisions(columns, known, said, currency, mark, unit, order)


_ENGLISH_DAYS: Final = frozenset(
    {
        "day",
        "date",
        "gregoriandate",
        "timeperiod",
        "startdate",
        "startdateinutc",
        "reportdate",
        "starttime",
        "reportingstarts",
        "time",
    }
)


def _check_has_rows(evidence: Evidence, columns: Columns) -> None:
    """Raises Refused if no row has a readable day, although a row has digits in the day's column."""
    if evidence.rows or evidence.period is not None:
        return
    for row in evidence.undated:
        cell = row.cells[columns.day.place].strip() if len(row.cells) > columns.day.place else ""
        if len([one for one in row.cells if one.strip()]) > 2 and any(one.isdigit() for one in cell):
            raise Refused(f"line {row.line}: {cell[:40]!r} is not a date", "write days such as 2026-11-30")
