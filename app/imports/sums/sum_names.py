"""Decides if campaigns called «Total» and the like are sums of the others, in files whose names stand for ids."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date

from app.imports.answers import SumRows
from app.imports.headings.heading_reader import is_total
from app.imports.sums.adding import Sums
from app.imports.sums.sum_rows import MaybeSum, are_sums, slack_of


def drop_sum_names(
    sums: Sums, stated: Iterable[int], sum_rows: SumRows | None, shown: Callable[[int], str]
) -> list[str]:
    """Removes from `sums` the campaigns that are sums of the others on each day; returns their names.

    `stated`: the sums that the file states. If one is the sum of all campaigns, they are all real; if one is the sum
    without one such campaign, that campaign is a sum of the others. Else decides by the amounts of each day.
    `sum_rows`: a person's choice between sums and parts; None: there is none. Raises Question if nothing is proved.
    """
    names = [name for name in sums.by_campaign if is_total(name)]
    others, counts = _others(sums, set(names))
    known = set(stated)
    dropped = []
    for name in names if others else ():
        own = sums.by_campaign[name]
        total = sum(own.values())
        if not any(own.values()) or sums.total in known:
            continue
        is_proven = sums.total - total in known and sum_rows is None
        if is_proven or _is_sum(name, own, others, counts, sum_rows, shown):
            dropped.append(name)
    for name in dropped:
        sums.total -= sum(sums.by_campaign.pop(name).values())
    return dropped


def _others(sums: Sums, names: set[str]) -> tuple[dict[date, int], dict[date, int]]:
    """The sum and the number of the amounts of each day, without campaigns called like sums."""
    amounts: dict[date, int] = {}
    counts: dict[date, int] = {}
    for name, days in sums.by_campaign.items():
        if name not in names:
            for day, amount in days.items():
                amounts[day] = amounts.get(day, 0) + amount
                counts[day] = counts.get(day, 0) + 1
    return amounts, counts


def _is_sum(
    name: str,
    own: Mapping[date, int],
    others: Mapping[date, int],
    counts: Mapping[date, int],
    sum_rows: SumRows | None,
    shown: Callable[[int], str],
) -> bool:
    days = sorted(day for day in {*own, *others} if own.get(day) or others.get(day))
    found = {day: _compared(own.get(day, 0), others.get(day, 0), counts.get(day, 0)) for day in days}
    shows = next((day for day in days if not found[day].agrees), days[0])
    why = (
        f"{name} may be the sum of the other campaigns: on {shows} it has {shown(found[shows].figure)}, and they come "
        f"to {shown(found[shows].others)}"
    )
    return are_sums(list(found.values()), sum_rows, why)


def _compared(figure: int, others: int, count: int) -> MaybeSum:
    return MaybeSum(0, figure, others, count, slack_of(others, count, 1), is_labelled=True)
