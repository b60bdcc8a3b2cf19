"""Tables of imports: imported files, the totals they changed, skipped rows, chosen options, and pending uploads."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import NOW, Base, Moment


class Import(Base):
    """One imported file, with the counts of its result.

    `source`: the source of its reported totals. `options`: the options it was read with. `sum_micros`: the file's spend
    by currency; the key is "" if the currency is unknown. `campaign_days`: the number of its totals, one for each
    campaign and day. `status`: stays `running` if the importing process died.
    """

    __tablename__ = "imports"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'partial', 'done', 'undone')", name="status_known"),
        CheckConstraint("(status = 'undone') = (undone_at IS NOT NULL)", name="undone_at_with_status"),
        Index("ix_imports_sha256", "sha256"),
        Index("ix_imports_account", "account"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    platform: Mapped[str] = mapped_column(Text)
    account: Mapped[str | None] = mapped_column(Text)
    brand_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default="{}")
    source: Mapped[str] = mapped_column(Text)
    file_name: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(Text)
    layout: Mapped[str] = mapped_column(Text)
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    imported_by: Mapped[str] = mapped_column(Text)
    imported_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    as_of: Mapped[datetime] = mapped_column(Moment)
    rows: Mapped[int] = mapped_column(BigInteger, server_default="0")
    campaign_days: Mapped[int] = mapped_column(BigInteger, server_default="0")
    first_day: Mapped[date | None] = mapped_column(Date)
    last_day: Mapped[date | None] = mapped_column(Date)
    sum_micros: Mapped[dict[str, int]] = mapped_column(JSONB, server_default="{}")
    campaigns_made: Mapped[int] = mapped_column(Integer, server_default="0")
    taken: Mapped[int] = mapped_column(BigInteger, server_default="0")
    nothing_new: Mapped[int] = mapped_column(BigInteger, server_default="0")
    rejected: Mapped[int] = mapped_column(BigInteger, server_default="0")
    skipped_rows: Mapped[int] = mapped_column(BigInteger, server_default="0")
    status: Mapped[str] = mapped_column(Text, server_default="running")
    undone_at: Mapped[datetime | None] = mapped_column(Moment)
    undone_by: Mapped[str | None] = mapped_column(Text)


class ImportDay(Base):
    """A campaign day whose total an import changed, with the figures before (null: none) and after.

    `before_as_of`: the `as_of` of the figure before, as it was first reported. `undone_as_of`: the `as_of` with which
    undoing the import stored that figure again; null if the import's figure was not undone.
    """

    __tablename__ = "import_days"
    __table_args__ = (
        ForeignKeyConstraint(
            ["brand_id", "campaign_id"],
            ["campaigns.brand_id", "campaigns.id"],
            name="fk_import_days_campaigns",
            ondelete="CASCADE",
        ),
        Index("ix_import_days_import_id", "import_id"),
    )

    brand_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    campaign_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    import_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    source: Mapped[str] = mapped_column(Text)
    before_micros: Mapped[int | None] = mapped_column(BigInteger)
    before_as_of: Mapped[datetime | None] = mapped_column(Moment)
    after_micros: Mapped[int] = mapped_column(BigInteger)
    as_of: Mapped[datetime] = mapped_column(Moment)
    undone_as_of: Mapped[datetime | None] = mapped_column(Moment)


class ImportSkippedRow(Base):
    """A skipped row of a file, or a rejected total (line 0), with the faulty cell and the reason.

    `place`: the position in the import's list of them, from 1.
    """

    __tablename__ = "import_skipped_rows"

    import_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    place: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    line: Mapped[int] = mapped_column(BigInteger)
    cell: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)


class ImportMapping(Base):
    """The options that a person chose for files of one layout. `layout` is a hash of the headings."""

    __tablename__ = "import_mappings"

    layout: Mapped[str] = mapped_column(Text, primary_key=True)
    settled: Mapped[dict[str, Any]] = mapped_column(JSONB)
    settled_by: Mapped[str] = mapped_column(Text)
    settled_at: Mapped[datetime] = mapped_column(Moment)


class ImportUpload(Base):
    """An uploaded file whose import is not confirmed yet. `modified_at`: null if the browser did not send it."""

    __tablename__ = "import_uploads"
    __table_args__ = (Index("ix_import_uploads_uploaded_at", "uploaded_at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    file_name: Mapped[str] = mapped_column(Text)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    modified_at: Mapped[datetime | None] = mapped_column(Moment)
    uploaded_by: Mapped[str] = mapped_column(Text)
    uploaded_at: Mapped[datetime] = mapped_column(Moment)
