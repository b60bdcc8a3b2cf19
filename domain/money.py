"""Money as integer micros (millionths of the currency unit): parsing and formatting without floats."""

import re
from decimal import Context, Decimal, InvalidOperation
from typing import Final

from domain.errors import InvalidValue

MICROS_PER_UNIT: Final = 1_000_000

MAX_AMOUNT_MICROS: Final = 10**15
"""The largest amount, positive or negative, of one event or limit: a billion units. A bigint fits 9,000 of them."""

EXACT: Final = Context(prec=80)
"""The decimal context of sums of amounts from `exact_micros`; 80 digits are enough for sums without rounding."""

FINEST: Final = Decimal("1e-40")
"""The last decimal place that `exact_micros` accepts: 40 decimals."""

_GROUPED = re.compile(r"[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_SIGNS_OF_MONEY = "$€£¥₹₩₽ \u00a0\u202f"


def exact_micros(text: str, *, micros_per_unit: int = MICROS_PER_UNIT) -> Decimal:
    """The amount in `text` as exact micros, not rounded, so that callers can add amounts and round once.

    For platform exports; amounts that people type are read by `domain.typed_money`. Accepts a currency sign and
    thousands separated by commas (`-$1,234.50`). `micros_per_unit` is 1 where the export is in micros already.
    Raises InvalidValue for anything but a finite number, for 10^16 units or more, and for over 40 decimals. The limit
    of a billion units, MAX_AMOUNT_MICROS, is checked by `whole_micros`.
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
    """Rounds micros to an integer, half to even. Raises InvalidValue beyond MAX_AMOUNT_MICROS, either sign."""
    micros = int(amount.to_integral_value(context=EXACT))
    if abs(micros) > MAX_AMOUNT_MICROS:
        raise InvalidValue("amount", f"{format_units(micros)} is over a billion units")
    return micros


def format_units(micros: int) -> str:
    """Micros as exact currency units with at least two decimals: 12500000 is `12.50`, 1 is `0.000001`."""
    sign = "-" if micros < 0 else ""
    units, rest = divmod(abs(micros), MICROS_PER_UNIT)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{units}.{decimals}"
