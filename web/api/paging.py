"""Lists by cursor: a page of items in id order, the last id seen leads to the next."""

from collections.abc import Sequence
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field

from domain.inputs import MAX_ID

Item = TypeVar("Item")


class Listed(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_after: int | None = Field(description="`after` of the next page; null on the last one", examples=[117])


class Paging(NamedTuple):
    """Which page is wanted. One row more than `limit` is read, to know whether another page follows."""

    after: int
    limit: int
    request: Request
    response: Response

    @property
    def rows(self) -> dict[str, int]:
        """What the statement is asked for."""
        return {"after": self.after, "limit": self.limit + 1}

    def of(self, rows: Sequence[dict[str, Any]], key: str = "id") -> dict[str, Any]:
        """The page, with a Link header to the next one where there is one."""
        items = rows[: self.limit]
        next_after = items[-1][key] if len(rows) > self.limit else None
        if next_after is not None:
            url = self.request.url.include_query_params(after=next_after).replace(scheme="", netloc="")
            self.response.headers["Link"] = f'<{url}>; rel="next"'
        return {"items": items, "next_after": next_after}


def _paging(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=500, description="At most this many items")] = 100,
    after: Annotated[int, Query(ge=0, le=MAX_ID, description="The last id of the page before")] = 0,
) -> Paging:
    return Paging(after, limit, request, response)


Pages = Annotated[Paging, Depends(_paging)]
