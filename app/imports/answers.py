"""The results of reading a file: a `Reading`, a `Refused` file, or a `Question` that a person answers."""

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final, Literal, NamedTuple

from domain.errors import InvalidValue

Meaning = Literal["campaign", "name", "day", "spend", "currency", "account"]
Unit = Literal["currency", "cents", "micros"]
DecimalMark = Literal["point", "comma"]
DayOrder = Literal["day_first", "month_first"]
SumRows = Literal["sums", "parts"]
EveningTimes = Literal["same_day", "next_day"]

ABOUT_PLATFORM: Final = "platform"

MICROS_OF: Final[Mapping[Unit, int]] = {"currency": 1_000_000, "cents": 10_000, "micros": 1}
"""By unit, how many micros one of it is."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options that a person sets for a file; None and empty leave a decision to the evidence in the file.

    `columns`: headings by meaning. `name_as_id`: names of campaigns stand for their ids in a file without ids. `delta`:
    amounts are added to known ones, instead of replacing them. `as_of`: when the figures were true. `currency`: the
    code of the file's currency; if a column has several, only rows in this one are read. `keep_duplicates`: rows that
    the file repeats count again. `complete`: whether the file has every campaign-day of its range. `sheet`: the sheet
    of a workbook, by name. `sum_rows`: whether rows that may be sums of others, such as those without a device, are
    sums or parts. `evening_times`: whether the one time that each day has after noon is of the written day, or the
    midnight that begins the next one in a zone east of UTC.
    """

    platform: str | None = None
    columns: Mapping[Meaning, str] = field(default_factory=dict)
    unit: Unit | None = None
    decimal: DecimalMark | None = None
    day_order: DayOrder | None = None
    as_of: datetime | None = None
    name_as_id: bool = False
    delta: bool = False
    currency: str | None = None
    keep_duplicates: bool = False
    complete: bool | None = None
    encoding: str | None = None
    sheet: str | None = None
    sum_rows: SumRows | None = None
    evening_times: EveningTimes | None = None


class Refused(InvalidValue):
    """The file cannot be imported: `reason` says where and why; `fix`: how to export it again, for people."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__("file", f"{reason}; {fix}" if fix else reason)
        self.reason = reason
        self.fix = fix


class Changed(Refused):
    """A file that was written to or replaced while it was read, so that no figure of it can be trusted."""

    def __init__(self) -> None:
        super().__init__("changed while it was read", "import it again once it is complete")


@dataclass(frozen=True, slots=True)
class Choice:
    """One possible reading. `settles`: the fields of `ReadOptions` that choose it.

    `sum_micros` is by currency, "" if the file names none; None if the sum is not known. `first_day`, `last_day`: of
    the days read; None if not known.
    """

    label: str
    settles: Mapping[str, object]
    sum_micros: Mapping[str, int] | None = None
    first_day: date | None = None
    last_day: date | None = None

    def apply(self, options: ReadOptions) -> ReadOptions:
        """The options with this reading chosen; headings chosen before for other meanings stay."""
        chosen = dict(self.settles)
        columns = chosen.pop("columns", {})
        merged = {**options.columns, **columns} if isinstance(columns, Mapping) else options.columns
        return replace(options, columns=merged, **chosen)  # type: ignore[arg-type]

    @property
    def flags(self) -> str:
        """The options of the command line that choose this reading, such as `--unit micros`."""
        return " ".join(_flags(self.settles))


def _flags(settles: Mapping[str, object]) -> Iterator[str]:
    for name, value in settles.items():
        if isinstance(value, Mapping):
            yield from (f'--{meaning}-column "{heading}"' for meaning, heading in value.items())
        elif value is True:
            yield f"--{name.replace('_', '-')}"
        else:
            yield f"--{name.replace('_', '-')} {value}"


class Question(InvalidValue):
    """A fact that the file does not prove: a person must choose one of `readings`. `about` names it in words."""

    def __init__(self, about: str, readings: Iterable[Choice], why: str) -> None:
        self.about = about
        self.readings = tuple(readings)
        self.why = why
        ways = "; ".join(f"{one.flags}: {one.label}" for one in self.readings)
        if about == ABOUT_PLATFORM and all(one.settles.keys() == {"platform"} for one in self.readings):
            ways = f"--platform NAME, with one of {', '.join(str(one.settles['platform']) for one in self.readings)}"
        super().__init__("file", f"{why}; choose {ways}")


class Column(NamedTuple):
    """A column that was used: its heading, its place from 0, its meaning, and the reason for that meaning.

    `meaning` is one of `Meaning`, or `end`, `hour`, `platform` for columns that were checked.
    """

    heading: str
    place: int
    meaning: str
    why: str


class BadRow(NamedTuple):
    """A row left out: its line in the file from 1 (0: a campaign's whole day), the cell at fault, and the reason."""

    line: int
    cell: str
    reason: str


class Warned(NamedTuple):
    """A sentence to show before anything is written, and its code for logs and options.

    `is_doubt`: the file may mean other figures or days, so that it is not imported unless somebody accepts that.
    """

    code: str
    sentence: str
    is_doubt: bool = False


class TotalsRow(NamedTuple):
    """A row of sums: its line, its label and its amount in micros, which is None if the row has none."""

    line: int
    label: str
    micros: int | None


class Totals(Mapping[tuple[str, date], int]):
    """Micros by (external id, day), stored by campaign so that a million of them fit into little memory."""

    __slots__ = ("_by_campaign", "_count")

    def __init__(self, by_campaign: Mapping[str, Mapping[date, int]]) -> None:
        self._by_campaign = by_campaign
        self._count = sum(map(len, by_campaign.values()))

    def __getitem__(self, key: tuple[str, date]) -> int:
        return self._by_campaign[key[0]][key[1]]

    def __iter__(self) -> Iterator[tuple[str, date]]:
        return ((campaign, day) for campaign, days in self._by_campaign.items() for day in days)

    def __len__(self) -> int:
        return self._count

    def items(self) -> ItemsView[tuple[str, date], int]:
        """The pairs ((external id, day), micros)."""
        return _Items(self)

    @property
    def campaigns(self) -> Mapping[str, Mapping[date, int]]:
        """By external id, the micros of each of its days."""
        return self._by_campaign

    @property
    def days(self) -> set[date]:
        """The days of which at least one campaign has a total."""
        return {day for days in self._by_campaign.values() for day in days}

    @property
    def sum_micros(self) -> int:
        """The micros of all campaigns and days together."""
        return sum(sum(days.values()) for days in self._by_campaign.values())


class _Items(ItemsView[tuple[str, date], int]):
    def __iter__(self) -> Iterator[tuple[tuple[str, date], int]]:
        campaigns = self._mapping.campaigns  # type: ignore[attr-defined]
        return (((campaign, day), micros) for campaign, days in campaigns.items() for day, micros in days.items())


@dataclass(frozen=True, slots=True)
class Reading:
    """The content of a file, and why it was read so.

    `totals` are exact micros by (external id, day), rounded once; a campaign's day of which a row could not be read is
    in `incomplete` and not in `totals`. `names`: campaign names by external id. `currency`: the file's one currency,
    None if unknown; `currencies`: the currencies that it can be in by its code or signs (`$` allows several), None if
    it has neither. `time_zone` is as the file writes it. `as_of`: when the figures were true; `as_of_source`: the
    source of that moment. `first_day`, `last_day`: of `totals`, None without any. `stated_days`: the range that the
    file names for itself, None if it names none. `is_complete`: the file has every campaign-day of its range.
    `totals_phrase`: a phrase on the totals rows and whether they agree. `proofs` say how unit, decimal sign and dates
    were decided, and which rows make no total of their own. `layout`: a hash of the headings.
    """

    platform: str
    platform_why: str
    account: str | None
    columns: tuple[Column, ...]
    unit: Unit
    proofs: tuple[str, ...]
    totals: Totals
    names: Mapping[str, str]
    currency: str | None
    currencies: frozenset[str] | None
    time_zone: str | None
    as_of: datetime
    as_of_source: str
    first_day: date | None
    last_day: date | None
    stated_days: tuple[date, date] | None
    is_complete: bool
    is_delta: bool
    totals_rows: tuple[TotalsRow, ...]
    totals_phrase: str
    identical_rows: int
    bad_rows: tuple[BadRow, ...]
    incomplete: frozenset[tuple[str, date]]
    warned: tuple[Warned, ...]
    rows: int
    encoding: str
    sha256: str
    layout: str
    options: ReadOptions
    day_offsets: Mapping[date, tuple[int, str]] = field(default_factory=dict)
    """By day, the minutes east of UTC at which it begins, and the cell that says so; only for days with such a cell."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """The sentences to show before anything is written."""
        return tuple(one.sentence for one in self.warned)
