"""Options that people chose for layouts of files, offered to the next file of the layout."""

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
    """The options that somebody chose for a layout, by the names that `ReadOptions` gives them."""

    options: Mapping[str, Any]
    by: str
    at: datetime


def keep(connection: Connection, layout: str, options: Mapping[str, Any], by: str, at: datetime) -> None:
    """Remembers the options for the layout."""
    row = {"layout": layout, "settled": json.dumps(dict(options)), "settled_by": by, "settled_at": at}
    connection.execute(KEEP, row)


def of_layout(connection: Connection, layout: str) -> Settled | None:
    """The options remembered for the layout."""
    row = connection.execute(OF, {"layout": layout}).first()
    return None if row is None else Settled(*row)
