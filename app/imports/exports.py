"""Exports of ad platforms: a CSV file of campaigns' days, read into reported totals.

Rows of one campaign and day (by device, network, hour, ad …) are parts of one total, summed exactly before they are
rounded to micros once.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import BinaryIO, Final, Literal, NamedTuple

from domain.errors import InvalidValue
from domain.inputs import MAX_TEXT
from domain.money import EXACT, MICROS_PER_UNIT, exact_micros, whole_micros
from domain.text import readable

Unit = Literal["currency", "micros"]

HEADER_WITHIN: Final = 25
HEADER_WITHIN_CHARACTERS: Final = 65_536
DELIMITERS: Final = (",", ";", "\t", "|")
DATE_FORMATS: Final = ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%d.%m.%Y")


@dataclass(frozen=True)
class Columns:
    """The names a platform's exports give to what we need, the likeliest first.

    `unit` is the spend column's where its own name does not say micros; `unit_is_sure` where a person said so.
    """

    campaign: tuple[str, ...]
    day: tuple[str, ...]
    spend: tuple[str, ...]
    unit: Unit
    unit_is_sure: bool = False
    name: tuple[str, ...] = ("campaign_name", "campaign", "ad_name", "name")
    currency: tuple[str, ...] = ("currency_code", "currency", "account_currency", "account_currency_code")


TOTAL_WORDS: Final = ("total", "grand total", "summe", "subtotal")
_ROUNDED = re.compile(r"\d+(\.\d+)?[eE]\+?\d+|\d+\.\d+")
_WITH_OFFSET = re.compile(r"\d:\d.*([zZ]|[+-]\d\d:?\d\d)$")

DAY_NAMES: Final = (
    "date",
    "day",
    "date_day",
    "segments.date",
    "segments_date",
    "date_start",
    "reporting_starts",
    "stat_time_day",
    "time_period",
    "gregorian_date",
)
CAMPAIGN_NAMES: Final = ("campaign_id", "campaign.id", "campaignid", "id")

PRESETS: Final = {
    "google_ads": Columns(CAMPAIGN_NAMES, DAY_NAMES, ("cost_micros", "metrics.cost_micros", "cost"), "currency"),
    "microsoft_ads": Columns(CAMPAIGN_NAMES, DAY_NAMES, ("spend",), "currency"),
    "meta_ads": Columns(CAMPAIGN_NAMES, DAY_NAMES, ("spend", "amount_spent"), "currency"),
    "facebook_ads": Columns(CAMPAIGN_NAMES, DAY_NAMES, ("spend", "amount_spent"), "currency"),
    "snapchat_ads": Columns((*CAMPAIGN_NAMES, "ad_id"), DAY_NAMES, ("spend",), "micros"),
    "tiktok_ads": Columns(CAMPAIGN_NAMES, DAY_NAMES, ("spend", "cost"), "currency"),
    "linkedin_ads": Columns(CAMPAIGN_NAMES, DAY_NAMES, ("cost_in_local_currency", "cost_in_usd", "cost"), "currency"),
    "pinterest_ads": Columns(CAMPAIGN_NAMES, DAY_NAMES, ("spend_in_micro_dollar",), "micros"),
    "reddit_ads": Columns(CAMPAIGN_NAMES, DAY_NAMES, ("spend",), "micros"),
    "twitter_ads": Columns(CAMPAIGN_NAMES, DAY_NAMES, ("billed_charge_local_micro",), "micros"),
    "amazon_ads": Columns(CAMPAIGN_NAMES, DAY_NAMES, ("cost", "spend"), "currency"),
    "apple_search_ads": Columns(CAMPAIGN_NAMES, DAY_NAMES, ("local_spend_amount", "local_spend"), "currency"),
}
ANY_PLATFORM: Final = Columns(
    (*CAMPAIGN_NAMES, "external_id"), DAY_NAMES, ("spend", "cost", "amount", "amount_spent"), "currency"
)


class BadRow(NamedTuple):
    """A row that could not be read, by its line in the file (the header's is 1; a whole day's is 0), and why."""

    line: int
    reason: str


class Part(NamedTuple):
    """One readable row."""

    external_id: str
    day: date
    micros: Decimal


@dataclass
class Export:
    """What a file says: exact micros by (campaign, day), the campaigns' names and currencies, and what was unreadable.

    A day of which one part could not be read is in `incomplete` and not in `totals`: its total is not known.
    """

    totals: dict[tuple[str, date], int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    currencies: dict[str, str] = field(default_factory=dict)
    bad_rows: list[BadRow] = field(default_factory=list)
    incomplete: set[tuple[str, date]] = field(default_factory=set)
    rows: int = 0


@dataclass(frozen=True)
class Layout:
    """How the file is written, and where in a row each thing stands."""

    delimiter: str
    header_line: int
    campaign: int
    day: int
    spend: int
    name: int | None
    currency: int | None
    micros_per_unit: int


def columns_for(
    platform: str,
    *,
    campaign: str | None = None,
    day: str | None = None,
    spend: str | None = None,
    unit: Unit | None = None,
) -> Columns:
    """The platform's preset, or the common names, with what the caller knows better in their place."""
    preset = PRESETS.get(platform) or PRESETS.get(f"{platform}_ads", ANY_PLATFORM)
    return Columns(
        campaign=preset.campaign if campaign is None else (campaign,),
        day=preset.day if day is None else (day,),
        spend=preset.spend if spend is None else (spend,),
        unit=unit or preset.unit,
        unit_is_sure=unit is not None,
    )


def read_export(stream: BinaryIO, columns: Columns) -> Export:
    """Reads a whole file. Raises InvalidValue, naming what is there, for one without the columns we need."""
    start = stream.read(2)
    stream.seek(0)
    encoding = "utf-16" if start in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    text = io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="")
    try:
        layout = _layout(text.read(HEADER_WITHIN_CHARACTERS), columns)
        text.seek(0)
        return _summed(_numbered(text, layout.delimiter), layout)
    finally:
        text.detach()


def _numbered(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of the line on which it ends."""
    reader = csv.reader(lines, delimiter=delimiter)
    return ((reader.line_num, row) for row in reader)


def _summed(rows: Iterator[tuple[int, list[str]]], layout: Layout) -> Export:
    export = Export()
    sums: dict[tuple[str, date], Decimal] = {}
    for line, row in rows:
        if line <= layout.header_line or not any(cell.strip() for cell in row):
            continue
        export.rows += 1
        part = _part(row, layout, line, export)
        if part is not None:
            key = part.external_id, part.day
            sums[key] = EXACT.add(sums.get(key, Decimal(0)), part.micros)
    for key, micros in sums.items():
        if key not in export.incomplete:
            _keep_total(export, key, micros)
    return export


def _keep_total(export: Export, key: tuple[str, date], micros: Decimal) -> None:
    try:
        export.totals[key] = whole_micros(micros)
    except InvalidValue as error:
        export.bad_rows.append(BadRow(0, f"campaign {key[0]} on {key[1]}: {error}"))


def _layout(sample: str, columns: Columns) -> Layout:
    """Finds the header, by whichever delimiter makes it one: some platforms write a title and a range above it."""
    widest: list[str] = []
    for delimiter in DELIMITERS:
        rows = _numbered(io.StringIO(sample, newline=""), delimiter)
        for line, row in itertools.islice(rows, HEADER_WITHIN):
            found = _header(row, columns, delimiter, line)
            if found is not None:
                return found
            widest = row if len(row) > len(widest) else widest
    wanted = ", ".join(" or ".join(names[:3]) for names in (columns.campaign, columns.day, columns.spend))
    raise InvalidValue("file", f"needs columns {wanted}; it has {', '.join(widest[:20]) or 'none'}")


def _header(row: list[str], columns: Columns, delimiter: str, line: int) -> Layout | None:
    names = [_bare(cell) for cell in row]
    campaign, day, spend = (_place(names, wanted) for wanted in (columns.campaign, columns.day, columns.spend))
    if campaign is None or day is None or spend is None:
        return None
    in_micros = columns.unit == "micros" or ("micro" in names[spend] and not columns.unit_is_sure)
    return Layout(
        delimiter=delimiter,
        header_line=line,
        campaign=campaign,
        day=day,
        spend=spend,
        name=_place(names, columns.name),
        currency=_place(names, columns.currency),
        micros_per_unit=1 if in_micros else MICROS_PER_UNIT,
    )


def _bare(header: str) -> str:
    return header.strip().lower().replace(" ", "_")


def _place(names: Sequence[str], wanted: Iterable[str]) -> int | None:
    return next((names.index(_bare(name)) for name in wanted if _bare(name) in names), None)


def _part(row: list[str], layout: Layout, line: int, export: Export) -> Part | None:
    """The row's part of a total, noted in `export`; None, and the reason noted there, where it cannot be read."""
    key = None
    try:
        external_id = _external_id(_cell(row, layout.campaign))
        key = (external_id, _day(_cell(row, layout.day)))
        micros = exact_micros(_cell(row, layout.spend), micros_per_unit=layout.micros_per_unit)
        _one_currency(export, external_id, _cell(row, layout.currency).upper())
    except InvalidValue as error:
        export.bad_rows.append(BadRow(line, str(error)))
        if key is not None:
            export.incomplete.add(key)
        return None
    export.names.setdefault(external_id, readable(_cell(row, layout.name)) or external_id)
    return Part(*key, micros)


def _one_currency(export: Export, external_id: str, currency: str) -> None:
    """Notes the campaign's currency. Raises InvalidValue for another than its first: amounts of two do not add up."""
    known = export.currencies.setdefault(external_id, currency) if currency else ""
    if known != currency:
        raise InvalidValue("currency", f"{currency}, where the campaign's first row has {known}")


def _cell(row: list[str], place: int | None) -> str:
    return row[place].strip() if place is not None and place < len(row) else ""


def _external_id(text: str) -> str:
    if not text or len(text) > MAX_TEXT or not text.isprintable():
        raise InvalidValue("campaign", "is empty or no id")
    if _ROUNDED.fullmatch(text):
        raise InvalidValue("campaign", f"{text} is a number that a spreadsheet has rounded, not an id")
    if text.lower().startswith(TOTAL_WORDS):
        raise InvalidValue("campaign", f"{text[:40]!r} is a line of totals")
    return text


def _day(text: str) -> date:
    """The day that a date, or a date with its hour, names, as the platform wrote it.

    Raises InvalidValue for a moment with a distance from UTC: which day that is depends on the brand's zone.
    """
    if _WITH_OFFSET.search(text):
        raise InvalidValue("date", f"{text[:40]!r} names a moment, not a day; export days in the account's own zone")
    bare = text.replace("T", " ").split(" ")[0]
    for form in DATE_FORMATS:
        try:
            return datetime.strptime(bare, form).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    raise InvalidValue("date", f"cannot read {text[:40]!r} as a day")
