"""`spendgate migrate`: forward, back, and a refusal where nothing was done."""

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import ProgrammingError

from db import migrations
from tests.cli.shell import CommandResult, shell
from tests.world import World

HEAD = migrations.revisions()[-1].id
BEFORE = migrations.revisions()[-2].id


@pytest.fixture
def login() -> None:
    """Every command of these tests connects as the owner of the tables."""


def stored(world: World) -> str:
    """The revision in the database."""
    return str(world.one("SELECT version_num FROM alembic_version")["version_num"])


def assert_refused(result: CommandResult, *words: str) -> None:
    assert (result.code, result.out) == (2, ""), result
    assert result.err.count("\n") == 1
    assert all(word in result.err for word in words), result.err


def test_migrate_goes_back_one_revision_and_forward_again(world: World) -> None:
    back = shell("migrate", "--down", BEFORE)
    assert (back.code, back.out) == (0, f"the database is at {BEFORE}\n"), back
    assert stored(world) == BEFORE
    assert shell("migrate").out == f"the database is at {HEAD}\n"
    assert stored(world) == HEAD
    assert shell("migrate").out == f"the database is at {HEAD} already\n"


@pytest.mark.parametrize("raised", [CommandError("one row expected"), ProgrammingError("CREATE", None, Exception())])
def test_migration_that_another_process_overtakes_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    migrations.downgrade(BEFORE)
    upgrade, calls = command.upgrade, list[str]()

    def overtaken(using: Config, revision: str) -> None:
        upgrade(using, revision)
        calls.append(revision)
        if len(calls) == 1:
            raise raised

    monkeypatch.setattr(command, "upgrade", overtaken)
    migrations.upgrade()
    assert stored(world) == HEAD
    assert len(calls) == 2


def test_migration_that_fails_by_itself_is_not_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    migrations.downgrade(BEFORE)
    calls = []

    def failing(_using: Config, revision: str) -> None:
        calls.append(revision)
        raise ProgrammingError("CREATE", None, Exception())

    monkeypatch.setattr(command, "upgrade", failing)
    with pytest.raises(ProgrammingError):
        migrations.upgrade()
    assert (len(calls), stored(world)) == (1, BEFORE)


def test_dry_run_lists_revisions_and_changes_nothing(world: World) -> None:
    listed = shell("migrate", "--down", "0016", "--dry-run", "--json").data
    assert [one["id"] for one in listed["revisions"]][-1] == "0017"
    assert listed["at"] == stored(world) == HEAD
    world.execute("UPDATE alembic_version SET version_num = '0016'")
    pending = shell("migrate", "--dry-run")
    assert "their canonical names" in pending.out
    assert pending.out.endswith("the database is at 0016\n")
    assert stored(world) == "0016"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("0004",), (f"the database is at {HEAD}, after 0004", "spendgate migrate --down 0004")),
        (("--down", HEAD), (f"the database is at {HEAD}", "no revision after")),
        (("--down", "0404"), ("0404 does not exist", HEAD)),
        (("0404",), ("0404 does not exist",)),
        (("0016", "--down", "0004"), ("give either a revision",)),
    ],
)
def test_migrate_refuses_a_revision_to_which_it_cannot_move(
    world: World, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_refused(shell("migrate", *arguments), *words)
    assert stored(world) == HEAD


def test_migrate_refuses_tables_of_a_later_version(world: World) -> None:
    world.execute("UPDATE alembic_version SET version_num = '9999'")
    assert_refused(shell("migrate"), "the database is at 9999", "later version")
