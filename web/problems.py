"""Answers every error of the API as problem details (RFC 9457), naming the invalid fields."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import redis
import structlog
from dramatiq.errors import BrokerConnectionError
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from db.failures import TRANSIENT_ERRORS
from db.repository.ledger.rejected import printable
from delivery.messages import NotEnqueued
from domain.errors import InvalidValue, NotFound

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 5
RETRY_LATER: Final = {"Retry-After": str(RETRY_AFTER_SECONDS)}
"""Header of answers to requests that may succeed a little later."""

MAX_ERRORS_LISTED = 20
FIELD_LENGTH = 200
REFERENCES = "#/components/schemas/{model}"
SENT_AS = {
    "brand": "brand_id",
    "campaign": "campaign_id",
    "budget": "budget_id",
    "rejected event": "rejected_id",
    "platform account": "account_id",
}
"""The name of a field in requests, by its name in the domain's errors."""


class FieldProblem(BaseModel):
    """The error of one field."""

    field: str = Field(description="The field as it was sent, such as `limit_micros`", examples=["limit_micros"])
    message: str = Field(description="One line for people", examples=["is not between 0 and 1000000000000000"])


class ProblemDetails(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str = Field("about:blank", description="URI of the kind of problem; `about:blank` if the status says enough")
    title: str = Field(description="The kind of problem in plain words", examples=["Unprocessable Content"])
    status: int = Field(description="The HTTP status", examples=[422])
    detail: str = Field(description="The cause of this error", examples=["limit_micros: is not between 0 and …"])
    errors: list[FieldProblem] = Field(default=[], description="The invalid fields, if any")


class Problem(Exception):
    """Raised to answer a request with problem details.

    `field`: the invalid field, which the answer lists in `errors`; None: the answer lists none. `headers` are added to
    the response.
    """

    def __init__(
        self, status: HTTPStatus, detail: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field
        self.headers = headers


def answer(
    status: int, detail: str, errors: list[FieldProblem] | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The response for a problem. `errors`: the errors of single fields. `headers`: headers to add to the response.

    Replaces unprintable characters by U+FFFD, since the texts may quote the input.
    """
    printable_errors = [
        FieldProblem(field=printable(fault.field), message=printable(fault.message)) for fault in errors or []
    ]
    title = HTTPStatus(status).phrase
    problem = ProblemDetails(title=title, status=status, detail=printable(detail), errors=printable_errors)
    return JSONResponse(problem.model_dump(), status, dict(headers or {}), MEDIA_TYPE)


def responses(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries, by status, of the problems that a route may answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": REFERENCES.format(model=ProblemDetails.__name__)}}}
    return {int(status): {"description": status.phrase, "content": content} for status in statuses}


def describe(app: FastAPI) -> None:
    """Puts the schema of problems, which no route returns, into the app's OpenAPI."""
    bare = app.openapi

    def openapi() -> dict[str, Any]:
        described = bare()
        _, schemas = models_json_schema([(ProblemDetails, "serialization")], ref_template=REFERENCES)
        described["components"]["schemas"].update(schemas["$defs"])
        return described

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this override


def install(app: FastAPI) -> None:
    """Registers the handlers that turn known errors of the app into problem details.

    Other errors pass on to the middleware RequestLines, which answers them with 500.
    """
    describe(app)
    app.exception_handler(Problem)(_problem)
    app.exception_handler(InvalidValue)(_invalid_value)
    app.exception_handler(RequestValidationError)(_invalid_request)
    app.exception_handler(HTTPException)(_http_error)
    for fault in (*TRANSIENT_ERRORS, PoolTimeout, redis.RedisError, BrokerConnectionError):
        app.exception_handler(fault)(_server_away)
    app.exception_handler(DBAPIError)(_database_error)


def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - the handler's own exception
    errors = [FieldProblem(field=error.field, message=error.detail)] if error.field else []
    return answer(error.status, error.detail, errors, error.headers)


def _invalid_value(_request: Request, error: Exception) -> Response:
    """Answers 404 for NotFound, else 422; names the field as the request does."""
    assert isinstance(error, InvalidValue)  # noqa: S101 - the handler's own exception
    status = HTTPStatus.NOT_FOUND if isinstance(error, NotFound) else HTTPStatus.UNPROCESSABLE_ENTITY
    field = SENT_AS.get(error.field, error.field)
    return answer(status, f"{field}: {error.message}", [FieldProblem(field=field, message=error.message)])


def _invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - the handler's own exception
    problems = [_field_problem(fault) for fault in error.errors()[:MAX_ERRORS_LISTED]]
    return answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"{problems[0].field}: {problems[0].message}", problems)


def _field_problem(fault: Mapping[str, Any]) -> FieldProblem:
    if fault["type"] == "json_invalid":  # its location is an offset in the text
        return FieldProblem(field="body", message=f"is not JSON: {fault['ctx']['error']}")
    return FieldProblem(field=_place(fault["loc"])[:FIELD_LENGTH], message=fault["msg"].removeprefix("Value error, "))


def _place(steps: Sequence[int | str]) -> str:
    """The field's name from its location: `limit_micros` for `body.limit_micros`; `body` for the whole body."""
    return ".".join(str(step) for step in steps[1:] or steps)


def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the handler's own exception
    return answer(error.status_code, str(error.detail), headers=error.headers)


def _server_away(_request: Request, error: Exception) -> Response:
    log.warning("http.server_away", error=type(error).__name__)
    detail = "a server that this request needs is unreachable or busy; try again: no spend is counted twice"
    if isinstance(error, NotEnqueued) and error.is_full:
        detail = "the queue is full and nothing was enqueued; send it again later"
    return answer(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers=RETRY_LATER)


def _database_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)  # noqa: S101 - the handler's own exception
    if isinstance(error, DataError):  # a value that no column can store
        return answer(HTTPStatus.UNPROCESSABLE_ENTITY, "a value cannot be stored")
    if isinstance(error, IntegrityError):
        return answer(HTTPStatus.CONFLICT, "a rule of the database forbids it: it conflicts with another row")
    return unexpected(request, error)


def unexpected(_request: Request, error: Exception) -> Response:
    """Answers 500 to an unexpected error, and logs its traceback, which the answer leaves out."""
    log.error("http.failed", exc_info=error)
    return answer(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "an unexpected error in the server; its log has the traceback under the request's id",
    )
