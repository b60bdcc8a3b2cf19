"""Shared by all models: the metadata with naming rules for constraints, and common column types and defaults."""

from sqlalchemy import DateTime, MetaData, text
from sqlalchemy.orm import DeclarativeBase

Moment = DateTime(timezone=True)
NOW = text("now()")
BY_ID = {"primary_key": ["id"]}
"""Mapper arguments for tables whose primary key includes brand_id, for sharding by brand, while ids stay unique."""


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
