"""The form of an import's preview: its fields, the options that they set, and the file's preview by these options."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from app.imports.answers import Choice, Meaning, Question, Reading, ReadOptions
from app.imports.intake.file_headings import headings_in
from app.imports.intake.plans import Plan, Target, plan
from app.imports.intake.settled import Offer, offered
from app.imports.reading import read_file
from db.engine import snapshot
from db.repository.imports.uploads import Upload
from db.repository.reading import overview
from domain.errors import InvalidValue
from domain.typed_moments import parse_moment
from runtime import clock

MEANINGS: Final[Mapping[Meaning, str]] = {
    "campaign": "Campaign id",
    "name": "Campaign name",
    "day": "Day",
    "spend": "Spend",
    "currency": "Currency",
    "account": "Account",
}

SELECTS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "unit": ("Amounts are in", {"currency": "units", "cents": "cents", "micros": "micros"}),
    "decimal": ("Decimal sign", {"point": "point: 1,234.56", "comma": "comma: 1.234,56"}),
    "day_order": ("Dates", {"day_first": "day first: 25/11", "month_first": "month first: 11/25"}),
    "evening_times": (
        "Days written with a time after noon mean",
        {"same_day": "the written day", "next_day": "the next day"},
    ),
    "sum_rows": (
        "Rows that may be sums of other rows",
        {"sums": "are sums: leave them out", "parts": "are parts: add them"},
    ),
}
"""Fields of fixed choices, by the option's name in `ReadOptions`: the label, and the words for each value."""

SWITCHES: Final[Mapping[str, str]] = {
    "name_as_id": "The file has no campaign ids: use names as ids",
    "delta": "The amounts are new spend: add them to the known totals",
    "keep_duplicates": "Count a campaign's day twice if the file repeats its rows",
    "complete": "The file is complete: set campaigns' days that are missing from it to zero",
}

TEXTS: Final[Mapping[str, str]] = {
    "currency": "Only rows in this currency",
    "account_id": "Account id",
    "as_of": "Figures were true at (ISO 8601, such as 2026-11-30T09:00Z)",
}


NO_TIME: Final = (
    "neither the file nor the browser gives the time of its figures: enter it below, under «Figures were true at»"
)


@dataclass(frozen=True)
class Previewed:
    """A file as it is read by the form's options, and its effect; or the question or error that prevents the import.

    `headings`: all headings of the file. `taken`: the heading that is used for each meaning. `brands`: the names of
    brands to choose from. `reading`: the content. `plan`: the effect. `refused`: the error. `question`: a fact that the
    file does not prove, with the readings to choose from. `offer`: the reading that somebody chose for a file of this
    layout. The last five are None where they do not apply.
    """

    headings: tuple[str, ...]
    taken: Mapping[str, str]
    brands: tuple[str, ...]
    reading: Reading | None = None
    plan: Plan | None = None
    refused: InvalidValue | None = None
    question: Question | None = None
    offer: Offer | None = None

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The readings among which the question asks to choose; empty without a question."""
        return () if self.question is None else self.question.readings

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings to read before the import is confirmed."""
        if self.plan is not None:
            return self.plan.warnings
        return () if self.reading is None else self.reading.warnings

    @property
    def meanings(self) -> Mapping[Meaning, str]:
        """The words for each meaning that a column may have, such as `Campaign id`."""
        return MEANINGS


def previewed(upload: Upload, query: Mapping[str, str]) -> Previewed:
    """Reads an uploaded file by the options in the form's fields, `query`, and computes its effect; changes nothing.

    A question or an error about the file is in the result, not raised.
    """
    with snapshot() as connection:
        brands = tuple(row["name"] for row in overview.brands(connection, clock.now()))
    headings: tuple[str, ...] = ()
    reading: Reading | None = None
    try:
        options = options_of(query)
        headings = headings_in(io.BytesIO(upload.content), options)
        reading = _read(upload, options)
        taken = {one.meaning: one.heading for one in reading.columns}
        _check_time(reading, upload, options)
        planned = plan(reading, upload.file_name, target_of(query), _changed_at(upload))
    except Question as question:
        offer = offered(question, lambda choice: _read(upload, choice.apply(options)))
        return Previewed(headings, {}, brands, question=question, offer=offer)
    except InvalidValue as error:
        return Previewed(headings, {}, brands, reading=reading, refused=error)
    return Previewed(headings, taken, brands, reading=reading, plan=planned)


def _read(upload: Upload, options: ReadOptions) -> Reading:
    return read_file(io.BytesIO(upload.content), upload.file_name, options, _changed_at(upload))


def _check_time(reading: Reading, upload: Upload, options: ReadOptions) -> None:
    """Raises InvalidValue if neither an option nor the file nor the browser gives the time of the figures."""
    if upload.modified_at is None and options.as_of is None and reading.as_of == upload.uploaded_at:
        raise InvalidValue("as_of", NO_TIME)


def _changed_at(upload: Upload) -> datetime:
    return upload.modified_at or upload.uploaded_at


def options_of(query: Mapping[str, str]) -> ReadOptions:
    """The options that the form's fields set. Raises InvalidValue for a wrong time in `as_of`."""
    columns = {meaning: query[f"column_{meaning}"] for meaning in MEANINGS if query.get(f"column_{meaning}")}
    picked: dict[str, Any] = {
        name: query[name] for name, (_, values) in SELECTS.items() if query.get(name, "") in values
    }
    switches: dict[str, Any] = {name: True for name in SWITCHES if query.get(name)}
    as_of = query.get("as_of", "").strip()
    return ReadOptions(
        platform=query.get("platform", "").strip() or None,
        columns=columns,
        as_of=parse_moment("as of", as_of) if as_of else None,
        currency=query.get("currency", "").strip().upper() or None,
        sheet=query.get("sheet") or None,
        encoding=query.get("encoding") or None,
        **picked,
        **switches,
    )


def target_of(query: Mapping[str, str]) -> Target:
    """The brand and account into which the form imports the file, with the zone and currency of a new brand."""
    texts = {
        name: query.get(name, "").strip() or None for name in ("brand", "time_zone", "brand_currency", "account_id")
    }
    currency = texts["brand_currency"]
    return Target(texts["brand"], texts["time_zone"], currency and currency.upper(), texts["account_id"])


def asked_for(query: Mapping[str, str]) -> dict[str, str]:
    """The value of each field of the form; an empty text for a field that was not sent."""
    names = ("platform", "brand", "time_zone", "brand_currency", *SELECTS, *SWITCHES, *TEXTS, "sheet", "encoding")
    return {name: query.get(name, "") for name in (*names, *(f"column_{meaning}" for meaning in MEANINGS))}


def chosen(choice: Choice) -> dict[str, str]:
    """The fields of the form that choose this reading: values by name."""
    fields: dict[str, str] = {}
    for name, value in choice.settles.items():
        if isinstance(value, Mapping):
            fields |= {f"column_{meaning}": str(heading) for meaning, heading in value.items()}
        else:
            fields[name] = "1" if value is True else str(value)
    return fields
