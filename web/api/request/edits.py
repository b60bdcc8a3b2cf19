"""Creates rows for programs: the row, its enforcement, its audit entry and the stored answer share one commit."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from app.access import Caller
from app.enforcement import edited_then
from db.engine import committed
from db.repository.catalog import idempotency
from db.repository.catalog.idempotency import Answer, KeyReused, KeyUse
from runtime import clock
from web.api.request.etags import etag_of
from web.problems import Problem


class KeyedRequest(NamedTuple):
    """A create request: its idempotency key, if any, and a hash of its content."""

    key: str | None
    request_hash: bytes

    def key_use(self, caller: Caller) -> KeyUse | None:
        return None if self.key is None else KeyUse(caller.key_id, self.key, self.request_hash)


async def _keyed(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            pattern="^[ -~]+$",
            description="Printable ASCII of your choice: a create repeated with this key within a day creates one row",
        ),
    ] = None,
) -> KeyedRequest:
    asked = b"\n".join([request.method.encode(), request.url.path.encode(), await request.body()])
    return KeyedRequest(idempotency_key, hashlib.sha256(asked).digest())


Keyed = Annotated[KeyedRequest, Depends(_keyed)]


def created_answer(
    path: str,
    body: Mapping[str, Any],
    set_by_people: Collection[str],
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> Answer:
    """The answer to a create: 201 with the row, its path and its ETag. `extra`: fields that the ETag does not cover."""
    headers = {"Location": path, "ETag": etag_of(body, set_by_people)}
    return Answer(HTTPStatus.CREATED, headers, {**body, **extra})


def created(
    caller: Caller,
    keyed: KeyedRequest,
    create: Callable[[Connection], int],
    answer_for: Callable[[Connection, int], Answer],
    *,
    brand_id: int | None = None,
) -> Response:
    """Creates a row, once for all requests with one idempotency key; answers each of these with the first answer.

    Without a key creates a row each time. `create` returns the row's id, from which `answer_for` makes the answer.
    `brand_id`: the brand to enforce in the same commit; None: enforces none. Raises Problem (422) if the key was used
    with a different request.
    """
    key_use = keyed.key_use(caller)

    def make(connection: Connection) -> int | Answer:
        stored_answer = idempotency.claim(connection, key_use, clock.now()) if key_use else None
        return create(connection) if stored_answer is None else stored_answer

    def answer(connection: Connection, made: int | Answer) -> tuple[Answer, bool]:
        if isinstance(made, Answer):
            return made, True
        response = answer_for(connection, made)
        if key_use:
            idempotency.keep(connection, key_use, response)
        return response, False

    try:
        if brand_id is None:
            response, replayed = committed(lambda connection: answer(connection, make(connection)))
        else:
            response, replayed = edited_then(make, brand_id, answer)
    except KeyReused:
        detail = "this key was used with a different request; use a new one"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, field="Idempotency-Key") from None
    again = {"Idempotent-Replayed": "true"} if replayed else {}
    return JSONResponse(response.body, response.status, {**response.headers, **again})
