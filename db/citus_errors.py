"""Translates errors of Citus to the errors of Postgres that they pass on, with their SQLSTATE and table.

On one Postgres server nothing is translated. Citus runs statements on shards, tables with names such as
`spend_events_2026_06_102008`. An error of a shard has the shard's text and never a table; an error while rows are
copied to shards has the SQLSTATE XX000 (internal error). And an error of Citus's own copies of rows can have the
SQLSTATE of a bad value.
"""

import re
from typing import Final

import psycopg
from psycopg import errors
from psycopg.pq import DiagnosticField
from sqlalchemy import Dialect, ExceptionContext
from sqlalchemy.exc import DBAPIError

UNIQUE_VIOLATION: Final = "23505"
"""The SQLSTATE of a repeated key."""

INTERNAL_ERROR: Final = "XX000"

REFUSED: Final = "0A000"
"""The SQLSTATE with which Citus refuses to plan a statement."""

NODE_AWAY: Final = "08006"
"""The SQLSTATE with which Citus reports that the server of a shard does not answer."""

WITHOUT_STATE: Final = frozenset({INTERNAL_ERROR, "58030"})
"""SQLSTATEs that Citus puts in place of an error's own one, for errors in rows that it copies to shards."""

SHUTDOWN_STATES: Final = frozenset({"57P01", "57P02", "57P03"})
"""SQLSTATEs of a server that is going down or coming up."""

FROM_NODE: Final = "while executing command on "
"""The beginning of the context line that Citus adds to an error of another server."""

INTEGRITY: Final = "23"
"""The first two characters of the SQLSTATEs of violated constraints."""

BAD_FORMAT_STATES: Final = frozenset({"22P02", "22P03", "22P04"})
"""SQLSTATEs of a text, a binary value and COPY data that Postgres cannot read."""

OF_COPIED_ROWS: Final = re.compile(r"PGCOPY|read_intermediate_result|\bCOPY (?:file|data)\b")
"""Matches the text or context of an error in rows that servers copied between each other.

No value sent by a client can cause such an error.
"""

# The SQLSTATE of each text with which Postgres reports an error of a shard. Texts are those of `lc_messages = C`.
STATES_OF_TEXTS: Final = (
    (re.compile("^duplicate key value violates unique constraint"), UNIQUE_VIOLATION),
    (re.compile("violates foreign key constraint"), "23503"),
    (re.compile("violates not-null constraint"), "23502"),
    (re.compile("violates check constraint|^no partition of relation .* found for row"), "23514"),
    (re.compile("^canceling statement due to lock timeout|^could not obtain lock on"), "55P03"),
    (re.compile("^canceling statement due to statement timeout"), "57014"),
    (re.compile("^deadlock detected|involved in a distributed deadlock"), "40P01"),
    (re.compile("^could not serialize access"), "40001"),
    (re.compile("in a read-only transaction$"), "25006"),
    (re.compile("^(?:bigint|integer|smallint) out of range"), "22003"),
    (
        re.compile(
            "connection to the remote node|^could not commit transaction for shard"
            "|^failed to complete COPY|^failure on connection marked as essential"
            "|^server closed the connection|^terminating connection due to|^the database system is "
        ),
        NODE_AWAY,
    ),
)

NAMED: Final = (re.compile(r'(?:relation|on table) "(.+?)"'), re.compile(r'constraint "(.+?)"'))
SHARD_NUMBER: Final = re.compile(r"_\d{6,}$")
"""The number of a shard at the end of the name of a table or constraint; the first shard of a server is 102008."""

PARTITION: Final = re.compile(r"spend_events_\d{4}_\d{2}(?:_\d{2})?(?=_|$)")


def translated(error: psycopg.Error) -> psycopg.Error:
    """The error of Postgres that an error of Citus passes on, of psycopg's class for it; any other error unchanged.

    The result has the SQLSTATE as `sqlstate` and, for a violated constraint, the table as `diag.table_name`.
    """
    state = _state_of(error)
    table = error.diag.table_name
    if state.startswith(INTEGRITY):
        table = table or _table_in(_text_of(error))
    if (state, table) == (error.sqlstate or "", error.diag.table_name):
        return error
    fields = {
        DiagnosticField.SQLSTATE: state,
        DiagnosticField.MESSAGE_PRIMARY: _text_of(error),
        DiagnosticField.MESSAGE_DETAIL: error.diag.message_detail,
        DiagnosticField.TABLE_NAME: table,
    }
    info: dict[int, bytes | None] = {field: value.encode() for field, value in fields.items() if value is not None}
    made = errors.lookup(state)(*error.args, info=info)
    return made.with_traceback(error.__traceback__)


def in_place_of(failure: ExceptionContext) -> DBAPIError | None:
    """The error of Postgres that SQLAlchemy raises instead of the error of Citus that passes it on.

    None for any other error, which SQLAlchemy then raises itself.
    """
    error = failure.original_exception
    if not isinstance(error, psycopg.Error):
        return None
    known = translated(error)
    return None if known is error else of_sqlalchemy(known, failure.dialect)


def of_sqlalchemy(error: psycopg.Error, dialect: Dialect) -> DBAPIError:
    """Wraps psycopg's error in SQLAlchemy's class for its kind, such as OperationalError, and returns the result."""
    made = DBAPIError.instance(None, None, error, psycopg.Error, dialect=dialect)
    assert isinstance(made, DBAPIError)  # noqa: S101 - SQLAlchemy wraps each error of the driver
    return made


def is_duplicate_in(error: psycopg.Error, table: str) -> bool:
    """Whether the error reports a repeated key of the table or of one of its partitions."""
    return error.sqlstate == UNIQUE_VIOLATION and (error.diag.table_name or "").startswith(table)


def _text_of(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error)


def _state_of(error: psycopg.Error) -> str:
    state, words = error.sqlstate or "", _text_of(error)
    if state in BAD_FORMAT_STATES and OF_COPIED_ROWS.search(f"{words} {error.diag.context or ''}"):
        return INTERNAL_ERROR
    if state in SHUTDOWN_STATES and FROM_NODE in (error.diag.context or ""):
        return NODE_AWAY
    if state not in WITHOUT_STATE:
        return state
    return next((known for pattern, known in STATES_OF_TEXTS if pattern.search(words)), state)


def _table_in(words: str) -> str | None:
    """The table whose constraint the error text names, without the number of a shard; None if it names none.

    If the text names only a constraint, the result is the partition in the constraint's name, else the whole name.
    """
    named = next(filter(None, (pattern.search(words) for pattern in NAMED)), None)
    if named is None:
        return None
    name = SHARD_NUMBER.sub("", named[1])
    partition = PARTITION.search(name)
    return partition[0] if partition else name
