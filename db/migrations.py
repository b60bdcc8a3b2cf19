"""Revisions of the tables: which there are, which the database has, and how it moves from one to another."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # importing alembic takes 0.2 s, which most processes do not need
    from alembic.config import Config
    from alembic.script import ScriptDirectory

ROOT = Path(__file__).resolve().parents[1]


class Revision(NamedTuple):
    """A revision of the tables: its id, and the first line of its docstring."""

    id: str
    title: str


def config() -> "Config":
    """alembic's configuration for the migrations of this version."""
    from alembic.config import Config  # noqa: PLC0415

    made = Config(ROOT / "alembic.ini")
    made.set_main_option("script_location", str(ROOT / "alembic"))
    return made


def scripts() -> "ScriptDirectory":
    """The migrations of this version."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    return ScriptDirectory.from_config(config())


def revisions() -> list[Revision]:
    """Every revision of this version, the oldest first."""
    newest_first = scripts().walk_revisions()
    return [Revision(one.revision, one.doc) for one in newest_first][::-1]
