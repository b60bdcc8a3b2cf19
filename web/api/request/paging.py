"""Pages of lists in id order. `after`, the cursor of the next page, is the last id of the previous one."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Generic, NamedTuple, TypeVar

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field

from domain.inputs.values import MAX_ID

Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=500, description="At most this many items")]

PAGES_ONLY: Final = (
    "The last id of the previous page. Do not poll with it: rows that are committed later may have lower ids"
)
FOLLOWS: Final = "The last id you received: ids are in commit order, so the next page has every later row"


class Listed(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next_after: int | None = Field(description="`after` of the next page; null on the last one", examples=[117])


class Paging(NamedTuple):
    """The requested page: at most `limit` rows with ids above `after`. `request`, `response`: for the header Link."""

    after: int
    limit: int
    request: Request
    response: Response

    @property
    def rows(self) -> dict[str, int]:
        """The `after` and `limit` of a list query: one row more than the page, to know whether another page follows."""
        return {"after": self.after, "limit": self.limit + 1}

    def of(self, rows: Sequence[dict[str, Any]], key: str = "id", **kept: str) -> dict[str, Any]:
        """Sets a Link header if a next page follows; returns this page, without the extra row that shows this.

        `rows`: the result of the list query. `key`: the field whose last value is the cursor. `kept`: further query
        parameters of the link.
        """
        items = rows[: self.limit]
        next_after = items[-1][key] if len(rows) > self.limit else None
        if next_after is not None:
            url = self.request.url.include_query_params(after=next_after, **kept).replace(scheme="", netloc="")
            self.response.headers["Link"] = f'<{url}>; rel="next"'
        return {"items": items, "next_after": next_after}


def _paging(
    request: Request,
    response: Response,
    limit: Limit = 100,
    after: Annotated[int, Query(ge=0, le=MAX_ID, description=PAGES_ONLY)] = 0,
) -> Paging:
    return Paging(after, limit, request, response)


def _followed(
    request: Request,
    response: Response,
    limit: Limit = 100,
    after: Annotated[int, Query(ge=0, le=MAX_ID, description=FOLLOWS)] = 0,
) -> Paging:
    return Paging(after, limit, request, response)


Pages = Annotated[Paging, Depends(_paging)]
"""Paging of a list whose rows may be committed out of id order, so that polling it could miss rows."""

FollowedPages = Annotated[Paging, Depends(_followed)]
"""Paging of a list whose ids are in commit order, so that polling it with the last id misses nothing."""
