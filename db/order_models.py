"""The tables that keep transactions in order: locks that are rows."""

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models import Base


class NamedLock(Base):
    """A lock that stands for no other row; see db/repository/locks.py. A trigger refuses every edit of the table."""

    __tablename__ = "locks"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
