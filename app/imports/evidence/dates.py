"""Days as platforms write them: a cell is one day, one of two days, a longer period, a moment, or no day at all."""

import re
import unicodedata
from datetime import date
from functools import cache, lru_cache
from typing import Final, NamedTuple

from babel.dates import get_day_names, get_month_names

from app.imports.cells import bare, plain_signs

LOCALES: Final = tuple("en de fr es pt it nl pl sv da nb fi cs tr ru uk ro hu el id vi".split())  # noqa: SIM905
EARLIEST_YEAR: Final = 1990
LATEST_YEAR: Final = 2100
EARLIEST_SHORT_YEAR: Final = 2015


class Day(NamedTuple):
    """One day. `hour`: 0 to 23 if the cell has a time other than midnight, else None."""

    day: date
    hour: int | None = None


class Numeric(NamedTuple):
    """A date in numbers with the year last: `first` and `second` are day and month in either order.

    `dotted`: dots separate the numbers. `hour`: 0 to 23 if the cell has a time other than midnight, else None.
    `short_year`: the year has two digits, and may be a day.
    """

    first: int
    second: int
    year: int
    dotted: bool
    hour: int | None = None
    short_year: bool = False

    def as_day(self, *, day_first: bool) -> date | None:
        """The day in one of the two orders; None if there is no such day."""
        day, month = (self.first, self.second) if day_first else (self.second, self.first)
        return _date(self.year, month, day)


class SeveralDays(NamedTuple):
    """More than a day. `kind`: in words, such as `a month`."""

    kind: str


class Moment(NamedTuple):
    """A time with a zone. `day`: the written day if the time is midnight, else None.

    `offset_minutes`: minutes east of UTC; 0 without a day.
    """

    day: date | None
    offset_minutes: int = 0


class NoDay(NamedTuple):
    """A cell that is no day, period or moment."""


Read = Day | Numeric | SeveralDays | Moment | NoDay
NO_DAY: Final = NoDay()

_TIME: Final = (
    r"(?:[T ,]+|\s+at\s+|\s+um\s+)?(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2}(?:[.,]\d+)?))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
    r"\s*(?P<zone>[zZ]|UTC|GMT|[+-]\d{2}:?\d{2}|\((?:UTC|GMT)[^)]*\))?"
)
_TAIL: Final = re.compile(rf"\s*{_TIME}")
_ISO_HEAD: Final = re.compile(r"(\d{4})([-/.])\s?(\d{1,2})\2\s?(\d{1,2})(?!\d)\.?(.*)", re.DOTALL)
_NUMERIC_HEAD: Final = re.compile(r"(\d{1,2})\s?([-/.])\s?(\d{1,2})\s?\2\s?(\d{4}|\d{2})(?!\d)(.*)", re.DOTALL)
_COMPACT: Final = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2})?")
_WEEKDAY_NOTE: Final = re.compile(r"\s*\([月火水木金土日월화수목금토일]\)")
_KANJI: Final = re.compile(r"(\d{4})\s*[年년]\s*(\d{1,2})\s*[月월]\s*(\d{1,2})\s*[日일](.*)", re.DOTALL)
_KANJI_MONTH: Final = re.compile(r"\d{4}\s*[年년]\s*\d{1,2}\s*[月월]")
_WORDS: Final = re.compile(r"[^\W\d_]+|\d+")
_CLOCK: Final = re.compile(
    r"(?<![\d:])\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:\s*[AaPp]\.?[Mm]\.?)?(?:\s*(?:UTC|GMT|Z|[+-]\d\d:?\d\d))?\s*$"
)
_MONTH: Final = re.compile(r"(?:19|20)\d{2}[-/. ]?(?:0[1-9]|1[0-2])|(?:0?[1-9]|1[0-2])[-/. ](?:19|20)\d{2}")
_WEEK: Final = re.compile(
    r"(?:19|20)\d{2}[-/. ]?(?:W|KW|S|Week|wk)?[-/. ]?(?:[0-4]\d|5[0-3])"
    r"|(?:W|KW|Week|wk|Woche|Semaine|Semana)\W*\d{1,2}(?:\W+(?:19|20)\d{2})?"
    r"|(?:19|20)\d{2}|Q[1-4]\W*(?:19|20)\d{2}|(?:19|20)\d{2}\W*Q[1-4]",
    re.IGNORECASE,
)
_BETWEEN: Final = re.compile(
    r"\s*(?:–|—|~|〜|～|→|\.\.+|から)\s*|\s+(?:-|to|bis|au|al|a|à|até|tot|do|through|thru|until|e|/)\s+|(?<=\d{4})-(?=\d{1,2}/)|(?<=\d{2})/(?=\d{4}-)|(?<=\d{2})\s?-\s?(?=\d{4}-)"
)
_FILLERS: Final = frozenset("de del of the le la den der dia st nd rd th er o do di il el y".split())  # noqa: SIM905


def plain(word: str) -> str:
    """A word in lower case without accents."""
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(one for one in decomposed if not unicodedata.combining(one))


@cache
def _months() -> dict[str, int]:
    """Months by name, in full and abbreviated, in the languages of LOCALES: in lower case, without accents.

    Leaves out names of one or two letters, and names of different months in different languages, except eight names
    for which one month is chosen below.
    """
    found: dict[str, set[int]] = {}
    for locale in LOCALES:
        for width in ("wide", "abbreviated"):
            for context in ("format", "stand-alone"):
                for month, name in get_month_names(width, context=context, locale=locale).items():
                    for word in _WORDS.findall(plain(name)):
                        if not word.isdigit() and len(word) > 2:
                            found.setdefault(word, set()).add(month)
    for name, month in (
        ("sept", 9),
        ("set", 9),
        ("mrt", 3),
        ("maerz", 3),
        ("mar", 3),
        ("mai", 5),
        ("may", 5),
        ("dec", 12),
    ):
        found[name] = {month}
    return {name: next(iter(months)) for name, months in found.items() if len(months) == 1}


@cache
def _weekdays() -> frozenset[str]:
    return frozenset(
        word
        for locale in LOCALES
        for width in ("wide", "abbreviated")
        for name in get_day_names(width, locale=locale).values()
        for word in _WORDS.findall(plain(name))
        if not word.isdigit()
    ) - frozenset(_months())


def _date(year: int, month: int, day: int) -> date | None:
    if not EARLIEST_YEAR <= year <= LATEST_YEAR:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None


@lru_cache(maxsize=100_000)
def read_day(cell: str) -> Read:
    """The day, longer period or moment that a cell writes; NO_DAY if it writes none.

    A date in numbers with the year last is `Numeric`, even if only one order of day and month is possible. Cells
    without a digit or of over 80 characters are NO_DAY.
    """
    text = _WEEKDAY_NOTE.sub("", plain_signs(bare(cell)) or "").strip()
    if not text or not any(one.isdigit() for one in text) or len(text) > 80:
        return NO_DAY
    for read in (_compact, _iso, _numeric, _kanji, _range, _in_words, _period):
        if (found := read(text)) is not None:
            return found
    return NO_DAY


def _compact(text: str) -> Read | None:
    found = _COMPACT.fullmatch(text)
    if found is None:
        return None
    day = _date(int(found[1]), int(found[2]), int(found[3]))
    hour = None if found[4] is None else int(found[4])
    return None if day is None or (hour is not None and hour > 23) else Day(day, hour)


def _iso(text: str) -> Read | None:
    found = _ISO_HEAD.fullmatch(text)
    day = None if found is None else _date(int(found[1]), int(found[3]), int(found[4]))
    if found is not None and _date(int(found[1]), int(found[4]), int(found[3])) is not None and day is None:
        return SeveralDays("written year, day, month")
    if found is None or day is None:
        return None
    return _with_time(found[5], day)


def _with_time(tail: str, day: date) -> Read | None:
    if not tail.strip():
        return Day(day)
    clock = _tail(tail)
    if clock is None:
        return None
    hour, minute, zone = clock
    if zone:
        return Moment(day, _minutes(zone)) if (hour, minute) == (0, 0) else Moment(None)
    return Day(day, hour if (hour, minute) != (0, 0) else None)


def _minutes(zone: str) -> int:
    """The minutes east of UTC in a time's end such as `-07:00`; 0 for `Z`."""
    found = re.search(r"([+-])(\d{1,2}):?(\d{2})?", zone)
    if found is None:
        return 0
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    return -minutes if found[1] == "-" else minutes


def _tail(tail: str) -> tuple[int, float, str] | None:
    """Hour, minutes and zone ("" without one) of the text after a date; None if it is no time."""
    found = _TAIL.fullmatch(tail.strip()) if tail[:1] in "T ,t" or tail[:3] in (" at", " um") else None
    if found is None:
        return None
    hour = int(found["hour"])
    if found["half"]:
        hour = hour % 12 + (12 if found["half"][0] in "Pp" else 0)
    minute = float(found["minute"] or 0) + float((found["second"] or "0").replace(",", ".")) / 60
    return None if hour > 23 or minute >= 60 else (hour, minute, found["zone"] or "")


def _numeric(text: str) -> Read | None:
    found = _NUMERIC_HEAD.fullmatch(_without_weekday(text))
    if found is None:
        return None
    is_short = len(found[4]) == 2
    year = int(found[4]) + (2000 if is_short else 0)
    numeric = Numeric(int(found[1]), int(found[3]), year, found[2] == ".", short_year=is_short)
    is_day = numeric.as_day(day_first=True) is not None or numeric.as_day(day_first=False) is not None
    if not is_day or (is_short and year < EARLIEST_SHORT_YEAR):
        return None
    return _with_hour(numeric, found[5])


def _with_hour(numeric: Numeric, tail: str) -> Read | None:
    if not tail.strip():
        return numeric
    clock = _tail(tail)
    if clock is None or clock[2]:
        return None if clock is None else Moment(None)
    return numeric if clock[:2] == (0, 0) else numeric._replace(hour=clock[0])


def _without_weekday(text: str) -> str:
    head = re.match(r"([^\W\d_]+)[.,]?\s+(?=\d)", text)
    return text[head.end() :] if head and plain(head[1]) in _weekdays() else text


def _kanji(text: str) -> Read | None:
    if found := _KANJI.fullmatch(text):
        day = _date(int(found[1]), int(found[2]), int(found[3]))
        return None if day is None else _with_time(found[4], day)
    return SeveralDays("a month") if _KANJI_MONTH.fullmatch(text) else None


def _in_words(text: str) -> Read | None:
    """The reading of a text such as «1. November 2026» or «Sunday, 1 de noviembre de 2026 3:00 PM»; None for others."""
    clock = _CLOCK.search(text)
    hour = None
    if clock:
        tail = _tail(f" {clock[0].strip()}")
        if tail is None or tail[2]:
            return Moment(None) if tail else None
        hour = None if tail[:2] == (0, 0) else tail[0]
        text = text[: clock.start()]
    words = [word for word in _WORDS.findall(plain(text)) if word not in _FILLERS]
    months = [_months()[word] for word in words if word in _months()]
    rest = [word for word in words if word not in _months() and word not in _weekdays()]
    if len(months) != 1 or not all(word.isdecimal() for word in rest):
        return None
    years = [int(word) for word in rest if len(word) == 4]
    days = [int(word) for word in rest if len(word) <= 2]
    if len(rest) == 1 and len(years) == 1:
        return SeveralDays("a month")
    if len(rest) == 2 and not years and len(rest[1]) == 2:
        years, days = [2000 + int(rest[1])], [int(rest[0])]
    if len(rest) != 2 or len(years) != 1 or len(days) != 1:
        return None
    day = _date(years[0], months[0], days[0])
    return None if day is None else Day(day, hour)


def _range(text: str) -> Read | None:
    """The reading of a cell with two days: `SeveralDays`, or the day if both are the same. None for other cells."""
    parts = _BETWEEN.split(text)
    if len(parts) != 2 or not all(any(one.isdigit() for one in part) for part in parts):
        return None
    first, last = (_single(part.strip()) for part in parts)
    if first is not None and _without_hour(first) == _without_hour(last):
        return first
    if isinstance(last, (Day, Numeric)) or isinstance(first, (Day, Numeric)):
        return SeveralDays("a range of days")
    return None


def _without_hour(read: Read | None) -> Read | None:
    return read._replace(hour=None) if isinstance(read, (Day, Numeric)) else read


def _single(text: str) -> Read | None:
    return next((found for found in (read(text) for read in _SINGLE) if found is not None), None)


_SINGLE: Final = (_compact, _iso, _numeric, _kanji, _in_words)


def _period(text: str) -> Read | None:
    if _MONTH.fullmatch(text):
        return SeveralDays("a month")
    return SeveralDays("a week or more") if _WEEK.fullmatch(text) else None
