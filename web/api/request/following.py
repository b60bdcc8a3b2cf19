"""Lists whose ids are in commit order, so that a reader can follow them.

It sends the last id that it received, and the epoch of the page with that id. The epoch changes when ids start again,
such as after a restored backup.
"""

from http import HTTPStatus
from typing import Annotated, Final, TypeVar

from fastapi import Query
from pydantic import Field
from sqlalchemy import Connection

from db.repository.reading import status_feed
from web.api.request.paging import Listed
from web.problems import Problem

Item = TypeVar("Item")

Epoch = Annotated[
    str | None,
    Query(
        max_length=64,
        description="`epoch` of the page in which you got the id `after`: 410 if ids have started again since",
    ),
]

FROM_THE_START: Final = "start again from `after=0`"


class Followed(Listed[Item]):
    """One page of a list that a reader can follow by its last id and epoch."""

    epoch: str = Field(
        description="Store it with the last id and send both: if it differs, ids have started again",
        examples=["9c1f0a7be2d45638"],
    )


def checked_epoch(connection: Connection, sent: str | None, start_over: str = FROM_THE_START) -> str:
    """Returns the current epoch. Raises Problem (410), with the advice `start_over`, if `sent` is another epoch.

    `sent` None: is not checked.
    """
    current = status_feed.epoch(connection)
    if sent not in {None, current}:
        detail = f"epoch: is no longer valid, because ids have started again; {start_over}"
        raise Problem(HTTPStatus.GONE, detail, field="epoch")
    return current
