"""Reads a heading: the meaning of its column, and the currency, unit or time zone that the heading carries."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from babel.numbers import list_currencies

from app.imports.answers import Unit
from app.imports.headings.words import REVENUE_IS_COST, TOTAL_WORDS, WORDS
from domain import platforms

_BRACKETS: Final = re.compile(r"[(\[（【]([^()\[\]（）【】]*)[)\]）】]")
_TOKENS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_MICROS: Final = frozenset({"micro", "micros", "mikro", "mikros", "microdollar", "microdollars", "e6", "マイクロ"})
_CENTS: Final = frozenset({"cent", "cents"})
_FILLERS: Final = frozenset({"in", "en", "em", "dollar", "dollars", "usd_", "unit", "units"})
_OWN_CURRENCY: Final = frozenset(
    {"advcurrency", "advertisercurrency", "accountcurrency", "localcurrency", "local", "kontowahrung", "acctcurrency"}
)
_DAY_NOTES: Final = frozenset(
    {"day", "daily", "tag", "jour", "dia", "yyyymmdd", "mmddyyyy", "ddmmyyyy", "accounttimezone"}
)
_SIGNS: Final[Mapping[str, str]] = {
    "€": "EUR", "£": "GBP", "円": "JPY", "₹": "INR", "₩": "KRW", "zł": "PLN", "r$": "BRL", "us$": "USD", "a$": "AUD",
    "c$": "CAD", "ca$": "CAD", "₺": "TRY", "₽": "RUB", "chf": "CHF", "kč": "CZK", "hk$": "HKD", "nt$": "TWD",
    "mx$": "MXN", "nz$": "NZD", "s$": "SGD", "£gb": "GBP", "₪": "ILS", "₫": "VND", "₱": "PHP", "฿": "THB",
}  # fmt: skip
CODES: Final = frozenset(list_currencies())
_COMMON_CODES: Final = frozenset(
    "USD EUR GBP JPY CAD AUD NZD CHF SEK NOK DKK PLN CZK HUF RON BGN TRY RUB UAH ILS AED SAR QAR KWD EGP ZAR NGN KES "  # noqa: SIM905
    "INR PKR IDR MYR SGD THB VND PHP HKD TWD CNY KRW BRL MXN ARS CLP COP PEN UYU ISK".split()
)


def squeezed(text: str) -> str:
    """A heading in lower case, letters and digits only, without accents."""
    if text.isascii():
        return re.sub(r"[^a-z0-9]+", "", text.lower())
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(one for one in plain if one.isalnum())


class Heading(NamedTuple):
    """A column's heading. `place`: the column's, from 0. `meaning` None: not known.

    `rank`: 0 is the surest of its meaning, -1 a person's choice. `currency` is a code, `unit` the unit of amounts,
    `zone` a text such as `UTC`, `platform` the canonical name of the platform; each None if the heading names none.
    """

    text: str
    place: int
    meaning: str | None
    rank: int = 0
    currency: str | None = None
    unit: Unit | None = None
    zone: str | None = None
    platform: str | None = None

    @property
    def is_of_a_screen(self) -> bool:
        """Whether it is written for people («Amount spent»), unlike a field of an API (`amount_spent`)."""
        return self.text != self.text.lower() and "_" not in self.text and "." not in self.text.rstrip(".")


def _index() -> dict[str, tuple[str, int]]:
    index: dict[str, tuple[str, int]] = {}
    for meaning, ranks in WORDS.items():
        for rank, words in enumerate(ranks):
            for word in re.split(r"[;\n]", words):
                if key := squeezed(word):
                    index.setdefault(key, (meaning, rank))
    for word in REVENUE_IS_COST.split(";"):
        index[squeezed(word)] = ("revenue", 0)
    return index


_INDEX: Final = _index()
_TOTALS: Final = frozenset(squeezed(word) for word in TOTAL_WORDS.split(";"))


def heading(text: str, place: int) -> Heading:
    """Reads a column's heading; `place` counts columns from 0. Its `meaning` is None if it is not known."""
    return _heading(text)._replace(place=place)


@lru_cache(maxsize=20_000)
def _heading(text: str) -> Heading:
    place = 0
    text = text.strip().strip("\ufeff").strip().strip('"').strip()
    found = _INDEX.get(squeezed(text))
    base, notes = _BRACKETS.sub(" ", text), [note.strip() for note in _BRACKETS.findall(text)]
    unit = _unit(text)
    if found is not None:
        return Heading(text, place, *found, currency=_currency_in(text, notes), unit=unit)
    currency, zone = None, None
    for note in notes:
        key = squeezed(note)
        currency = currency or _code(note)
        zone = zone or _zone(note)
        if not (currency or zone or key in _OWN_CURRENCY or key in _DAY_NOTES or _unit(note)):
            return Heading(text, place, None)
    words = _tokens(base)
    for key, code in _readings(words):
        if found := _INDEX.get(key):
            return Heading(text, place, *found, currency=currency or code, unit=unit, zone=zone)
    return _of_a_platform(Heading(text, place, None, currency=currency, unit=unit), words)


def _of_a_platform(unread: Heading, words: Sequence[str]) -> Heading:
    """A heading with a platform's name before or behind it: `microsoft_spend`, «Cost - Google Ads».

    `unread`: the heading without a meaning. It is returned, without currency and unit, if its words have no platform's
    name beside a known heading.
    """
    for count in range(1, min(4, len(words))):
        for name, rest in ((words[:count], words[count:]), (words[-count:], words[:-count])):
            platform = platforms.canonical("".join(name)) if len("".join(name)) > 2 else None
            if platform is None:
                continue
            for key, code in _readings(rest):
                if found := _INDEX.get(key):
                    return unread._replace(
                        meaning=found[0], rank=found[1], currency=unread.currency or code, platform=platform
                    )
    return unread._replace(currency=None, unit=None)


def _readings(words: Sequence[str]) -> Iterable[tuple[str, str | None]]:
    """The keys by which to look a heading up: whole, without currency, without unit; each with the currency or None."""
    yield "".join(words), None
    code = words[-1].upper() if len(words) > 1 and words[-1].upper() in _COMMON_CODES else None
    if code:
        yield "".join(words[:-1]), code
        yield "".join(word for word in words[:-1] if word not in _FILLERS), code
    bare = [word for word in words if word not in _MICROS and word not in _CENTS and word not in _FILLERS]
    if bare != list(words):
        yield "".join(bare[:-1] if code else bare), code


def _tokens(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text))
    plain = "".join(one for one in plain if not unicodedata.combining(one) or ord(one) > 0x3000)
    return [token.lower() for token in _TOKENS.findall(plain)]


def _unit(text: str) -> Unit | None:
    words = set(_tokens(text))
    if words & _MICROS:
        return "micros"
    return "cents" if words & _CENTS else None


def _code(note: str) -> str | None:
    bare = note.strip().removeprefix("in ").strip()
    if bare.upper() in CODES and len(bare) == 3:
        return bare.upper()
    return _SIGNS.get(bare.lower())


def _currency_in(text: str, notes: Iterable[str]) -> str | None:
    """The currency of a heading that is known as it stands, such as `cost_in_usd`; None if it names none."""
    code = next((code for code in map(_code, notes) if code), None)
    last = _tokens(text)[-1:]
    return code or (last[0].upper() if last and last[0].upper() in _COMMON_CODES else None)


def _zone(note: str) -> str | None:
    found = re.fullmatch(
        r"(?:in\s+|time ?zone:?\s*)?((?:UTC|GMT)(?:\s?[+-]\d{1,2}(?::?\d\d)?)?|[A-Z][A-Za-z]+/[A-Za-z_/]+)", note
    )
    return found[1] if found else None


def headings(cells: Sequence[str]) -> list[Heading]:
    """The heading in each cell of a row, in order."""
    return [heading(cell, place) for place, cell in enumerate(cells)]


def begins_with_total(text: str) -> bool:
    """Whether a cell can be the label of a row of sums: «Total», «Gesamt: Konto», «Total of 2 results», «12 Total»."""
    plain = squeezed(text)
    if plain in _TOTALS:
        return True
    words = _words(text)
    return any("".join(words[:count]) in _TOTALS or "".join(words[-count:]) in _TOTALS for count in (1, 2, 3)) or any(
        text.strip().startswith(word) for word in ("合計", "総計", "总计", "合计", "小計")
    )


def is_total(text: str) -> bool:
    """Whether a cell is a word for a sum and nothing else."""
    return squeezed(text) in _TOTALS


def _words(text: str) -> list[str]:
    return [squeezed(word) for word in re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", text)]
