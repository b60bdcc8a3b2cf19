"""What all tables share: one set of metadata with names for constraints, and the columns that recur."""

from sqlalchemy import DateTime, MetaData, text
from sqlalchemy.orm import DeclarativeBase

Moment = DateTime(timezone=True)
NOW = text("now()")
BY_ID = {"primary_key": ["id"]}
"""Of tables whose key carries the brand, so that they can be spread over servers: within them an id is one row."""


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
