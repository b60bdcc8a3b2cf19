"""Reads amounts of money that people type. An ambiguous text is refused, and the error names both readings."""

import re
from dataclasses import dataclass
from typing import Final

from domain.errors import InvalidValue
from domain.money import MAX_AMOUNT_MICROS, MICROS_PER_UNIT

MAX_TYPED: Final = 40
"""Most characters of an amount: enough for a billion with separators, decimals and currency."""

_WITHOUT_DECIMALS: Final = frozenset(
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split()  # noqa: SIM905 - reads better
)
_WITH_THREE: Final = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_WITH_FOUR: Final = frozenset({"CLF", "UYW"})

_SIGNS: Final = {
    "$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "JP¥": "JPY", "CN¥": "CNY", "₹": "INR", "₩": "KRW",
    "₽": "RUB", "₺": "TRY", "₴": "UAH", "₪": "ILS", "₫": "VND", "₱": "PHP", "₦": "NGN", "₸": "KZT", "₾": "GEL",
    "₡": "CRC", "₲": "PYG", "₵": "GHS", "฿": "THB", "zł": "PLN", "CA$": "CAD", "A$": "AUD", "NZ$": "NZD",
    "HK$": "HKD", "NT$": "TWD", "MX$": "MXN", "R$": "BRL", "CHF": "CHF",
}  # fmt: skip
"""The currency that each sign means, as printed on the pages. `$` is the US dollar."""

_SPACES: Final = " \u00a0\u2009\u202f"
_AMOUNT: Final = re.compile(
    rf"(?P<before>[^-+0-9]*?)(?P<minus>-?)(?P<number>[0-9](?:[0-9.,'’{_SPACES}]*[0-9])?)(?P<after>[^0-9]*)"
)
_WHOLE: Final = re.compile(r"[0-9]+")
_LONE: Final = re.compile(r"(?P<whole>[0-9]+)[.,](?P<fraction>[0-9]+)")
_GROUPS: Final = re.compile(
    rf"(?P<whole>[1-9][0-9]{{0,2}}(?P<mark>[.,'’{_SPACES}])[0-9]{{3}}(?:(?P=mark)[0-9]{{3}})*)(?:(?!(?P=mark))[.,](?P<fraction>[0-9]+))?"
)


@dataclass(frozen=True, slots=True)
class _Number:
    """A number as its digits before and after the decimal point."""

    whole: str
    fraction: str = ""

    def micros(self, decimals: int) -> int | None:
        """The number in micros; None if it has more than `decimals` significant decimals."""
        if self.fraction[decimals:].strip("0"):
            return None
        return int(self.whole) * MICROS_PER_UNIT + int(self.fraction[:6].ljust(6, "0"))


def decimals_of(currency: str) -> int:
    """The number of decimals of the currency's smallest unit by ISO 4217: 2 for USD, 0 for JPY, 3 for KWD."""
    if currency in _WITHOUT_DECIMALS:
        return 0
    return 3 if currency in _WITH_THREE else 4 if currency in _WITH_FOUR else 2


def parse_money(text: str, currency: str) -> int:
    """The typed amount in micros of the brand's `currency`.

    Accepts digits with a decimal part after `.` or `,`, and groups of three digits if the two marks differ
    (`1,500.00`, `1.500,00`, `1 500,00`, `1'500.00`). The currency's sign or code may stand on one side,
    and a `-` before the digits. Raises InvalidValue for any other text: among others, a single `.` or `,` before
    exactly three digits, which has two readings; another currency; more decimals than the currency has; over a billion
    units.
    """
    typed = text.strip(f"\t\r\n{_SPACES}")
    amount = _AMOUNT.fullmatch(typed) if len(typed) <= MAX_TYPED else None
    if amount is None:
        raise _no_amount(text)
    _check_currency(text, [amount["before"], amount["after"]], currency)
    number = _number(typed, amount["number"], currency)
    micros = number.micros(decimals_of(currency))
    if micros is None:
        raise InvalidValue("amount", f"{typed} is finer than the smallest unit of {currency}: {_smallest(currency)}")
    if micros > MAX_AMOUNT_MICROS:
        raise InvalidValue("amount", f"{typed} is over a billion units")
    return -micros if amount["minus"] else micros


def _number(typed: str, digits: str, currency: str) -> _Number:
    if _WHOLE.fullmatch(digits):
        return _Number(digits)
    if lone := _LONE.fullmatch(digits):
        number = _Number(lone["whole"], lone["fraction"])
        if len(number.fraction) == 3:
            raise _two_readings(typed, number, currency)
        return number
    if groups := _GROUPS.fullmatch(digits):
        return _Number(groups["whole"].replace(groups["mark"], ""), groups["fraction"] or "")
    raise _no_amount(typed)


def _two_readings(typed: str, number: _Number, currency: str) -> InvalidValue:
    decimals = decimals_of(currency)
    grouped, small_micros = int(number.whole + number.fraction), number.micros(decimals)
    large = f"{grouped:,}{'.' + '0' * decimals if decimals else ''}"
    small = f"{int(number.whole):,}.{number.fraction.rstrip('0').ljust(max(decimals, 1), '0')}"
    spellings = [str(grouped), *([] if small_micros is None else [typed_units(small_micros, currency)])]
    return InvalidValue("amount", f"{typed} can be {large} or {small}: write {' or '.join(spellings)}")


def _no_amount(text: str) -> InvalidValue:
    return InvalidValue("amount", f"{text[:MAX_TYPED]!r} is not a number: write digits such as 1500 or 99.50")


def _check_currency(text: str, written: list[str], currency: str) -> None:
    """Raises InvalidValue if the typed sign or code is unknown or names another currency than the brand's."""
    signs = [sign for sign in (part.strip(_SPACES) for part in written) if sign]
    if not signs:
        return
    named = [_SIGNS.get(sign) or (sign.upper() if _is_code(sign) else None) for sign in signs]
    if len(signs) > 1 or named[0] is None:
        raise _no_amount(text)
    if named[0] != currency:
        meaning = signs[0] if signs[0] == named[0] else f"{signs[0]} is {named[0]}"
        detail = f"{meaning}, but the brand's currency is {currency}: write the amount in {currency}"
        raise InvalidValue("amount", detail)


def _is_code(sign: str) -> bool:
    return len(sign) == 3 and sign.isascii() and sign.isalpha()


def _smallest(currency: str) -> str:
    decimals = decimals_of(currency)
    return f"0.{'1'.rjust(decimals, '0')}" if decimals else "1"


def typed_units(micros: int, currency: str) -> str:
    """Micros as text that `parse_money` reads in this currency: 1500.50, for JPY 1500, for KWD 1.50 or 1.2340.

    An amount finer than the currency's smallest unit gets the decimals it needs, which `parse_money` refuses.
    """
    sign = "-" if micros < 0 else ""
    units, rest = divmod(abs(micros), MICROS_PER_UNIT)
    fraction = f"{rest:06d}".rstrip("0").ljust(decimals_of(currency), "0")
    if len(fraction) == 3:  # a fraction of three digits can be read as a group
        fraction = fraction[:2] if fraction[2] == "0" else f"{fraction}0"
    return f"{sign}{units}.{fraction}" if fraction else f"{sign}{units}"
