"""Entity tags of the form `"<hash of people's settings>.<hash of the rest>"`.

If-None-Match compares the whole tag, which changes with every byte of the answer, such as spend and effective status.
If-Match compares only the first half, so that enforcement makes no edit stale.
"""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Header, Response
from fastapi.responses import JSONResponse

from web.marks import digest, edit_mark
from web.problems import Problem

IfMatch = Annotated[
    str | None, Header(description="An ETag: the edit is refused with 412 if the row was edited since", max_length=1000)
]
IfNoneMatch = Annotated[
    str | None, Header(description="An ETag: the answer is 304 if it still matches", max_length=1000)
]


def etag_of(body: Mapping[str, Any], set_by_people: Collection[str]) -> str:
    """The entity tag of a response body. `set_by_people`: the fields whose change makes an edit stale."""
    rest = {name: value for name, value in body.items() if name not in set_by_people}
    return f'"{edit_mark(body, set_by_people)}.{digest(rest)}"'


def _tags(header: str) -> list[str]:
    return [tag.strip() for tag in header.split(",")]


def check_match(if_match: str | None, etag: str) -> None:
    """Raises Problem (412) if the row was edited since the caller read it. Call it under the brand's lock.

    `if_match`: the header; None or `*`: no check.
    """
    if if_match is None or "*" in _tags(if_match):
        return
    if _mark_of_edits(etag) not in {_mark_of_edits(tag) for tag in _tags(if_match)}:
        detail = "it was edited meanwhile; read it again"
        raise Problem(HTTPStatus.PRECONDITION_FAILED, detail, headers={"ETag": etag})


def _mark_of_edits(tag: str) -> str:
    """The half of the tag that only people's edits change. A weak tag keeps its prefix `W/`, so it never matches."""
    return tag.partition(".")[0]


def tagged(body: dict[str, Any], set_by_people: Collection[str]) -> Response:
    """A response with the resource and its ETag."""
    return JSONResponse(body, headers={"ETag": etag_of(body, set_by_people)})


def read(body: dict[str, Any], set_by_people: Collection[str], if_none_match: str | None) -> Response:
    """A response with the resource and its ETag; 304 without a body if the caller's tag still matches."""
    etag = etag_of(body, set_by_people)
    if is_known(etag, if_none_match):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": etag})
    return tagged(body, set_by_people)


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether the caller's `If-None-Match` has this tag, or `*`, so that the answer is 304.

    False without the header.
    """
    known = _tags(if_none_match or "")
    return "*" in known or etag in {tag.removeprefix("W/") for tag in known}
