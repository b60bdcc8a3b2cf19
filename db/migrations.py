"""Revisions of the tables: which there are, which the database has, and how it moves from one to another."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog
from sqlalchemy.exc import DBAPIError

from db.pool import unpooled_engine
from db.repository.health import servers
from domain.errors import InvalidValue
from runtime.backoff import pause_seconds

if TYPE_CHECKING:  # importing alembic takes 0.2 s, which most processes do not need
    from alembic.config import Config

log = structlog.get_logger()

INSTALLED: Final = Path(__file__).with_name("alembic")
"""The folder of migrations in a wheel: within `db`, because a top-level folder `alembic` would hide the library."""

SCRIPTS: Final = INSTALLED if INSTALLED.is_dir() else Path(__file__).resolve().parents[1] / "alembic"
HEAD: Final = "head"
BASE: Final = "base"
"""The revision before the first: a database without tables."""

FIRST_LOCK_TIMEOUT_MS: Final = 500
"""The lock timeout of most tries at a migration, in ms.

Shorter than Postgres's deadlock_timeout (1 s), after which Postgres could cancel a worker's transaction instead.
"""

LONG_LOCK_TIMEOUT_MS: Final = 1_500
"""The lock timeout of every LONG_EVERY-th try at a migration, in ms.

Long enough for Postgres to cancel an autovacuum that holds the lock.
"""

LONG_EVERY: Final = 5
"""Each try whose number is a multiple of this has LONG_LOCK_TIMEOUT_MS; the others have FIRST_LOCK_TIMEOUT_MS."""

PATIENCE_SECONDS: Final = 180.0
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 3.0
RETRIED_STATES: Final = frozenset({"40P01", "55P03"})
"""SQLSTATEs of a deadlock and a lock timeout, after which the rolled back revision is tried again."""


class Revision(NamedTuple):
    """A revision of the tables: its id, and the first line of its docstring."""

    id: str
    title: str


def config() -> "Config":
    """alembic's configuration for the migrations of this version."""
    from alembic.config import Config  # noqa: PLC0415

    made = Config()
    made.set_main_option("script_location", str(SCRIPTS))
    return made


def revisions() -> list[Revision]:
    """Every revision of this version, the oldest first."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    newest_first = ScriptDirectory.from_config(config()).walk_revisions()
    return [Revision(one.revision, one.doc) for one in newest_first][::-1]


def stored() -> str:
    """The id of the revision of the database at DATABASE_URL; BASE if it has no tables."""
    with unpooled_engine().connect() as connection:
        return servers.revision(connection) or BASE


def upgrade(revision: str = HEAD, using: "Config | None" = None) -> None:
    """Brings the database at DATABASE_URL forward to a revision, one transaction a revision.

    Tries again after a deadlock, a lock timeout, and if another process migrates at the same time, for
    PATIENCE_SECONDS, then raises the last error; revisions that are done stay done. Raises InvalidValue if this version
    does not know the revision, or does not know the revision of the database. `using`: the Alembic configuration; None:
    `config()`.
    """
    from alembic import command  # noqa: PLC0415

    if using is None and stored() == (revisions()[-1].id if revision == HEAD else revision):
        return
    _retried(command.upgrade, using or config(), revision)


def downgrade(revision: str, using: "Config | None" = None) -> None:
    """Takes the database at DATABASE_URL back to a revision, or to BASE.

    Tries again after a deadlock or a lock timeout, for PATIENCE_SECONDS, then raises the last error. Raises
    InvalidValue if this version does not know the revision, or does not know the revision of the database. `using`: the
    Alembic configuration; None: `config()`.
    """
    from alembic import command  # noqa: PLC0415

    _retried(command.downgrade, using or config(), revision)


def _retried(run: Callable[["Config", str], None], using: "Config", revision: str) -> None:
    from alembic.util import CommandError  # noqa: PLC0415

    deadline = time.monotonic() + PATIENCE_SECONDS
    for attempt in itertools.count(1):
        using.attributes["lock_timeout_ms"] = FIRST_LOCK_TIMEOUT_MS if attempt % LONG_EVERY else LONG_LOCK_TIMEOUT_MS
        before = stored()
        try:
            run(using, revision)
        except (CommandError, DBAPIError) as error:
            if time.monotonic() > deadline or not (_is_contention(error) or stored() != before):
                if isinstance(error, CommandError):
                    raise InvalidValue("revision", str(error)) from None
                raise
            log.warning("migration.retried", attempt=attempt, error=type(getattr(error, "orig", error)).__name__)
        else:
            return
        time.sleep(pause_seconds(attempt, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))


def _is_contention(error: Exception) -> bool:
    return getattr(getattr(error, "orig", None), "sqlstate", None) in RETRIED_STATES
