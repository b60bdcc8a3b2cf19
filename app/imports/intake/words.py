"""The preview of an import in words, for the terminal and for pages: labels, each with a sentence."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from app.imports.answers import Reading
from app.imports.intake.comparison import Sample
from app.imports.intake.plans import Plan
from domain import platforms
from domain.edits.words import counted
from domain.money import format_units
from runtime.formats import exact_money, first_of, instant

UNITS: Final = {
    "currency": "units of the currency",
    "cents": "hundredths of the unit",
    "micros": "millionths of the unit",
}
SHOWN_NAMES: Final = 3


class Line(NamedTuple):
    """One fact of a preview: its label and its sentence."""

    label: str
    text: str


def money(micros: int, currency: str) -> str:
    """Micros in the currency's own form; as a number of units if the currency is empty."""
    return exact_money(micros, currency) if currency else format_units(micros)


def sums(sum_micros: Mapping[str, int]) -> str:
    """The sums as text, such as `$1.50, €2.00`; `nothing` for none."""
    return ", ".join(money(micros, currency) for currency, micros in sum_micros.items()) or "nothing"


def reading_lines(reading: Reading) -> Iterator[Line]:
    """Sentences about a file's reading and its reasons, without its columns."""
    why = f" ({reading.platform_why})" if reading.platform_why else ""
    account = f", account {reading.account}" if reading.account else ""
    yield Line("Platform", f"{platforms.label(reading.platform)}{why}{account}")
    yield Line("Amounts", f"in {UNITS[reading.unit]}: {'; '.join(one for one in reading.proofs if one)}")
    if reading.first_day is not None and reading.last_day is not None:
        days = counted(len(reading.totals.days), "day")
        stated = "" if reading.stated_days is None else f"; the file says {' to '.join(map(str, reading.stated_days))}"
        whole = ", and has all of its campaigns' days" if reading.is_complete else ""
        yield Line("Days", f"{reading.first_day} to {reading.last_day}, {days}{stated}{whole}")
    if reading.time_zone:
        yield Line("Time zone", reading.time_zone)
    yield Line("Rows", _rows(reading))


def _rows(reading: Reading) -> str:
    told = [counted(reading.rows, "row"), counted(len(reading.totals), "total")]
    told += [reading.totals_phrase] if reading.totals_phrase else []
    told += [f"{counted(reading.identical_rows, 'identical row')}"] if reading.identical_rows else []
    told += [f"{counted(len(reading.bad_rows), 'row')} left out"] if reading.bad_rows else []
    return ", ".join(told)


def plan_lines(plan: Plan) -> Iterator[Line]:
    """Sentences about the changes that an import would make."""
    currency = next(iter(plan.sum_micros), "")
    yield Line("Sum", f"{sums(plan.sum_micros)}{', added to what is known' if plan.reading.is_delta else ''}")
    yield Line("As of", f"{instant(plan.as_of)}, by {plan.as_of_source}")
    yield Line("Campaigns", _campaigns(plan))
    if plan.brands:
        yield Line("Brands", ", ".join(f"{one.name} ({one.time_zone}, {one.currency})" for one in plan.brands))
    yield Line("Change", _change(plan, currency))
    for one in plan.earlier[:1]:
        undone = ", undone since" if one.status == "undone" else ""
        yield Line(
            "Before", f"import {one.id} of the same file, by {one.imported_by} at {instant(one.imported_at)}{undone}"
        )


def _campaigns(plan: Plan) -> str:
    told = f"{plan.known_campaigns} known, {len(plan.missing)} new"
    if not plan.missing:
        return told
    names = first_of(list(plan.missing.values()), SHOWN_NAMES)
    if plan.target.brand is None:
        then = "their totals are rejected, unless you name a brand in which to create them"
    else:
        made = "" if plan.new_brand is None or plan.new_brand.id is not None else " new"
        then = f"made in{made} brand {plan.target.brand}"
    return f"{told} ({names}): {then}"


def _change(plan: Plan, currency: str) -> str:
    tally = plan.tally
    told = []
    if tally.new.count:
        told.append(f"{counted(tally.new.count, 'total')} new, {_signed(tally.new, currency)}")
    if tally.changed.count:
        told.append(f"{counted(tally.changed.count, 'total')} changed, {_signed(tally.changed, currency)}")
    if tally.same:
        told.append(f"{tally.same:,} known already")
    if tally.older:
        told.append(f"{tally.older:,} older than what is known")
    if tally.unknown.count:
        unknown = money(tally.unknown.after_micros, currency)
        told.append(f"{counted(tally.unknown.count, 'total')} of campaigns that are not known, {unknown}")
    return "; ".join(told) or "nothing"


def _signed(sample: Sample, currency: str) -> str:
    micros = sample.after_micros - sample.before_micros
    return f"{'+' if micros >= 0 else ''}{money(micros, currency)}"


def concerns(plan: Plan) -> Iterator[str]:
    """A sentence about each kind of change that needs consent: falls, spend from elsewhere, days that vanish."""
    currency = next(iter(plan.sum_micros), "")
    fallen, elsewhere = plan.tally.fallen, plan.tally.elsewhere
    if fallen.count:
        yield (
            f"falls by more than a tenth may release campaigns: {counted(fallen.count, 'total')}, "
            f"{money(fallen.before_micros, currency)} → {money(fallen.after_micros, currency)} in all: "
            f"{_samples(fallen, currency)}"
        )
    if elsewhere.count:
        there, more = money(elsewhere.before_micros, currency), money(elsewhere.after_micros, currency)
        yield (
            f"{counted(elsewhere.count, 'campaign-day')} have {there} from live events or other sources already, and "
            f"the file would add {more} to them: {_samples(elsewhere, currency)}"
        )
    if plan.vanished:
        first, less = plan.vanished[0], money(-sum(one.micros for one in plan.vanished), currency)
        yield (
            f"{counted(len(plan.vanished), 'campaign-day')} of earlier files are missing from this complete one, and "
            f"become zero, {less}: campaign {first.external_id or first.campaign_id} on {first.day}"
            f"{' …' if len(plan.vanished) > 1 else ''}"
        )


def _samples(sample: Sample, currency: str) -> str:
    told = []
    for one in sample.first[:SHOWN_NAMES]:
        before, after = money(one.before_micros, currency), money(one.after_micros, currency)
        told.append(f"campaign {one.external_id} on {one.day} {before} → {after}")
    return "; ".join(told) + (" …" if sample.count > SHOWN_NAMES else "")
