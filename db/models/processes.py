"""The table of running processes."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import CheckConstraint, Integer, Interval, Text
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import NOW, Base, Moment


class Process(Base):
    """A worker or web process as it last reported; `started_at` and `seen_at` are by Postgres's clock.

    `clock_offset`: how far its clock was behind Postgres's, negative if ahead; null for a process whose clock is
    simulated.
    """

    __tablename__ = "processes"
    __table_args__ = (
        CheckConstraint("kind IN ('worker', 'web')", name="kind_known"),
        CheckConstraint("seen_at >= started_at", name="seen_after_start"),
    )

    id: Mapped[UUID] = mapped_column(PG_UUID, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    host: Mapped[str] = mapped_column(Text)
    pid: Mapped[int] = mapped_column(Integer)
    clock_offset: Mapped[timedelta | None] = mapped_column(Interval)
    started_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    seen_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
