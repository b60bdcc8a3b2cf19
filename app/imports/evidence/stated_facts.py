"""The range of days and the time of its figures that a file states for itself."""

from datetime import date, datetime
from typing import Final

from app.imports.answers import DayOrder, ReadOptions
from app.imports.evidence.preamble import Stated, day_in, stated_moment

ORDERS: Final[tuple[DayOrder, ...]] = ("month_first", "day_first")


def range_of(
    stated: Stated, order: DayOrder | None, days: set[date]
) -> tuple[DayOrder | None, tuple[date, date] | None]:
    """The order of day and month in the lines around the table, and the first and last day that the lines name.

    `order`: the order in the day column, returned unchanged; None if no date in the column needed an order. Then
    returns the order in which the range contains all `days`: if both do, the one with the shorter range; if neither
    does, None. The range is None if the lines name none that can be read.
    """
    if stated.range is None:
        return order, None
    orders = ORDERS if order is None else (order,)
    found = {one: found for one in orders if (found := _range(stated.range, one)) is not None}
    holding = [one for one, (first, last) in found.items() if not days or (first <= min(days) and max(days) <= last)]
    if holding:
        tightest = min(holding, key=lambda one: found[one][1] - found[one][0])
        return tightest, found[tightest]
    return order, next(iter(found.values()), None)


def _range(texts: tuple[str, str], order: DayOrder) -> tuple[date, date] | None:
    first, last = (day_in(text, day_first=order == "day_first") for text in texts)
    return (first, last) if first is not None and last is not None and first <= last else None


def as_of(
    options: ReadOptions, stated: Stated, order: DayOrder | None, zone: str | None, modified_at: datetime
) -> tuple[datetime, str]:
    """The moment when the figures were true, and its source in words.

    By the options, else by the lines around the table, else `modified_at`; never the present time. `order` None: no
    number in the day column needed one. `zone`: of the file, None if it names none.
    """
    if options.as_of is not None:
        return options.as_of, "as chosen"
    for text, what in ((stated.completed, "last completed day"), (stated.made, "time of the report")):
        day_first = None if order is None else order == "day_first"
        moment = None if text is None else stated_moment(text, zone, day_first=day_first)
        if moment is not None:
            return moment, f"{what} in the file, {text}"
    return modified_at, "the file's time of change"
