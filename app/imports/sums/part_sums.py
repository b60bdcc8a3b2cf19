"""Rows with a campaign and a day that are sums of the others of that day, such as «Total» in a column of devices."""

from collections.abc import Sequence
from datetime import date

from app.imports.evidence.amounts import AmountReader, Unreadable
from app.imports.evidence.days import Days
from app.imports.evidence.ids import NoId, campaign_id, name_as_id
from app.imports.headings.columns import Columns
from app.imports.sums.adding import Adder
from app.imports.tables import Row


def settle(rows: Sequence[Row], adder: Adder, columns: Columns, reader: AmountReader, days: Days) -> int:
    """Leaves the rows out if each of them is the sum of the others of its campaign's day; else adds them all.

    Returns the number of rows left out.
    """
    if not rows:
        return 0
    if all(_is_sum(row, adder, columns, reader, days) for row in rows):
        return len(rows)
    for row in rows:
        if (day := days.read(row.cells[columns.day.place])) is not None:
            adder.add(row.line, row.cells, day)
    return 0


def _is_sum(row: Row, adder: Adder, columns: Columns, reader: AmountReader, days: Days) -> bool:
    day = days.read(row.cells[columns.day.place])
    try:
        cell = row.cells[columns.campaign.place]
        campaign = name_as_id(cell) if columns.names_are_ids else campaign_id(cell)
        amount = reader.read(row.cells[columns.spend.place])
    except (NoId, Unreadable, IndexError):
        return False
    own = adder.sums.by_campaign.get(campaign)
    others = None if own is None else own.get(day or date.min)
    return others is not None and amount is not None and others == amount
