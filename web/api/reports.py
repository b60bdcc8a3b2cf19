"""`/api/reports/monthly/`: reads, lists and generates monthly reports of brands."""

import re
from datetime import date, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema

from app.access import Caller
from app.reports.formats import as_csv, file_name
from app.reports.generate import on_demand, so_far
from db.engine import snapshot
from db.repository.reading import listing
from db.repository.reports import reports
from domain.errors import InvalidValue, NotFound
from domain.periods import FIRST_DAY, LAST_DAY
from runtime import clock
from web import problems
from web.api.request.fields import Body, Id, QueryId
from web.api.request.keys import Manager, Reader, visible_to
from web.api.request.paging import Limit

router = APIRouter(prefix="/api/reports/monthly", tags=["reports"])

_MONTH: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_BRAND_ID: Final = re.compile(r"[1-9][0-9]{0,17}")


def _first_day(month: str) -> date:
    """The month's first day. Raises ValueError for a text that is not a month of the calendar."""
    if not _MONTH.fullmatch(month):
        raise ValueError("is not a month such as 2026-10")
    day = date.min if month.startswith("0000") else date.fromisoformat(f"{month}-01")
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"is not between {FIRST_DAY:%Y-%m} and {LAST_DAY:%Y-%m}")
    return day


def _is_month(month: str) -> str:
    _first_day(month)
    return month


def _is_cursor(text: str) -> str:
    month, _, brand_id = text.partition(".")
    _first_day(month)
    if not _BRAND_ID.fullmatch(brand_id):
        raise ValueError("is not a month and a brand's id such as 2026-10.3")
    return text


Month = Annotated[
    str,
    AfterValidator(_is_month),
    WithJsonSchema({"type": "string", "pattern": f"^{_MONTH.pattern}$", "examples": ["2026-10"]}),
]
Cursor = Annotated[
    str,
    AfterValidator(_is_cursor),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{_MONTH.pattern}\\.{_BRAND_ID.pattern}$", "examples": ["2026-10.3"]}
    ),
]


class Format(StrEnum):
    """The format of a report."""

    JSON = "json"
    CSV = "csv"


class StoredReport(BaseModel):
    """The latest version of a month's report, as the list shows it: without its figures."""

    brand_id: int
    brand: str = Field(examples=["Hudson Shoes"])
    month: str = Field(examples=["2026-10"])
    version: int = Field(description="Higher after the month was restated")
    generated_at: datetime
    spent_micros: int


class StoredReports(BaseModel):
    """One page of reports, newest month first."""

    items: list[StoredReport]
    next_after: str | None = Field(description="`after` of the next page; null on the last one", examples=["2026-10.3"])


class Report(BaseModel):
    """One version of a month's report."""

    brand_id: int
    month: str = Field(examples=["2026-10"])
    version: int = Field(description="0 for a running month, which is not stored")
    generated_at: datetime
    content: dict[str, Any] = Field(description="The figures: amounts in micros, times in seconds, brand-local days")


class WantedReport(Body):
    """The request to generate the report of a brand's month."""

    brand_id: Id
    month: Month


@router.get(
    "/",
    response_model=Report | StoredReports,
    summary="Read a monthly report, or list them",
    responses={
        **problems.responses(HTTPStatus.NOT_FOUND),
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "The report, or a page of them"},
    },
)
def read_report(
    caller: Reader,
    brand_id: QueryId = None,
    month: Annotated[Month | None, Query(description="The month of the report; without it, a list of reports")] = None,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Default: the latest version")] = None,
    format: Format = Format.JSON,  # noqa: A002 - the query's own word
    limit: Limit = 100,
    after: Annotated[Cursor | None, Query(description="For the list: `next_after` of the previous page")] = None,
) -> Response:
    """With `month`: returns the report of `brand_id` as JSON or CSV; the running month is version 0 and not stored.

    Without `month`: lists the stored reports, newest month first.
    """
    if month is None:
        return _listed(caller, brand_id, after, limit)
    if brand_id is None:
        raise InvalidValue("brand_id", "is missing: the report of a month is of one brand")
    with snapshot() as connection:
        visible_to(caller, "brand", listing.brand(connection, brand_id))
        report = reports.stored(connection, brand_id, _first_day(month), clock.now(), version)
    if report is None and version is None:
        report = so_far(brand_id, _first_day(month))
    if report is None:
        field, wanted = ("month", "report") if version is None else ("version", f"version {version}")
        raise NotFound(field, f"there is no {wanted} of {month} for brand {brand_id}")
    report = _shown_to(caller, report)
    if format is Format.CSV:
        headers = {"Content-Disposition": f'attachment; filename="{file_name(report, "csv")}"'}
        return Response(as_csv(report["content"]), media_type="text/csv", headers=headers)
    return JSONResponse(_body(report))


def _listed(caller: Caller, brand_id: int | None, after: str | None, limit: int) -> Response:
    if caller.brand_id is not None and brand_id not in {None, caller.brand_id}:
        raise NotFound("brand_id", f"there is no brand {brand_id}")
    chosen = caller.brand_id if brand_id is None else brand_id
    month, _, last_brand = (after or "").partition(".")
    cursor = (_first_day(month), int(last_brand)) if after else None
    with snapshot() as connection:
        rows = reports.listed(connection, chosen, cursor, limit + 1, clock.now())
    items = [StoredReport(**{**row, "month": f"{row['month']:%Y-%m}"}) for row in rows[:limit]]
    next_after = f"{items[-1].month}.{items[-1].brand_id}" if len(rows) > limit else None
    return JSONResponse(StoredReports(items=items, next_after=next_after).model_dump(mode="json"))


@router.post(
    "/",
    response_model=Report,
    summary="Generate a monthly report now",
    responses=problems.responses(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
)
def make_report(caller: Manager, wanted: WantedReport) -> Response:
    """Computes the month's report, stores it as a new version if its content has changed, and answers the latest one.

    The running month is version 0 and is not stored.
    """
    with snapshot() as connection:
        visible_to(caller, "brand", listing.brand(connection, wanted.brand_id))
    return JSONResponse(_body(_shown_to(caller, on_demand(wanted.brand_id, _first_day(wanted.month)))))


def _shown_to(caller: Caller, report: dict[str, Any]) -> dict[str, Any]:
    """The report; for a key of one brand without `bounds`.

    The bound of an account, the measured spend above limits, comes from all brands of the account.
    """
    if caller.brand_id is None:
        return report
    return {**report, "content": {**report["content"], "bounds": []}}


def _body(stored: dict[str, Any]) -> dict[str, Any]:
    return Report(**{**stored, "month": f"{stored['month']:%Y-%m}"}).model_dump(mode="json")
