"""Seals over the append-only histories: hashes of consecutive rows, each chained to the previous seal.

A job seals rows written since its last run, so that seals add no work to counting and enforcement. Ids are assigned
before the commit, so a row with a smaller id may become visible after one with a larger id. Therefore the job first
reads the largest id and the transactions then writing to the table, and seals up to that id once all have ended.
`pg_locks` shows them: a writing transaction holds a lock on the table from before it takes an id until its end.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, TextClause, text

FORMAT: Final = 1
"""The version of the columns that seals cover.

Increase it when a sealed table gets new columns, and keep the lists of columns of both versions.
"""

ROWS_A_SLICE: Final = 200_000
"""The most ids that one call of `seal_slice` seals, with or without rows."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class History(NamedTuple):
    """An append-only table: the columns that seals cover, and those left out because they may change.

    `is_by_brand`: each seal covers the rows of one brand; if False, a seal covers rows of all brands.
    """

    table: str
    columns: tuple[str, ...]
    changing: tuple[str, ...] = ()
    is_by_brand: bool = True

    @property
    def row(self) -> str:
        """The SQL expression for a row as text, independent of session settings."""
        return f"jsonb_build_array({', '.join(map(_canonical, self.columns))})::text"

    @property
    def of_seal(self) -> str:
        """The SQL condition that finds the rows of a seal."""
        within = "history.id > seals.after_id AND history.id <= seals.up_to_id"
        return f"history.brand_id = seals.brand_id AND {within}" if self.is_by_brand else within


def _canonical(column: str) -> str:
    if column.endswith("_at"):
        return f"history.{column} AT TIME ZONE 'UTC'"
    return f"history.{column}::text" if column == "payload" else f"history.{column}"


HISTORIES: Final = (
    History(
        "status_changes",
        (
            *("id", "brand_id", "campaign_id", "changed_at", "from_status", "to_status"),
            *("holds_before", "holds_after", "cause", "details"),
        ),
    ),
    History("hold_changes", ("id", "brand_id", "campaign_id", "changed_at", "holds", "cause", "from_status")),
    History("budget_limits", ("id", "brand_id", "campaign_id", "period", "limit_micros", "changed_at")),
    History("brand_facts", ("id", "brand_id", "time_zone", "currency", "changed_at")),
    History("monthly_reports", ("id", "brand_id", "month", "version", "generated_at", "content")),
    History(
        "audit_entries",
        ("id", "changed_at", "changed_by", "action", "subject", "subject_id", "brand_id", "old", "new"),
        is_by_brand=False,
    ),
    History(
        "rejected_events",
        ("id", "received_at", "kind", "only_brand_id", "receipt", "source", "reason", "detail", "payload"),
        changing=("times", "replayed_at", "claimed_until", "fingerprint"),
        is_by_brand=False,
    ),
    History(
        "corrections",
        ("id", "brand_id", "corrected_at", "corrected_by", "kind", "subject", "old", "new"),
        is_by_brand=False,
    ),
)

# The id up to which a history is sealed.
SEALED_TO = text("SELECT COALESCE(max(up_to_id), 0) FROM history_seals WHERE history = :history")


def _last_id(history: History) -> TextClause:
    if history.is_by_brand:
        return text(f"""
            SELECT max(last.id) FROM brands CROSS JOIN LATERAL (
                SELECT max(id) AS id FROM {history.table} WHERE brand_id = brands.id
            ) AS last
        """)  # noqa: S608 - a constant, put together once
    return text(f"SELECT max(id) FROM {history.table}")  # noqa: S608 - a constant, put together once


def _slice(history: History) -> TextClause:
    summed = f"""
        SELECT count(*) AS row_count, sha256(convert_to(string_agg({history.row}, chr(10) ORDER BY history.id), 'UTF8'))
            AS content_hash
        FROM {history.table} AS history WHERE history.id > :after_id AND history.id <= :up_to_id
    """  # noqa: S608 - a constant, put together once
    if not history.is_by_brand:
        whole = f"SELECT NULL::bigint AS brand_id, summed.* FROM ({summed}) AS summed WHERE row_count > 0"  # noqa: S608
        return text(whole)
    return text(f"""
        SELECT brands.id AS brand_id, summed.*
        FROM brands CROSS JOIN LATERAL ({summed} AND history.brand_id = brands.id) AS summed
        WHERE row_count > 0 ORDER BY brands.id
    """)  # noqa: S608 - a constant, put together once


# The largest id of each history.
LAST_IDS = tuple(map(_last_id, HISTORIES))

# The hash of one slice of a history, for each brand with rows in it.
SLICES = tuple(map(_slice, HISTORIES))

# The transactions that may have taken ids of a table without having committed yet: those that run, or those that were
# prepared for a two-phase commit, which no process holds.
WRITERS = text("""
    SELECT DISTINCT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND relation = CAST(CAST(:table AS text) AS regclass)
        AND CASE WHEN :are_prepared THEN pid IS NULL ELSE pid <> pg_backend_pid() END
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
""")

# The row of this watermark is the lock that lets one transaction seal at a time.
MAKE_TURN = text(
    "INSERT INTO watermarks (name, reached_at) VALUES ('history_seals', :at) ON CONFLICT (name) DO NOTHING"
)
TAKE_TURN = text("SELECT FROM watermarks WHERE name = 'history_seals' FOR UPDATE")
NOTE_LAST = text("UPDATE watermarks SET reached_at = :at WHERE name = 'history_seals'")

LAST_SEAL = text("SELECT id, chain_hash FROM history_seals ORDER BY id DESC LIMIT 1")

ADD = text("""
    INSERT INTO history_seals
        (id, history, brand_id, after_id, up_to_id, row_count, format, content_hash, chain_hash, sealed_at)
    VALUES
        (:id, :history, :brand_id, :after_id, :up_to_id, :row_count, :format, :content_hash, :chain_hash, :sealed_at)
""")


class Seen(NamedTuple):
    """The largest id of a history at one moment, and the transactions that were writing to it at that moment.

    `last_id` None: the history is empty. `writers`: virtual transaction ids.
    """

    last_id: int | None
    writers: frozenset[str]


def sealed_to(connection: Connection, history: History) -> int:
    """The id up to which the history is sealed; 0 if it has no seals."""
    return int(connection.execute(SEALED_TO, {"history": history.table}).scalar_one())


def last_id(connection: Connection, history: History) -> int | None:
    """The largest committed id in the history; None if it is empty."""
    largest: int | None = connection.scalar(LAST_IDS[HISTORIES.index(history)])
    return largest


def writers(connection: Connection, history: History) -> frozenset[str]:
    """The virtual transaction ids of the transactions that are writing to the history now."""
    return frozenset(connection.scalars(WRITERS, {"table": history.table, "are_prepared": False}))


def prepared_writers(connection: Connection, history: History) -> frozenset[str]:
    """The virtual transaction ids of transactions that wrote to the history and are prepared for a two-phase commit."""
    return frozenset(connection.scalars(WRITERS, {"table": history.table, "are_prepared": True}))


def take_turn(connection: Connection, at: datetime) -> None:
    """Takes the lock for sealing until the transaction ends; waits until it is free."""
    connection.execute(MAKE_TURN, {"at": at})
    connection.execute(TAKE_TURN)


def seal_slice(connection: Connection, history: History, up_to_id: int, at: datetime) -> int:
    """Seals the rows with the next ROWS_A_SLICE ids of the history, none above `up_to_id`; returns how many rows.

    Call `take_turn` first. All transactions with ids up to `up_to_id` must have ended.
    """
    after_id = sealed_to(connection, history)
    ids = {"after_id": after_id, "up_to_id": min(up_to_id, after_id + ROWS_A_SLICE)}
    if ids["up_to_id"] <= after_id:
        return 0
    hashed = [dict(row) for row in connection.execute(SLICES[HISTORIES.index(history)], ids).mappings()]
    last = connection.execute(LAST_SEAL).first()
    seals = _chained(hashed or [_NO_ROWS], last and (last.id, last.chain_hash), history.table, ids, at)
    connection.execute(ADD, seals)
    connection.execute(NOTE_LAST, {"at": at})
    return sum(row["row_count"] for row in hashed)


_NO_ROWS: Final = {"brand_id": None, "row_count": 0, "content_hash": b""}
"""The seal of a slice without rows: all its ids were rolled back."""


def _chained(
    rows: Iterable[dict[str, Any]], last: tuple[int, bytes] | None, table: str, ids: dict[str, int], at: datetime
) -> list[dict[str, Any]]:
    number, chain_hash = last or (0, b"")
    sealed_micros = (at - _EPOCH) // timedelta(microseconds=1)
    seals = []
    for row in rows:
        number += 1
        brand = "" if row["brand_id"] is None else row["brand_id"]
        content_hash = bytes(row["content_hash"])
        parts = (bytes(chain_hash).hex(), number, table, brand, ids["after_id"], ids["up_to_id"], row["row_count"])
        sealed = "|".join(map(str, (*parts, FORMAT, content_hash.hex(), sealed_micros)))
        chain_hash = hashlib.sha256(sealed.encode()).digest()
        of_seal = {"id": number, "history": table, "format": FORMAT, "chain_hash": chain_hash, "sealed_at": at}
        seals.append({**row, **ids, **of_seal, "content_hash": content_hash})
    return seals
