"""Checks of seals for `spendgate verify`: seals that were altered, sealed rows that changed, rows inserted between."""

from typing import Any, Final

from sqlalchemy import Connection, TextClause, text

from db.repository.proof.seals import HISTORIES, History
from db.repository.shared.rows import plain

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


# The hashes of the rows of all seals of a history, for Citus: each server reads the rows of its brands.
_HASHED: Final = """
    WITH hashed AS MATERIALIZED (
        SELECT seals.id, count(*) AS row_count,
            sha256(convert_to(string_agg({row}, chr(10) ORDER BY history.id), 'UTF8')) AS content_hash
        FROM {table} AS history JOIN history_seals AS seals ON {of_seal}
        WHERE seals.history = '{table}'
        GROUP BY history.brand_id, seals.id
    )
"""

_FOUND_IN_HASHED: Final = """
    LEFT JOIN hashed ON hashed.id = seals.id
    CROSS JOIN LATERAL (
        SELECT COALESCE(hashed.row_count, 0) AS row_count, COALESCE(hashed.content_hash, '') AS content_hash
    ) AS found
"""

_FOUND: Final = """
    CROSS JOIN LATERAL (
        SELECT count(*) AS row_count,
            COALESCE(sha256(convert_to(string_agg({row}, chr(10) ORDER BY history.id), 'UTF8')), '') AS content_hash
        FROM {table} AS history WHERE {of_seal}
    ) AS found
"""


def _changed_rows(history: History) -> TextClause:
    """The statement that lists seals of the history whose rows were altered or deleted.

    It lists a seal too whose rows were deleted because they were past the retention, if one of them still exists.
    """
    names = {"table": history.table, "row": history.row, "of_seal": history.of_seal}
    first, found = "", _FOUND.format(**names)
    if history.is_by_brand:
        first = f"/*citus {_HASHED.format(**names)} */"
        found = f"/*plain*/ {found} /*end*/ /*citus {_FOUND_IN_HASHED} */"
    return text(f"""
        {first}
        SELECT seals.history, seals.brand_id, seals.after_id, seals.up_to_id, seals.row_count AS sealed_rows,
            found.row_count AS found_rows, encode(found.content_hash, 'hex') AS found_hash
        FROM history_seals AS seals {found}
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


def broken(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """Findings of tampering: altered or missing seals, sealed rows that changed, rows inserted among sealed ones.

    Returns up to `limit` findings of each check.
    """
    findings = plain(connection.execute(BROKEN_CHAIN, {"limit": limit})) + plain(connection.execute(LAST_MISSING))
    for statement in (*CHANGED_ROWS, *INSERTED_ROWS):
        findings += plain(connection.execute(statement, {"limit": limit}))
    return findings
