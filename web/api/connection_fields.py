"""A connection of a platform account, as the API answers it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from app.bound_words import words_of
from domain.reconcile import Mode
from domain.reporting.bounds import Bound

State = Literal["ok", "failing", "waiting", "unread", "off"]

CONNECTION_FIELDS: Final = frozenset({"mode", "credentials", "kept_at", "options"})
"""The fields that people edit: If-Match of an edit compares only these."""

SHARED_FIELDS: Final = frozenset({"credentials", "kept_at", "options", "last_error", "bound", "bound_micros"})
"""The fields that a key of one brand gets as null: they may name other brands, measure their spend, or name files."""


class PlatformConnection(BaseModel):
    """The connection of a platform account: its mode, the place of its login, and its last reads."""

    mode: Mode = Field(description="What Spendgate may read and change on the platform")
    state: State = Field(
        description="`failing`: the last request failed; `waiting`: the platform allows no requests now; `unread`: not "
        "read yet"
    )
    credentials: str | None = Field(
        description="Where the login is: `env:NAME`, `file:/path` or `kept` (encrypted). The login itself is never "
        "returned. Null for a key of one brand",
        examples=["kept"],
    )
    kept_at: datetime | None = Field(
        description="When the kept login was set; null without one, and for a key of one brand"
    )
    options: dict[str, str] | None = Field(
        description="Such as `login_customer_id` of Google Ads; null for a key of one brand"
    )
    time_zone: str | None = Field(description="The account's time zone on the platform; null: not read yet")
    currency: str | None = Field(description="The account's currency on the platform; null: not read yet")
    last_read_at: datetime | None = Field(description="When its spend was read last")
    statuses_read_at: datetime | None = Field(description="When its campaigns' statuses were read last")
    next_read_at: datetime | None
    wait_until: datetime | None = Field(description="The platform allows no reads before this time")
    unconfirmed_pauses: int = Field(
        description="Campaigns held by Spendgate that the platform has not stopped yet; 0 if the mode allows no pauses"
    )
    oldest_unconfirmed_at: datetime | None = Field(description="When the oldest of these pauses was decided")
    bound_micros: int | None = Field(
        description="Spend above a limit that 95 % of pauses do not exceed; null without enough data, and for a key of "
        "one brand"
    )
    bound: str | None = Field(
        description="The bound as a sentence; null for a key of one brand",
        examples=["not enough data yet: 5 of 19 confirmed pauses"],
    )
    last_error: str | None = Field(description="Null if the last request succeeded, and for a key of one brand")


def connection_body(row: Mapping[str, Any], bound: Bound | None, *, sees_all: bool) -> dict[str, Any]:
    """The connection as JSON.

    `bound`: the account's measured spend above limits; None: not measured yet. `sees_all`: whether the caller's key
    is for all brands; otherwise SHARED_FIELDS are null.
    """
    measured = {"bound_micros": bound and bound.bound_micros, "bound": words_of(bound, row["currency"])}
    hidden = {} if sees_all else dict.fromkeys(SHARED_FIELDS)
    return PlatformConnection(**{**row, **measured, **hidden}).model_dump(mode="json")
