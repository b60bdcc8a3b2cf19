"""Tables of delivery: suspect messages, sequence numbers that arrived, and files of the spend folder."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Identity, Index, Integer, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import NOW, Base, Moment


class SuspectMessage(Base):
    """A message that was in process when a worker died. It is processed alone; `deaths`: processes that died meanwhile.

    `begun_by`: the worker process that began it last and has not finished it; empty if none.
    """

    __tablename__ = "suspect_messages"
    __table_args__ = (CheckConstraint("deaths >= 0", name="deaths_counted"),)

    message_id: Mapped[str] = mapped_column(Text, primary_key=True)
    begun_by: Mapped[str] = mapped_column(Text, server_default="")
    deaths: Mapped[int] = mapped_column(Integer, server_default="0")
    since: Mapped[datetime] = mapped_column(Moment, server_default=NOW)


class SequenceRun(Base):
    """Sequence numbers of a source that arrived without a gap, first to last. A job merges adjoining runs.

    `sender_brand_id`: the only brand of the sender's API key, 0 for senders for all brands.
    """

    __tablename__ = "sequence_runs"
    __table_args__ = (
        CheckConstraint("first <= last", name="runs_forward"),
        Index("ix_sequence_runs_sender_brand_id_source", "sender_brand_id", "source", "first"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    sender_brand_id: Mapped[int] = mapped_column(BigInteger, server_default="0")
    source: Mapped[str] = mapped_column(Text)
    first: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)


class SpendFile(Base):
    """A file in the spend folder as it was last seen; `version` has inode, size and times of modification and change.

    `unchanged_since`: when this version was first seen. `imported_version`: the version that was imported last, and
    `imported_sha256` the hash of its content; both null before the first import. `problem`: why the file was not
    imported, and `problem_version` the versions of the file and its options at that time; null without a problem.
    """

    __tablename__ = "spend_files"

    platform: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[str] = mapped_column(Text)
    unchanged_since: Mapped[datetime] = mapped_column(Moment)
    imported_version: Mapped[str | None] = mapped_column(Text)
    imported_sha256: Mapped[str | None] = mapped_column(Text)
    problem: Mapped[str | None] = mapped_column(Text)
    problem_version: Mapped[str | None] = mapped_column(Text)
    problem_since: Mapped[datetime | None] = mapped_column(Moment)
