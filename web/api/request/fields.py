"""Types that several resources share: ids, names, zones, currencies, days and limits, each with its validation."""

import re
from datetime import date, datetime
from typing import Annotated, Any, Final

from babel.numbers import is_currency
from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from domain.edits.fields import checked_name
from domain.errors import InvalidValue
from domain.inputs.values import MAX_ID, MAX_TEXT
from domain.money import MAX_AMOUNT_MICROS
from domain.periods import FIRST_DAY, LAST_DAY
from domain.typed_moments import parse_moment
from domain.zones import time_zone

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _line(text: str) -> str:
    """Returns the text. Raises ValueError unless it is one line that every column, log and page can show."""
    return _checked(checked_name, text)


def _zone(name: str) -> str:
    return _checked(lambda zone: time_zone(zone).key, name)


def _currency(code: str) -> str:
    if not is_currency(code):
        raise ValueError("is not an ISO 4217 code such as USD")
    return code


def _day(value: object) -> object:
    if isinstance(value, date):
        return value
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("is not a day such as 2026-11-22")
    return value


def _moment(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("is not an ISO 8601 time")  # noqa: TRY004 - pydantic expects it
    try:
        return parse_moment("time", value)
    except InvalidValue as error:
        raise ValueError(error.message) from None


def _within_calendar(day: date) -> date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"is not between {FIRST_DAY} and {LAST_DAY}")
    return day


def _checked(check: Any, value: str) -> str:
    """Returns the text that the domain rule `check` returns for the value; raises its InvalidValue as ValueError."""
    try:
        return str(check(value))
    except InvalidValue as error:
        raise ValueError(error.message) from None


class Body(BaseModel):
    """A request body. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


Id = Annotated[int, Field(ge=1, le=MAX_ID, strict=True, examples=[17])]
PathId = Annotated[int, Path(ge=1, le=MAX_ID, description="The id of the row", examples=[17])]
QueryId = Annotated[int | None, Query(ge=1, le=MAX_ID)]
Line = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_line)]
ZoneName = Annotated[Line, AfterValidator(_zone)]
Currency = Annotated[str, Field(min_length=3, max_length=3, examples=["USD"]), AfterValidator(_currency)]
Day = Annotated[date, BeforeValidator(_day), AfterValidator(_within_calendar)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
LimitMicros = Annotated[int, Field(ge=0, le=MAX_AMOUNT_MICROS, strict=True, examples=[250_000_000])]
