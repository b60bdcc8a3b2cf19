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

from db.repository.shared.rows import plain

FORMAT: Final = 1
"""The version of the columns that seals cover. When a sealed table gets new columns, raise it and keep both lists."""

ROWS_A_SLICE: Final = 200_000
"""The most ids that one call of `seal_slice` seals, with or without rows."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class History(NamedTuple):
    """An append-only table: the columns that seals cover, and those left out because they may change."""

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

# The transactions that may have taken ids of a table without having committed yet.
WRITERS = text("""
    SELECT DISTINCT virtualtransaction FROM pg_locks
    WHERE locktype = 'relation' AND relation = CAST(CAST(:table AS text) AS regclass) AND pid <> pg_backend_pid()
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

# Seals that were altered, or whose predecessor is missing.
BROKEN_CHAIN = text("""
    SELECT id AS seal_id, history, brand_id, after_id, up_to_id FROM (
        SELECT *, COALESCE(lag(id) OVER by_id, 0) AS id_before, COALESCE(lag(chain_hash) OVER by_id, '') AS hash_before
        FROM history_seals WINDOW by_id AS (ORDER BY id)
    ) AS chained
    WHERE id <> id_before + 1 OR chain_hash <> sha256(convert_to(concat_ws(
        '|', encode(hash_before, 'hex'), id, history, COALESCE(brand_id::text, ''), after_id, up_to_id, row_count,
        format, encode(content_hash, 'hex'), (extract(epoch FROM sealed_at) * 1000000)::bigint
    ), 'UTF8'))
    ORDER BY id LIMIT :limit
""")

# The last seals were deleted: the newest seal is not as new as the watermark says.
LAST_MISSING = text("""
    SELECT 'history_seals' AS history, reached_at AS last_sealed_at, last.sealed_at AS last_seal_of FROM watermarks
    LEFT JOIN (SELECT sealed_at FROM history_seals ORDER BY id DESC LIMIT 1) AS last ON true
    WHERE name = 'history_seals' AND reached_at IS DISTINCT FROM last.sealed_at
""")


def _changed_rows(history: History) -> TextClause:
    """Of a seal whose rows are past the retention, no row may be left or have come back."""
    return text(f"""
        SELECT seals.history, seals.brand_id, seals.after_id, seals.up_to_id, seals.row_count AS sealed_rows,
            found.row_count AS found_rows, encode(found.content_hash, 'hex') AS found_hash
        FROM history_seals AS seals CROSS JOIN LATERAL (
            SELECT count(*) AS row_count,
                COALESCE(
                    sha256(convert_to(string_agg({history.row}, chr(10) ORDER BY history.id), 'UTF8')), ''
                ) AS content_hash
            FROM {history.table} AS history WHERE {history.of_seal}
        ) AS found
        LEFT JOIN history_floors AS floors ON floors.history = seals.history
        WHERE seals.history = '{history.table}'
            AND (found.row_count, found.content_hash) IS DISTINCT FROM CASE
                WHEN seals.up_to_id <= floors.forgotten_to_id THEN (0::bigint, ''::bytea)
                ELSE (seals.row_count, seals.content_hash)
            END
        ORDER BY seals.id LIMIT :limit
    """)  # noqa: S608 - a constant, put together once


def _inserted_rows(history: History) -> TextClause:
    return text(f"""
        SELECT '{history.table}' AS history, brand_id,
            (found.row_count - COALESCE(sealed.row_count, 0))::bigint AS rows_never_sealed
        FROM (
            SELECT brand_id, count(*) AS row_count FROM {history.table} WHERE id <= (
                SELECT COALESCE(max(up_to_id), 0) FROM history_seals WHERE history = '{history.table}'
            ) GROUP BY 1
        ) AS found
        LEFT JOIN (
            SELECT brand_id, sum(row_count) AS row_count FROM history_seals WHERE history = '{history.table}' GROUP BY 1
        ) AS sealed USING (brand_id)
        WHERE found.row_count > COALESCE(sealed.row_count, 0)
        ORDER BY brand_id LIMIT :limit
    """)  # noqa: S608 - a constant, put together once


# Seals whose rows have changed since.
CHANGED_ROWS = tuple(map(_changed_rows, HISTORIES))

# Rows within the sealed ids that no seal covers: inserted later with an old id.
INSERTED_ROWS = tuple(_inserted_rows(history) for history in HISTORIES if history.is_by_brand)


class Seen(NamedTuple):
    """The largest id of a history at one moment, and the transactions that were then writing to it."""

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
    return frozenset(connection.scalars(WRITERS, {"table": history.table}))


def take_turn(connection: Connection, at: datetime) -> None:
    """Takes the lock for sealing until the transaction ends; waits for others."""
    connection.execute(MAKE_TURN, {"at": at})
    connection.execute(TAKE_TURN)


def seal_slice(connection: Connection, history: History, up_to_id: int, at: datetime) -> int:
    """Seals up to ROWS_A_SLICE ids of the history, at most to `up_to_id`; returns the number of rows sealed.

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


def broken(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Findings of tampering: altered or missing seals, sealed rows that changed, rows inserted among sealed ones.

    Returns up to `limit` findings of each check.
    """
    findings = plain(connection.execute(BROKEN_CHAIN, {"limit": limit})) + plain(connection.execute(LAST_MISSING))
    for statement in (*CHANGED_ROWS, *INSERTED_ROWS):
        findings += plain(connection.execute(statement, {"limit": limit}))
    return findings
