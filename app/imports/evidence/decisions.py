"""Decides decimal sign, unit, and order of day and month by a column's evidence, and only in a tie by the platform."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Generic, TypeVar

from app.imports.answers import DayOrder, DecimalMark, ReadOptions, Refused, Unit
from app.imports.evidence.amounts import AmountEvidence
from app.imports.evidence.gathered import Evidence
from app.imports.evidence.platform import Known
from app.imports.evidence.preamble import Stated, day_in
from app.imports.headings.columns import Columns
from app.imports.headings.heading_reader import squeezed
from app.imports.headings.layout import Layout
from app.imports.headings.platform_marks import PIPELINE_MARKS
from domain.typed_money import decimals_of

MICROS_BY_API: Final = frozenset({"snapchat_ads", "reddit_ads"})
"""Platforms whose APIs give spend in micros under the plain name spend."""

MONTH_FIRST: Final = frozenset({"microsoft_ads", "linkedin_ads"})
"""Platforms whose English reports write 11/1/2026 for the first of November."""

_ADWORDS: Final = re.compile(r'^"?[A-Z_]+_REPORT \(')
A_CENT: Final = 10_000
A_DIME: Final = 100_000


Value = TypeVar("Value")


@dataclass(frozen=True)
class Decided(Generic[Value]):
    """A decision with its proof in words; `value` None: nothing decides it, and `proof` says why."""

    value: Value | None
    proof: str


def decimal_mark(evidence: Evidence, options: ReadOptions, form: str, currency: str | None) -> Decided[DecimalMark]:
    """The mark before decimals; `value` is None if nothing decides it.

    Raises Refused if cells prove both marks, or another one than the options say. `form`: the file's, such as `json`.
    `currency`: the code, None if unknown.
    """
    amounts = evidence.amounts
    proved = amounts.proves
    if len(proved) == 2:
        (one, first), (two, second) = proved.items()
        raise Refused(
            f"line {first[0]} has {first[1].strip()!r} with a decimal {one}, "
            f"and line {second[0]} has {second[1].strip()!r} with a decimal {two}",
            "export it again with one way to write amounts",
        )
    if proved:
        mark, (line, cell) = next(iter(proved.items()))
        if options.decimal not in {None, mark}:
            raise Refused(
                f"line {line} has {cell.strip()!r} with a decimal {mark}, not a decimal {options.decimal}",
                f"choose no decimal sign, or the decimal {mark} (--decimal {mark})",
            )
        return Decided(mark, f"decimal {mark}: line {line} has {cell.strip()!r}")
    if options.decimal is not None:
        return Decided(options.decimal, f"decimal {options.decimal}, as chosen")
    if amounts.either is None:
        return Decided("point", "cells are stored as numbers" if amounts.has_numbers else "no amount has decimals")
    return _mark_of_either(evidence, amounts.either, form, currency)


def _mark_of_either(
    evidence: Evidence, either: tuple[int, str], form: str, currency: str | None
) -> Decided[DecimalMark]:
    """The mark before decimals of cells such as `1.234`, by the form, the currency or other columns.

    `value` is None if these prove none.
    """
    line, cell = either
    if form == "json":
        return Decided("point", "decimal point: JSON has no other")
    if currency is not None and decimals_of(currency) == 0:
        return Decided(
            "comma" if "." in cell else "point", f"{currency} has no decimals: line {line} has {cell.strip()!r}"
        )
    for other, what in ((evidence.whole_numbers, "a count"), (evidence.others, "another column")):
        proof = _proved_by(other, is_count=other is evidence.whole_numbers)
        if proof is not None:
            shown = next((told[1] for told in (*other.proves.values(), other.either) if told), "")
            return Decided(proof, f"decimal {proof}: {what} is written {shown.strip()!r}")
    return Decided(None, f"line {line} has {cell.strip()!r}, which can be read with a decimal point or a decimal comma")


def _proved_by(other: AmountEvidence, *, is_count: bool) -> DecimalMark | None:
    if len(other.proves) == 1:
        return next(iter(other.proves))
    if is_count and not other.proves and other.either is not None:
        return "comma" if "." in other.either[1] else "point"
    return None


@dataclass(frozen=True)
class Api:
    """The API that a table comes from. `title`: the line above the table.

    `gives_micros`: a spend column without a unit is in micros; `may_give_micros`: it may be.
    """

    title: str = ""
    gives_micros: bool = False
    may_give_micros: bool = False


def api_of(layout: Layout, columns: Columns, known: Known, title: str) -> Api:
    """The API that the headings and the title identify."""
    may = known.name in MICROS_BY_API and not columns.spend.is_of_a_screen
    pipelined = any(squeezed(one.text) in PIPELINE_MARKS for one in layout.headings)
    return Api(title, may and (known.has_marks or pipelined or columns.campaign.meaning == "ad"), may)


def unit_of(
    evidence: Evidence, columns: Columns, options: ReadOptions, currency: str | None, api: Api
) -> Decided[Unit]:
    """Decides the unit of the amounts; `currency`: the file's, None if unknown.

    `value` is None if heading and cells contradict each other, or whole numbers may be micros.
    """
    amounts, said = evidence.amounts, columns.spend.unit
    if options.unit is not None:
        return Decided(options.unit, f"{options.unit}, as chosen")
    of_sums = [(one, "with decimals") for one in evidence.sums.proves.values()]
    found = (*_proofs_of_units(amounts), *_proofs_of_units(evidence.sums), *of_sums)
    units = next(iter((one[0], one[1], why) for one, why in found), None)
    if said is not None:
        if units is None:
            return Decided(said, f"{said}: heading {columns.spend.text}")
        return Decided(None, f"heading {columns.spend.text} says {said}, and line {units[0]} has {units[1].strip()!r}")
    if units is not None:
        return Decided("currency", f"currency units: line {units[0]} has {units[1].strip()!r}, {units[2]}")
    return _of_whole_numbers(amounts, columns.spend.text, currency, api)


def _proofs_of_units(amounts: AmountEvidence) -> list[tuple[tuple[int, str], str]]:
    sign = next(iter(amounts.signs.values()), None)
    found = (
        (amounts.fraction, "with decimals"),
        (sign, "with a currency"),
        (amounts.grouped, "grouped for people"),
        (amounts.either, "with decimals or grouped for people"),
    )
    return [(one, why) for one, why in found if one is not None]


def _of_whole_numbers(amounts: AmountEvidence, heading: str, currency: str | None, api: Api) -> Decided[Unit]:
    """The unit of a column of whole numbers without signs or grouping, which may be in currency units or in micros.

    `value` is None if both are possible.
    """
    largest = amounts.largest_whole
    if not largest:
        return Decided("currency", "all amounts are 0")
    if _ADWORDS.search(api.title) and not amounts.has_odd_micros:
        return Decided("micros", f"micros: {api.title[:40]!r} is a report of the AdWords API, which has no other unit")
    if api.gives_micros:
        return Decided("micros", f"micros: whole numbers under {heading}, as this platform's API gives them")
    has_no_cents = currency is not None and decimals_of(currency) == 0
    limit = 1000 * A_CENT if has_no_cents else A_DIME if amounts.has_odd_micros else A_CENT
    if largest < limit and not api.may_give_micros:
        return Decided(
            "currency", f"currency units: whole numbers up to {largest}, which as micros would be almost nothing"
        )
    return Decided(None, f"{heading} has whole numbers up to {largest}, which can be currency units or micros")


def day_order(
    evidence: Evidence, options: ReadOptions, stated: Stated, platform: str, latest: date, *, is_own: bool
) -> Decided[DayOrder]:
    """Whether the day or the month comes first; `value` is None if nothing decides it.

    `latest`: the day on which the file was modified; its days may reach one day further at most. `is_own`: the headings
    are those of the platform's English report. Raises Refused if cells prove both orders, or another one than the
    options say, or mix date cells and texts.
    """
    days = evidence.days
    if days.day_first and days.month_first:
        (one, first), (two, second) = days.day_first, days.month_first
        raise Refused(f"line {one} has {first!r}, day first, and line {two} {second!r}, month first", "export it again")
    if "date cells" in days.forms and ({"numbers", "dots"} & set(days.forms)):
        form = "numbers" if "numbers" in days.forms else "dots"
        line, cell = days.forms[form]
        raise Refused(
            f"line {line} has the day {cell!r} as a text among date cells: a spreadsheet has changed some days",
            "export it again and import it without opening it in a spreadsheet",
        )
    proved = days.day_first or days.month_first
    if proved:
        order: DayOrder = "day_first" if days.day_first else "month_first"
        if options.day_order is not None and options.day_order != order:
            orders = f"{_words(order)}, not {_words(options.day_order)}"
            raise Refused(
                f"line {proved[0]} has {proved[1].strip()!r}: its dates are {orders}",
                f"choose no order of days, or {_words(order)} (--day-order {order})",
            )
        return Decided(order, f"{_words(order)}: line {proved[0]} has {proved[1].strip()!r}")
    if not days.numeric or all(first == second for first, second, _ in days.numeric):
        form = next(iter(days.forms), "iso")
        told = {"iso": "year first", "words": "months in words", "date cells": "date cells", "moments": "year first"}
        return Decided("day_first", f"days: {told.get(form, 'the same either way')}")
    if options.day_order is not None:
        return Decided(options.day_order, f"{_words(options.day_order)}, as chosen")
    if "numbers" not in days.forms:
        return Decided("day_first", "day first: days with dots are written so")
    return _order_by_the_rest(evidence, stated, platform, latest, is_own=is_own)


def _order_by_the_rest(
    evidence: Evidence, stated: Stated, platform: str, latest: date, *, is_own: bool
) -> Decided[DayOrder]:
    """Decides between day first and month first if no cell proves it: by calendar, the file's range, the platform.

    `latest`: the day on which the file was modified; its days may reach one day further at most. `is_own`: the headings
    are those of the platform's English report; else the platform proves nothing. Returns a Decided with the value None
    if nothing decides.
    """
    orders: tuple[DayOrder, DayOrder] = ("day_first", "month_first")
    found = {order: evidence.days.days(day_first=order == "day_first") for order in orders}
    past = [order for order in orders if max(found[order]) <= latest + timedelta(days=1)]
    if len(past) == 1:
        return Decided(past[0], f"{_words(past[0])}: else some days would be after {latest}")
    if stated.range is not None:
        inside = [order for order in orders if _is_inside(found[order], stated.range, order)]
        if len(inside) == 1:
            return Decided(
                inside[0], f"{_words(inside[0])}: so all days are in the file's range, {' to '.join(stated.range)}"
            )
    spans = {order: max(days) - min(days) for order, days in found.items()}
    if platform in MONTH_FIRST and is_own and spans["month_first"] <= spans["day_first"]:
        return Decided("month_first", "month first, as this platform writes days in English; no day proves it")
    line, cell = evidence.days.forms["numbers"]
    return Decided(None, f"line {line} has {cell.strip()!r}, which can be read day first or month first")


def _is_inside(days: set[date], stated: tuple[str, str], order: DayOrder) -> bool:
    first, last = (day_in(text, day_first=order == "day_first") for text in stated)
    return first is not None and last is not None and first <= min(days) and max(days) <= last


def _words(order: DayOrder) -> str:
    return order.replace("_", " ")
