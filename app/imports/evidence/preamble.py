"""The lines around a table: its range of days, time zone, currency, account, and the time its figures were true."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from app.imports.evidence.dates import Day, Numeric, read_day
from app.imports.headings.heading_reader import CODES, squeezed
from app.imports.tables import Row
from app.imports.zones import written_offset, zone_names, zone_offset

_AROUND: Final = re.compile(
    r"\s*(?:–|—|~|〜|～)\s*|\s+(?:-|to|bis|au|al|a|à|até|tot|do|through|e)\s+|(?<=\d{4})-(?=\d)|から"
)
_ZONE_WORDS: Final = frozenset(
    {
        "timezone",
        "reporttimezone",
        "zeitzone",
        "fuseauhoraire",
        "zonahoraria",
        "fusohorario",
        "fusoorario",
        "tijdzone",
        "strefaczasowa",
        "タイムソーン",
        "accounttimezone",
        "tz",
    }
)
_CURRENCY_WORDS: Final = frozenset(
    {"currency", "currencycode", "accountcurrency", "wahrung", "devise", "moneda", "moeda", "valuta", "waluta", "通貨"}
)
_ACCOUNT_WORDS: Final = frozenset(
    {
        "accountid",
        "customerid",
        "advertiserid",
        "accountnumber",
        "kundennummer",
        "adaccountid",
        "orgid",
        "organizationid",
    }
)
_COMPLETED: Final = frozenset({"lastcompletedavailableday", "lastcompletedavailablehour", "lastcompletedday"})
_MADE: Final = frozenset(
    {
        "reporttime",
        "dategenerated",
        "datetimegenerated",
        "generated",
        "generatedon",
        "reportgenerated",
        "createdon",
        "created",
        "exportedat",
        "exportdate",
        "exported",
        "downloaded",
        "rundate",
        "reportrun",
        "dategenere",
        "erstelltam",
        "reportcreationdate",
        "reportcreated",
    }
)
_START: Final = frozenset(
    {"reportstart", "startdate", "from", "start", "reportstartdate", "startdatum", "berichtsbeginn"}
)
_END: Final = frozenset({"reportend", "enddate", "to", "end", "reportenddate", "enddatum", "berichtsende"})
_AT_UTC: Final = re.compile(r"\s*\(?(?<![A-Za-z])(?:GMT|UTC|Z)\)?\s*$")
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([AaPp])?\.?[Mm]?\.?")


@dataclass(frozen=True)
class Stated:
    """Facts that the lines around a table state, as they are written; None or empty for a fact that they lack.

    `currency`: a code. `range`: the first and the last day. `completed`: the last completed day. `made`: the time of
    the report. `is_incomplete`: the report says that it lacks data. `aggregation`: the period of a row, such as `week`.
    """

    title: str = ""
    range: tuple[str, str] | None = None
    zone: str | None = None
    currency: str | None = None
    account: str | None = None
    completed: str | None = None
    made: str | None = None
    is_incomplete: bool = False
    aggregation: str = ""


@dataclass
class _Lines:
    """The keys and values, the first line of text and the first range of days in the lines read so far."""

    found: dict[str, str] = field(default_factory=dict)
    title: str = ""
    bare_range: tuple[str, str] | None = None
    start: str | None = None
    end: str | None = None

    def read(self, cells: list[str]) -> None:
        """Reads the cells of a line; keeps the first range, the first value of each key, and the last start and end."""
        text = ", ".join(cells)
        self.title = self.title or (text if not self.found else "")
        inner = re.search(r"\(([^()]+)\)$", text)
        self.bare_range = self.bare_range or _range(text) or (_range(inner[1]) if inner else None)
        key, value = _pair(cells)
        if not value:
            return
        if key in _START:
            self.start = value
        elif key in _END:
            self.end = value
        else:
            self.found.setdefault(key, value)
        if zone := _zone_in(text):
            self.found.setdefault("timezone", zone)
        self.bare_range = self.bare_range or _range(value)

    def days(self) -> tuple[str, str] | None:
        """The first range of days, else the days of a start and an end, as they are written; None without either."""
        if self.bare_range is None and self.start and self.end:
            return _date_part(self.start), _date_part(self.end)
        return self.bare_range

    def first(self, words: frozenset[str]) -> str | None:
        """The value of the first key that is one of the words; None without one."""
        return next((value for key, value in self.found.items() if key in words), None)


def stated(lines: Iterable[Row]) -> Stated:
    """The facts in «Key: value» lines, pairs of cells, and a bare range of days. Ignores lines of over 12 cells."""
    read = _Lines()
    for row in lines:
        cells = [cell.strip() for cell in row.cells if cell.strip()]
        if 0 < len(cells) <= 12:
            read.read(cells)
    made, currency = read.first(_MADE), read.first(_CURRENCY_WORDS)
    return Stated(
        title=read.title,
        range=read.days(),
        zone=read.first(_ZONE_WORDS) or _zone_in(read.title),
        currency=currency.upper() if currency and currency.upper() in CODES else None,
        account=read.first(_ACCOUNT_WORDS),
        completed=read.first(_COMPLETED),
        made=None if made is None or _range(made) else made,
        aggregation=read.found.get("reportaggregation", ""),
        is_incomplete=squeezed(read.found.get("potentialincompletedata", "")) == "true",
    )


def _zone_in(title: str) -> str | None:
    found = re.search(r"\(in (UTC|GMT)\)", title)
    return found[1] if found else None


def _pair(cells: list[str]) -> tuple[str, str]:
    if len(cells) >= 2 and not cells[0].rstrip().endswith(")"):
        head = cells[0].rstrip(":： ")
        if ":" not in head or len(cells[0]) < 30:
            return squeezed(head), ", ".join(cells[1:])
    key, _, value = cells[0].partition(":")
    return squeezed(key), ", ".join([value.strip(), *cells[1:]]).strip(", ")


def _range(text: str) -> tuple[str, str] | None:
    """The two days in a text, as they are written; None if it is no range of days."""
    parts = _AROUND.split(text.strip())
    if len(parts) != 2:
        return None
    last = read_day(_date_part(parts[1]))
    if not isinstance(last, (Day, Numeric)):
        return None
    first_text = _date_part(parts[0].rpartition(": ")[2] if ": " in parts[0] else parts[0])
    first = read_day(first_text)
    if not isinstance(first, (Day, Numeric)) and isinstance(last, Day):
        first_text = f"{first_text}, {last.day.year}"
        first = read_day(first_text)
    return (first_text, _date_part(parts[1])) if isinstance(first, (Day, Numeric)) else None


def _date_part(text: str) -> str:
    """A text without the time behind its date."""
    return re.sub(r",?\s+\d{1,2}:\d{2}.*$", "", text.strip()).strip(", ")


def day_in(text: str, *, day_first: bool | None) -> date | None:
    """The day that a text of the preamble names; None if it names none.

    `day_first` None: the order of day and month is unknown; a text that then can name two days names none.
    """
    read = read_day(_date_part(text))
    if isinstance(read, Day):
        return read.day
    if isinstance(read, Numeric):
        days = {read.as_day(day_first=order) for order in ((True, False) if day_first is None else (day_first,))} - {
            None
        }
        return next(iter(days)) if len(days) == 1 else None
    return None


def stated_moment(text: str, zone: str | None, *, day_first: bool | None) -> datetime | None:
    """The moment in a text, in UTC; None if it has no day or no time.

    `day_first`: the order of day and month; None: unknown, so that a text which may name two days has no moment. A text
    that ends with UTC, GMT or Z is in UTC, one with an offset such as GMT-8 is in that offset. Any other text is in
    `zone`: an IANA zone, or an offset, which is taken without summer time; in UTC if `zone` names neither or is None.
    """
    day = day_in(_AT_UTC.sub("", text), day_first=day_first)
    clock = _CLOCK.search(text)
    if day is None or clock is None:
        return None
    hour = int(clock[1])
    if clock[4]:
        hour = hour % 12 + (12 if clock[4] in "Pp" else 0)
    try:
        at = datetime.combine(day, time(hour, int(clock[2]), int(clock[3] or 0)))
    except ValueError:
        return None
    return (at - _offset(text, zone, at)).replace(tzinfo=UTC)


def _offset(text: str, zone: str | None, at: datetime) -> timedelta:
    """The UTC offset of a moment at wall-clock time `at`: the one in `text`, else the one of `zone`, else zero."""
    if _AT_UTC.search(text):
        return timedelta()
    own = written_offset(text)
    if own is not None or zone is None:
        return own or timedelta()
    return zone_offset(zone, at) if zone_names(zone) else written_offset(zone) or timedelta()
