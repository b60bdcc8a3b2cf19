"""Tables for ordering: named locks, and the epoch of the feed of status changes."""

from uuid import UUID

from sqlalchemy import Boolean, CheckConstraint, Text, text
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class NamedLock(Base):
    """A named lock: transactions lock its row. See db/repository/shared/locks.py. A trigger refuses every edit."""

    __tablename__ = "locks"

    name: Mapped[str] = mapped_column(Text, primary_key=True)


class FeedEpoch(Base):
    """The stored part of the epoch of the feed of status changes, a single row.

    The epoch is a text that changes whenever ids of status changes may have been assigned again, such as after a
    restored backup. Ids are comparable within one epoch only.
    """

    __tablename__ = "feed_epoch"
    __table_args__ = (CheckConstraint("is_only", name="one_row"),)

    is_only: Mapped[bool] = mapped_column(Boolean, primary_key=True, server_default=text("true"))
    epoch: Mapped[UUID] = mapped_column(PG_UUID)
