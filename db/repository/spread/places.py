"""Where each table is on several servers: spread by brand, whole on every server, or on the coordinator."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

SPREAD: Final = (
    *("brands", "platform_account_brands", "campaigns", "budgets", "budget_limits", "dayparts"),
    *("spend_events", "campaign_days", "brand_days", "brand_hours", "spend_hours", "reported_totals", "import_days"),
    *("pending_enforcements", "status_changes", "hold_changes", "brand_facts", "monthly_reports", "alert_settings"),
    *("platform_statuses", "platform_confirmations"),
)
"""Tables spread by brand, each after those that it refers to. The rows of one brand are on one server."""

ON_EVERY_SERVER: Final = ("platform_accounts",)
"""Small tables that spread ones refer to, whole on every server. A write of one needs all servers."""

REPLACED_UNIQUE: Final = frozenset({"uq_campaigns_platform_account_id_external_id"})
"""Unique keys that cannot exist over several servers; on Citus written_by_edits.py checks the rule instead."""

REPLACED_TRIGGERS: Final = frozenset(
    {
        ("status_changes", "order_by_commit"),
        ("budgets", "keep_limits"),
        ("budgets", "forget_headroom_insert"),
        ("budgets", "forget_headroom_update"),
        ("budgets", "forget_headroom_delete"),
        ("brands", "keep_first_facts"),
        ("brands", "keep_facts"),
        ("brand_days", "forget_unkept_headroom"),
        ("campaigns", "give_platform_account"),
        ("campaigns", "keep_released_external_id"),
        ("campaigns", "heed_released_external_ids"),
        ("campaigns", "forget_platform_status"),
        ("dayparts", "give_brand"),
        ("reported_totals", "give_brand"),
    }
)
"""(table, name) of triggers that read or write other tables, which Citus does not allow to triggers on shards.

They are dropped on Citus, where written_by_edits.py does most of their work.
"""


class Place(StrEnum):
    """Where a table's rows are, by Citus's words: spread by brand, whole on every server, or on the coordinator."""

    SPREAD = "distributed"
    EVERY_SERVER = "reference"
    COORDINATOR = "local"


def place_of(table: str) -> Place:
    """Where the table's rows are on several servers."""
    if table in SPREAD:
        return Place.SPREAD
    return Place.EVERY_SERVER if table in ON_EVERY_SERVER else Place.COORDINATOR


def brand_column(table: str) -> str:
    """The column of a spread table with the brand's id, by which it is spread."""
    return "id" if table == "brands" else "brand_id"


class Key(NamedTuple):
    """A primary or unique key of a table."""

    table: str
    name: str
    columns: Sequence[str]
    is_primary: bool


class Reference(NamedTuple):
    """A foreign key: columns of a table, and those that they refer to in another; `definition` in SQL."""

    table: str
    name: str
    columns: Sequence[str]
    target: str
    target_columns: Sequence[str]
    definition: str = ""


def is_kept(reference: Reference) -> bool:
    """Whether the foreign key can exist on several servers: each row and the row it refers to are on one server.

    Between spread tables, both sides have the brand's id at the same position. Tables of the coordinator may refer only
    to each other, because Citus would take over a table that refers to another, with all tables connected to it. Tables
    that are whole on every server may refer only to each other, too.
    """
    place, target = place_of(reference.table), place_of(reference.target)
    if place is not Place.SPREAD:
        return place is target
    if target is not Place.SPREAD:
        return target is Place.EVERY_SERVER
    brands = (brand_column(reference.table), brand_column(reference.target))
    return brands in zip(reference.columns, reference.target_columns, strict=True)


def key_columns(key: Key) -> list[str] | None:
    """The columns of the key on several servers; None if it is dropped there. A primary key gets the brand in front."""
    if place_of(key.table) is not Place.SPREAD or brand_column(key.table) in key.columns:
        return list(key.columns)
    return [brand_column(key.table), *key.columns] if key.is_primary else None
