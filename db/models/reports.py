"""Stored monthly reports, and how far each periodic job has come."""

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
    """One brand's month as it was known when the report was made; a restated month gets another version."""

    __tablename__ = "monthly_reports"

    brand_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("brands.id"), primary_key=True, autoincrement=False)
    month: Mapped[date] = mapped_column(Date, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    generated_at: Mapped[datetime] = mapped_column(Moment)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    id: Mapped[int] = mapped_column(BigInteger, Identity())


class Watermark(Base):
    """How far a scheduled job has come."""

    __tablename__ = "watermarks"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    reached_at: Mapped[datetime] = mapped_column(Moment)
