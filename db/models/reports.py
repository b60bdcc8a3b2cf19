"""Tables of stored monthly reports, and of watermarks of periodic jobs."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Date,
    ForeignKey,
    Identity,
    Integer,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import (
    Base,
    Moment,
)


class MonthlyReport(Base):
    """A monthly report of one brand, generated at `generated_at`.

    If the month's figures change later, a new version is stored beside it.
    """

    __tablename__ = "monthly_reports"

    brand_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("brands.id"), primary_key=True, autoincrement=False)
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    generated_at: Mapped[datetime] = mapped_column(Moment)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    id: Mapped[int] = mapped_column(BigInteger, Identity())


class Watermark(Base):
    """The moment up to which a scheduled job's work is done."""

    __tablename__ = "watermarks"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    reached_at: Mapped[datetime] = mapped_column(Moment)
