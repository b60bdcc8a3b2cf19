"""The table of notices: single events that webhooks report, such as an alert or a failed import."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Moment

KINDS: Final = (
    "'alert.raised', 'alert.resolved', 'platform.unconfirmed', 'report.ready', 'import.failed', 'endpoint.failing'"
)


class Notice(Base):
    """One event that webhooks report once, such as a raised alert or a failed import. `key` is unique in its kind."""

    __tablename__ = "notices"
    __table_args__ = (
        UniqueConstraint("kind", "key"),
        CheckConstraint(f"kind IN ({KINDS})", name="kind_known"),
        CheckConstraint("jsonb_typeof(body) = 'object'", name="body_is_an_object"),
        Index("ix_notices_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    brand_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("brands.id"))
    key: Mapped[str] = mapped_column(Text)
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(Moment)
