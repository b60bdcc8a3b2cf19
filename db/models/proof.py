"""Tables that prove the histories unaltered, and record corrections by `spendgate repair`.

All but `history_floors` are append-only.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import BY_ID, Base, Moment


class BrandFact(Base):
    """The time zone and currency of a brand from `changed_at` on.

    A trigger on `brands` writes these rows; on Citus db/repository/spread/written_by_edits.py writes them.
    """

    __tablename__ = "brand_facts"
    __table_args__ = (PrimaryKeyConstraint("brand_id", "id"),)
    __mapper_args__ = BY_ID

    id: Mapped[int] = mapped_column(BigInteger, Identity())
    brand_id: Mapped[int] = mapped_column(BigInteger)
    time_zone: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(Moment)


class Correction(Base):
    """One value corrected by `spendgate repair` or the sweep (the scheduled search for wrong holds and counters).

    With kind `known`, one finding that a person acknowledged. `subject`: the key of the corrected row. `old`, `new`:
    its value before and after; null if there was no row.
    """

    __tablename__ = "corrections"
    __table_args__ = (Index("ix_corrections_kind", "kind"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    brand_id: Mapped[int | None] = mapped_column(BigInteger)
    corrected_at: Mapped[datetime] = mapped_column(Moment)
    corrected_by: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    subject: Mapped[dict[str, Any]] = mapped_column(JSONB)
    old: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    new: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class HistoryFloor(Base):
    """The id up to which rows of a history were deleted because they were past its retention; their seals stay."""

    __tablename__ = "history_floors"
    __table_args__ = (
        CheckConstraint("history IN ('audit_entries', 'rejected_events')", name="known"),
        CheckConstraint("forgotten_to_id >= 0", name="not_negative"),
    )

    history: Mapped[str] = mapped_column(Text, primary_key=True)
    forgotten_to_id: Mapped[int] = mapped_column(BigInteger)


class HistorySeal(Base):
    """A hash over consecutive rows of one history, chained to the previous seal.

    Covers the rows with after_id < id <= up_to_id: of one brand, or of all if `brand_id` is null. Seals of all
    histories are numbered together, from 1 without gaps.
    """

    __tablename__ = "history_seals"
    __table_args__ = (Index("ix_history_seals_history", "history", "up_to_id"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    history: Mapped[str] = mapped_column(Text)
    brand_id: Mapped[int | None] = mapped_column(BigInteger)
    after_id: Mapped[int] = mapped_column(BigInteger)
    up_to_id: Mapped[int] = mapped_column(BigInteger)
    row_count: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[int] = mapped_column(SmallInteger)
    content_hash: Mapped[bytes] = mapped_column(LargeBinary)
    chain_hash: Mapped[bytes] = mapped_column(LargeBinary)
    sealed_at: Mapped[datetime] = mapped_column(Moment)
