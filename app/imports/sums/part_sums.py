"""Rows with a campaign and a day that are sums of others of that day, such as «Total» in a column of devices."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple

from app.imports.answers import Refused, SumRows
from app.imports.evidence.amounts import AmountReader, Unreadable
from app.imports.evidence.days import Days
from app.imports.evidence.gathered import Evidence
from app.imports.evidence.ids import NoId
from app.imports.evidence.part_cells import PartCells, Places
from app.imports.evidence.platform import Filter
from app.imports.headings.columns import Columns
from app.imports.headings.layout import Layout
from app.imports.sums.adding import COMPACT_AFTER, Ids, other_rows
from app.imports.sums.day_amounts import DayAmounts
from app.imports.sums.sum_rows import MaybeSum, are_sums, slack_of

MAX_MIXED_DAYS: Final = 200_000
"""Campaign-days with rows that may be sums of others; a file with more is refused, because they are held in memory."""

CampaignDay = tuple[str, date]
Cells = tuple[str | None, ...]
"""A row's cells in the columns of parts and of hours, None in those over which it may be a sum."""


@dataclass(frozen=True)
class PartSums:
    """The rows that are sums of parts.

    `sum_lines`: their lines, which are not added. `rests`: by campaign and day, the amount by which stated sums exceed
    their parts, added besides the parts. `warnings`: sentences about rows that were left out or counted.
    """

    sum_lines: frozenset[int] = frozenset()
    rests: Mapping[CampaignDay, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Group:
    """Rows of a campaign's day with the same cells: their sum, how many are not 0, and the finest difference shown.

    `line`: the first one. `lines`: the lines of rows that may be sums. `is_labelled`: a word such as «Total» says that
    they are sums.
    """

    line: int
    amount: int = 0
    count: int = 0
    step: int = 0
    is_labelled: bool = False
    lines: list[int] = field(default_factory=list)


_Groups = dict[tuple[Places, Cells], _Group]
"""The rows of a campaign's day, by the columns over which they may be sums and by their cells."""


class _Parted(NamedTuple):
    """A row of one campaign's day: its line, the columns over which it may be a sum, and its cells."""

    line: int
    key: CampaignDay
    summed: Places
    row: Sequence[str]


class _Judged(NamedTuple):
    """Rows of one campaign's day that may be sums over the columns at places `summed`.

    `found`: their figure beside the sum of the rows that they would sum up.
    """

    key: CampaignDay
    summed: Places
    group: _Group
    found: MaybeSum


def find_part_sums(
    layout: Layout, columns: Columns, evidence: Evidence, reader: AmountReader, days: Days, chosen: Filter,
    sum_rows: SumRows | None, shown: Callable[[int], str],
) -> PartSums:  # fmt: skip
    """Finds the rows that are sums of other rows of their campaign's day, so that they can be left out.

    `chosen`: the currency and platform of the rows to read. `sum_rows`: a person's choice; None: arithmetic decides.
    `shown` turns the reader's units into text. Raises Question if arithmetic proves nothing, Refused for more than
    MAX_MIXED_DAYS campaign-days to compare.
    """
    some_are_parts = sum(count for _, count in evidence.summed.values()) < evidence.rows
    if sum_rows == "parts" or len(evidence.summed) + some_are_parts < 2:
        return PartSums()
    rows = _Rows(layout, columns, evidence, days, chosen)
    mixed = _mixed(rows, evidence)
    places = {*rows.cells.parts, *(place for summed in evidence.summed for place in summed)}
    if columns.hour is not None:
        places.add(columns.hour.place)
    judged = list(_judged(_grouped(rows, columns, reader, mixed, sorted(places)), sorted(places)))
    if not judged:
        return PartSums()
    shows = next((one for one in judged if one.found.figure < one.found.others and not one.found.agrees), None)
    shows = shows or next((one for one in judged if not one.found.agrees), judged[0])
    over = " and ".join(layout.headings[place].text for place in shows.summed if place < len(layout.headings))
    why = (
        f"line {shows.found.line} may be a sum over {over}: it has {shown(shows.found.figure)}, and the others of its "
        f"day come to {shown(shows.found.others)}"
    )
    if not are_sums([one.found for one in judged], sum_rows, why):
        return PartSums(warnings=(f"{why}, which is more, so that such rows count as parts of their day",))
    return _sums_left_out(judged, shown)


class _Rows:
    """The rows with a campaign and a day that the filter lets through."""

    def __init__(self, layout: Layout, columns: Columns, evidence: Evidence, days: Days, chosen: Filter) -> None:
        self._layout, self._columns, self._days = layout, columns, days
        self._summed = evidence.summed
        self._is_other = other_rows(columns, chosen)
        self._ids = Ids.of(columns)
        self.cells = PartCells(layout, columns)

    def __iter__(self) -> Iterator[_Parted]:
        campaign, day_place = self._columns.campaign.place, self._columns.day.place
        needed = max(campaign, day_place)
        for line, row in self._layout.table.rows():
            if line <= self._layout.line or len(row) <= needed or (day := self._days.read(row[day_place])) is None:
                continue
            if self._is_other is not None and self._is_other(row):
                continue
            try:
                key = self._ids[row[campaign]], day
            except NoId:
                continue
            summed = self.cells.summed(row)
            yield _Parted(line, key, summed if summed in self._summed else (), row)


def _mixed(rows: _Rows, evidence: Evidence) -> set[CampaignDay]:
    """The campaign-days with rows of several kinds: plain parts, and rows that may be sums, by their set of columns.

    Raises Refused for over MAX_MIXED_DAYS of them.
    """
    bits = {(): 1} | {summed: 2 << place for place, summed in enumerate(evidence.summed)}
    masks: dict[str, MutableMapping[date, int]] = {}
    mixed: set[CampaignDay] = set()
    for line, key, summed, _ in rows:
        campaign, day = key
        of_campaign = masks.get(campaign)
        if of_campaign is None:
            of_campaign = masks[campaign] = {} if evidence.rows < COMPACT_AFTER else DayAmounts()
        mask = of_campaign.get(day, 0)
        if mask & bits[summed]:
            continue
        of_campaign[day] = mask | bits[summed]
        if mask:
            mixed.add(key)
        if len(mixed) > MAX_MIXED_DAYS:
            raise Refused(
                f"over {MAX_MIXED_DAYS} campaign-days have rows that may be sums of their other rows, the last one on "
                f"line {line}: they are too many to compare",
                "export it without sums, or say --sum-rows parts if no row is a sum",
            )
    return mixed


def _grouped(
    rows: _Rows, columns: Columns, reader: AmountReader, mixed: set[CampaignDay], places: Sequence[int]
) -> dict[CampaignDay, _Groups]:
    """The rows of the mixed days by their cells in the columns `places`.

    Leaves out days with an unreadable amount, because these are not imported.
    """
    found: dict[CampaignDay, _Groups] = {key: {} for key in mixed}
    for line, key, summed, row in rows:
        groups = found.get(key)
        if groups is None:
            continue
        try:
            cell = row[columns.spend.place]
            amount = reader.read(cell)
        except (Unreadable, IndexError):
            del found[key]
            continue
        cells = tuple(None if place in summed or place >= len(row) else row[place].strip() for place in places)
        group = groups.setdefault((summed, cells), _Group(line))
        if summed:
            group.lines.append(line)
            group.is_labelled = group.is_labelled or rows.cells.is_labelled(row, summed)
        if amount:
            step = reader.step(cell)
            group.step = min(group.step or step, step)
            group.amount += amount
            group.count += 1
    return found


def _judged(found: Mapping[CampaignDay, _Groups], places: Sequence[int]) -> Iterator[_Judged]:
    """Yields each group that may be a sum, compared with the groups that it would sum up, fewest columns first.

    A group would sum up the groups that may be sums over fewer of its columns, or over none, and have the same cells in
    the other columns. If there are none, it is compared with all parts of the day, and yielded only if it is their sum.
    The excess of a sum over its parts counts as a part of the larger sums. Leaves out a group if its figure or the sum
    of the others is 0, because the day's total is then the same whether it is a sum or a part.
    """
    for key, groups in found.items():
        counted: _Groups = {one: group for one, group in groups.items() if not one[0]}
        parts = _total(counted.values())
        for summed in sorted({own for own, _ in groups if own}, key=len):
            finer = _finer_sums(counted, summed, places)
            for (own, cells), group in groups.items():
                if own != summed:
                    continue
                others = finer.get(cells, parts)
                maybe = _compared(group, others)
                if not (group.amount and others.amount) or (cells not in finer and not maybe.agrees):
                    counted[own, cells] = group
                    continue
                if not maybe.agrees:
                    counted[own, cells] = _Group(group.line, group.amount - others.amount, 1, group.step)
                yield _Judged(key, summed, group, maybe)


def _finer_sums(counted: _Groups, summed: Places, places: Sequence[int]) -> dict[Cells, _Group]:
    """The totals of groups that may be sums over fewer of the columns `summed`, by their cells in all other columns."""
    found: dict[Cells, list[_Group]] = defaultdict(list)
    for (own, cells), group in counted.items():
        if frozenset(own) < frozenset(summed):
            same = tuple(None if place in summed else cell for place, cell in zip(places, cells, strict=True))
            found[same].append(group)
    return {cells: _total(groups) for cells, groups in found.items()}


def _total(groups: Iterable[_Group]) -> _Group:
    total = _Group(0)
    for group in groups:
        total.amount += group.amount
        total.count += group.count
        total.step = min(total.step or group.step, group.step or total.step)
    return total


def _compared(group: _Group, others: _Group) -> MaybeSum:
    rounded = others.count + max(0, group.count - 1)
    slack = slack_of(others.amount, rounded, group.step, others.step or 1)
    return MaybeSum(group.line, group.amount, others.amount, others.count, slack, group.is_labelled)


def _sums_left_out(judged: Sequence[_Judged], shown: Callable[[int], str]) -> PartSums:
    lines = [line for one in judged for line in one.group.lines]
    told = ["1 row is the sum of the others of its day, and is left out"]
    if len(lines) > 1:
        told = [f"{len(lines)} rows are sums of the others of their day, and are left out"]
    rests: dict[CampaignDay, int] = defaultdict(int)
    differing = [one.found for one in judged if not one.found.agrees]
    for one in judged:
        if not one.found.agrees:
            rests[one.key] += one.found.figure - one.found.others
    if differing:
        first, verb = differing[0], "differs" if len(differing) == 1 else "differ"
        told.append(
            f"{len(differing)} of these sums {verb} from the others, the first on line {first.line}, and counts "
            f"instead of them: {shown(first.figure)}, not {shown(first.others)}"
        )
    return PartSums(frozenset(lines), rests, tuple(told))
