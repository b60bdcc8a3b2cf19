"""Assembles a reading from an interpreted table and its sums."""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from app.imports.answers import Reading, ReadOptions, Warned
from app.imports.decided import Decisions, FileFacts
from app.imports.evidence.amounts import AmountReader
from app.imports.evidence.days import Days
from app.imports.evidence.gathered import Evidence
from app.imports.evidence.rows_by_day import spacing_warning
from app.imports.evidence.stated_facts import as_of, range_of
from app.imports.headings.columns import Columns
from app.imports.headings.heading_reader import squeezed
from app.imports.headings.layout import Layout
from app.imports.sums.adding import Sums
from app.imports.sums.scale import Scale, totals_of
from app.imports.sums.totals_rows import Check


class Interpreted(NamedTuple):
    """A table with all that is decided about its columns and cells, before amounts are added up."""

    layout: Layout
    options: ReadOptions
    file: FileFacts
    columns: Columns
    evidence: Evidence
    decided: Decisions
    amounts: AmountReader
    days: Days


class AddedUp(NamedTuple):
    """A table's sums, their scale to micros, their comparison with totals rows, and the number of identical rows."""

    sums: Sums
    scale: Scale
    checked: Check
    identical: int


class _Times(NamedTuple):
    """The times of a file. `zone`, `stated_days`: its time zone and first and last day; None if it states none.

    `is_complete`: the file has every campaign-day of its range. `as_of`: when its figures were true; `as_of_source`:
    the source of that moment, in words.
    """

    zone: str | None
    stated_days: tuple[date, date] | None
    is_complete: bool
    as_of: datetime
    as_of_source: str


def assemble(table: Interpreted, added: AddedUp, warned: Sequence[Warned]) -> Reading:
    """Turns the sums into micros, in place, and returns the reading. `warned`: warnings to include, in their order."""
    decided, evidence, sums = table.decided, table.evidence, added.sums
    totals = totals_of(sums, added.scale)
    times, time_warnings = _times(table, totals.days, has_unplaced=bool(sums.unplaced))
    accounts = {one.strip() for one in evidence.accounts if one.strip()}
    return Reading(
        platform=decided.known.name or "",
        platform_why=decided.known.why,
        account=next(iter(accounts)) if len(accounts) == 1 else decided.stated.account,
        columns=decided.columns.used(),
        unit=decided.unit.value or "currency",
        proofs=_proofs(decided, sums, len(totals)),
        totals=totals,
        names={campaign: sums.names.get(campaign) or campaign for campaign in totals.campaigns},
        currency=decided.currency.code,
        currencies=decided.currency.allowed,
        time_zone=times.zone,
        as_of=times.as_of,
        as_of_source=times.as_of_source,
        first_day=min(totals.days, default=None),
        last_day=max(totals.days, default=None),
        stated_days=times.stated_days,
        is_complete=times.is_complete and not sums.unplaced and decided.currency.filtered is None,
        is_delta=table.options.delta,
        totals_rows=added.checked.rows,
        totals_phrase=added.checked.phrase,
        identical_rows=added.identical,
        bad_rows=tuple(sorted(sums.bad_rows)),
        incomplete=frozenset(sums.incomplete),
        warned=(
            *(Warned("other_platform", one, is_doubt=True) for one in decided.known.warnings),
            *(Warned("other_totals", one) for one in added.checked.warnings),
            *warned,
            *time_warnings,
        ),
        rows=evidence.rows,
        encoding=table.layout.table.encoding,
        sha256=table.file.sha256,
        layout=hashlib.sha256("\x1f".join(squeezed(one.text) for one in table.layout.headings).encode()).hexdigest(),
        options=table.options,
        day_offsets=evidence.days.offsets,
    )


def _times(table: Interpreted, days: set[date], *, has_unplaced: bool) -> tuple[_Times, list[Warned]]:
    """The file's times, and warnings about its days.

    `days`: the days with a total. `has_unplaced`: rows are left out that may be of any campaign and day.
    """
    decided, options, warned = table.decided, table.options, []
    zone = decided.columns.day.zone or decided.stated.zone
    order_of_days = decided.order.value if table.evidence.days.numeric else None
    order, stated_days = range_of(decided.stated, order_of_days, days)
    inside = stated_days is not None and (not days or (stated_days[0] <= min(days) and max(days) <= stated_days[1]))
    if stated_days is not None and not inside:
        sentence = f"some days are outside of the file's own range, {stated_days[0]} to {stated_days[1]}"
        warned.append(Warned("outside_range", sentence, is_doubt=True))
    is_complete = (inside and not decided.stated.is_incomplete) if options.complete is None else options.complete
    if is_complete and has_unplaced:
        sentence = "rows that cannot be read may be of any campaign's day, so no missing day becomes zero"
        warned.append(Warned("unread_rows", sentence))
    if (spacing := spacing_warning(days)) is not None:
        warned.append(Warned("days_apart", spacing, is_doubt=True))
    moment, source = as_of(options, decided.stated, order, zone, table.file.modified_at)
    return _Times(zone, stated_days, is_complete, moment, source), warned


def _proofs(decided: Decisions, sums: Sums, totals: int) -> tuple[str, ...]:
    """Phrases on the proofs of unit, decimal mark and order of days, then on rows that make no total of their own.

    Such rows are added to the total of another row, have no figure, or are of other currencies or platforms. `totals`:
    the number of totals.
    """
    several = f"{sums.count} rows make {totals} totals" if sums.count > totals else ""
    without_figure = f"{sums.without_amount} rows without a figure" if sums.without_amount else ""
    others = f"{sums.other_rows} rows of other currencies or platforms are left out" if sums.other_rows else ""
    always = (decided.unit.proof, decided.mark.proof, decided.order.proof)
    return (*always, *(one for one in (several, without_figure, others) if one))
