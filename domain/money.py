"""Money is integer micros: millionths of the currency unit. No float comes near it."""

import re
from decimal import Context, Decimal, InvalidOperation
from typing import Final

from domain.errors import InvalidValue

MICROS_PER_UNIT: Final = 1_000_000

MAX_AMOUNT_MICROS: Final = 10**15
"""The largest amount of one event or limit, either sign: a billion units. Sums of nine thousand such fit a bigint."""

EXACT: Final = Context(prec=80)
"""Digits enough for every sum of amounts that `exact_micros` takes."""

FINEST: Final = Decimal("1e-40")

_GROUPED = re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_SIGNS_OF_MONEY = "$€£¥₹₩₽ \u00a0\u202f"


def exact_micros(text: str, *, micros_per_unit: int = MICROS_PER_UNIT) -> Decimal:
    """The amount written in `text`, in micros, without rounding: parts are summed before `whole_micros` rounds once.

    For exports of platforms; what a person types is read by `domain.typed_money`.
    Takes an optional currency sign and thousands separated by commas (`-$1,234.50`).
    Raises InvalidValue for anything that is not a finite number, or finer than 40 decimals.
    """
    bare = text.strip().strip(_SIGNS_OF_MONEY)
    sign = "-" if bare.startswith("-") else ""
    bare = bare.removeprefix("-").removeprefix("+").lstrip(_SIGNS_OF_MONEY)
    if _GROUPED.fullmatch(bare):
        bare = bare.replace(",", "")
    try:
        amount = Decimal(sign + bare)
    except InvalidOperation:
        raise InvalidValue("amount", f"{text!r} is not a number") from None
    if not amount.is_finite() or "_" in bare:
        raise InvalidValue("amount", f"{text!r} is not a finite number")
    if not amount:
        return Decimal(0)
    if amount.adjusted() > 15 + (6 if micros_per_unit == 1 else 0):
        raise InvalidValue("amount", f"{text!r} is over a billion units")
    if Decimal(f"1e{amount.as_tuple().exponent}") < FINEST:
        raise InvalidValue("amount", f"{text!r} has over 40 decimals")
    return EXACT.multiply(amount, micros_per_unit)


def whole_micros(amount: Decimal) -> int:
    """`amount` micros rounded to an integer, half to even.

    Raises InvalidValue beyond MAX_AMOUNT_MICROS.
    """
    micros = int(amount.to_integral_value(context=EXACT))
    if abs(micros) > MAX_AMOUNT_MICROS:
        raise InvalidValue("amount", f"{format_units(micros)} is over a billion units")
    return micros


def format_units(micros: int) -> str:
    """Micros as units with at least two decimals, exact: 12500000 is `12.50`, 1 is `0.000001`."""
    sign = "-" if micros < 0 else ""
    units, rest = divmod(abs(micros), MICROS_PER_UNIT)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{units}.{decimals}"
