"""Compares a file's currency and time zone with those of the brands whose campaigns it has."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.imports.answers import Reading, Refused, Warned
from app.imports.zones import same_zone
from db.repository.imports.brands import BrandFacts
from runtime import clock


def check_brands(reading: Reading, brands: Sequence[BrandFacts]) -> list[Warned]:
    """Raises Refused if a brand's currency or time zone differs from the file's.

    Returns warnings about time zones that cannot be compared.
    """
    warnings = []
    for brand in brands:
        _check_currency(reading, brand)
        _check_offsets(reading, brand)
        warnings += _check_zone(reading, brand)
    return sorted(set(warnings))


def _check_currency(reading: Reading, brand: BrandFacts) -> None:
    if reading.currency is not None and reading.currency != brand.currency:
        raise Refused(
            f"is in {reading.currency}, and brand {brand.name} in {brand.currency}",
            "import it into a brand of its currency",
        )
    if reading.currencies is not None and brand.currency not in reading.currencies:
        signs = " or ".join(sorted(reading.currencies)[:4])
        raise Refused(
            f"has a sign of {signs}, and brand {brand.name} is in {brand.currency}",
            "import it into a brand of its currency",
        )


def _check_offsets(reading: Reading, brand: BrandFacts) -> None:
    zone = ZoneInfo(brand.time_zone)
    for day, (minutes, cell) in reading.day_offsets.items():
        begins_at = datetime.combine(day, time(), zone)
        if begins_at.utcoffset() != timedelta(minutes=minutes):
            raise Refused(
                f"has the day {cell}, and {day} begins at {begins_at.isoformat()} for brand {brand.name} "
                f"in {brand.time_zone}",
                "export it in the brand's time zone",
            )


def _check_zone(reading: Reading, brand: BrandFacts) -> list[Warned]:
    if reading.time_zone is None:
        return []
    around = clock.now() if reading.last_day is None else datetime.combine(reading.last_day, time(12))
    is_same = same_zone(reading.time_zone, brand.time_zone, around)
    if is_same is None:
        sentence = f"its time zone, {reading.time_zone}, is not known here; brand {brand.name} is in {brand.time_zone}"
        return [Warned("unknown_zone", sentence, is_doubt=True)]
    if not is_same:
        raise Refused(
            f"has days in {reading.time_zone}, and brand {brand.name} has them in {brand.time_zone}",
            "export it in the brand's time zone",
        )
    return []
