"""Stores the options that people chose for file layouts, to offer them for the next file of the same layout."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

KEEP = text("""
    INSERT INTO import_mappings (layout, settled, settled_by, settled_at)
    VALUES (:layout, CAST(:settled AS jsonb), :settled_by, :settled_at)
    ON CONFLICT (layout) DO UPDATE
    SET settled = excluded.settled, settled_by = excluded.settled_by, settled_at = excluded.settled_at
    WHERE import_mappings.settled <> excluded.settled
""")

OF = text("SELECT settled, settled_by, settled_at FROM import_mappings WHERE layout = :layout")


class Settled(NamedTuple):
    """The options chosen for a layout, by field name of `ReadOptions`, with their author and time."""

    options: Mapping[str, Any]
    by: str
    at: datetime


def keep(connection: Connection, layout: str, options: Mapping[str, Any], by: str, at: datetime) -> None:
    """Stores the options for the layout; does nothing if they have not changed."""
    row = {"layout": layout, "settled": json.dumps(dict(options)), "settled_by": by, "settled_at": at}
    connection.execute(KEEP, row)


def of_layout(connection: Connection, layout: str) -> Settled | None:
    """The options stored for the layout; None if there are none."""
    row = connection.execute(OF, {"layout": layout}).first()
    return None if row is None else Settled(*row)
