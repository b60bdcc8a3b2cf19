"""Sums turned into whole micros, each rounded once."""

from dataclasses import dataclass

from app.imports.answers import Totals
from app.imports.sums.adding import Sums
from domain.money import MAX_AMOUNT_MICROS, format_units


@dataclass(frozen=True)
class Scale:
    """Turns amounts in the reader's units, 10**-decimals of the file's unit, into micros."""

    decimals: int
    micros_per_unit: int

    def micros(self, amount: int) -> int:
        """The amount, in the reader's units, as micros: rounded half to even."""
        one = int(10**self.decimals)
        whole, rest = divmod(amount * self.micros_per_unit, one)
        return whole + (2 * rest > one or (2 * rest == one and whole % 2 == 1))

    def shown(self, amount: int) -> str:
        """The amount, in the reader's units, as text in units of the currency."""
        return format_units(self.micros(amount))


def totals_of(sums: Sums, scale: Scale) -> Totals:
    """The total of each campaign and day in whole micros, without incomplete days and days over a billion units.

    Changes `sums`: its amounts become micros, and the days left out are noted as incomplete.
    """
    for campaign, day in sums.incomplete:
        if campaign in sums.by_campaign:
            sums.by_campaign[campaign].pop(day, None)
    for campaign, days in sums.by_campaign.items():
        for day, amount in list(days.items()):
            micros = scale.micros(amount)
            if abs(micros) > MAX_AMOUNT_MICROS:
                sums.note(
                    0,
                    format_units(micros),
                    f"campaign {campaign} on {day}: {format_units(micros)} is over a billion units",
                )
                sums.incomplete.add((campaign, day))
                del days[day]
            else:
                days[day] = micros
    return Totals({campaign: days for campaign, days in sums.by_campaign.items() if days})
