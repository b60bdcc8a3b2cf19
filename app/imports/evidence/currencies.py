"""The currency of a file: from the spend's heading, a column, the lines around the table, and signs in the cells."""

from dataclasses import dataclass

from app.imports.answers import Choice, Question, ReadOptions, Refused
from app.imports.cells import NOTHING
from app.imports.evidence.currency_signs import signed_currencies
from app.imports.evidence.gathered import Evidence
from app.imports.evidence.preamble import Stated
from app.imports.headings.columns import Columns
from app.imports.headings.heading_reader import CODES


@dataclass(frozen=True)
class Currency:
    """The currency of a file.

    `code`: its one currency, None if unknown. `allowed`: the currencies that the code or the signs in cells allow, None
    without either. `filtered`: if a column has several currencies, the one whose rows are read; else None.
    """

    code: str | None
    allowed: frozenset[str] | None
    filtered: str | None = None


def currency_of(evidence: Evidence, columns: Columns, stated: Stated, options: ReadOptions) -> Currency:
    """Decides the file's currency.

    Raises Question if its column has several and none was chosen. Raises Refused if parts of the file contradict each
    other or the chosen currency.
    """
    in_column = {one.strip().upper(): line for one, line in evidence.currencies.items() if one.strip() not in NOTHING}
    in_column = {one: line for one, line in in_column.items() if one in CODES}
    wanted = options.currency.upper() if options.currency else None
    if len(in_column) > 1 and wanted is None:
        choices = [Choice(f"rows in {code} alone", {"currency": code}) for code in sorted(in_column)]
        raise Question("currency", choices, f"the file has amounts in {' and '.join(sorted(in_column))}")
    if wanted and in_column and wanted not in in_column:
        raise Refused(f"no row is in {wanted}: the file is in {', '.join(sorted(in_column))}")
    code = wanted if in_column and wanted else next(iter(in_column), None) or columns.spend.currency or stated.currency
    filtered = wanted if len(in_column) > 1 else None
    allowed = None if filtered else _of_signs(evidence)
    if code is None and allowed is not None and len(allowed) == 1:
        code = next(iter(allowed))
    if code is not None and allowed is not None and code not in allowed:
        sign, (line, cell) = next(iter(evidence.amounts.signs.items()))
        raise Refused(
            f"line {line} has {cell.strip()!r}, and the file says that it is in {code}: {sign} is another currency"
        )
    if wanted and code not in {None, wanted}:
        raise Refused(f"the file is in {code}, not {wanted}")
    return Currency(code or wanted, allowed if code is None else frozenset({code}), filtered)


def _of_signs(evidence: Evidence) -> frozenset[str] | None:
    allowed: frozenset[str] | None = None
    for sign, (line, cell) in evidence.amounts.signs.items():
        found = signed_currencies(sign) or frozenset()
        allowed = found if allowed is None else allowed & found
        if not allowed:
            raise Refused(
                f"line {line} has {cell.strip()!r}, another currency than the lines above it", "export one currency"
            )
    return allowed
