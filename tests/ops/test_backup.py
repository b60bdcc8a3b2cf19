"""The commands of the page on backups, run in their order on real servers: dump, restore, any moment.

They run on the embedded Postgres, and on Debian's where its package is installed, or on that of the folder of programs
that SPENDGATE_TEST_POSTGRES names.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import urlsplit

import psycopg
import pytest

from db.engine import committed, snapshot
from db.repository.ledger import ledger
from db.repository.reading import status_feed
from runtime.embedded import servers as embedded
from runtime.embedded.home import passwords_of
from runtime.embedded.placement import server_account
from runtime.embedded.programs import Postgres
from tests.docs.commands import commands_of, run_as_written
from tests.faults.conftest import at_database, forget_database
from tests.folders import new_folder
from tests.world import World, eventually, moment

PAGE = "backup-and-restore"
SETTINGS = {"max_connections": "60", "fsync": "off"}
A_COMING_MONTH = "2031-05-01T00:00:00Z"

pytestmark = pytest.mark.timeout(600)


class Restored(Postgres):
    """An embedded Postgres whose data folder is a restored base backup."""

    base = Path()

    def _initialise(self, lock: IO[str]) -> None:
        del lock
        shutil.copytree(self.base, self.data)
        self.data.chmod(0o700)
        if self.account is not None:
            for path in (self.data, *self.data.rglob("*")):
                os.chown(path, *self.account)


def installed_programs() -> Path | None:
    """The folder of programs of an installed Postgres; None if there is none."""
    if named := os.environ.get("SPENDGATE_TEST_POSTGRES"):
        return Path(named)
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda folder: int(folder.parent.name), default=None)


class Place(NamedTuple):
    """A folder for backups, the variables of the page, and the server that is backed up."""

    folder: Path
    env: dict[str, str]
    server: Postgres

    def run(self, command: str, **env: str) -> str:
        """Runs a command of the page; returns its output."""
        done = run_as_written(command, self.folder, {**self.env, **env})
        assert done.code == 0, f"{command}\n{done.out}{done.err}"
        return done.out


def serve(stack: ExitStack, server: Postgres) -> str:
    """Starts a server and returns its URL of the database `spendgate`."""
    return server.url(embedded.serve(stack, server)[0], "spendgate")


def home_in(folder: Path, name: str) -> Path:
    """A folder for a server, which the account that runs it can enter."""
    home = folder / name
    (home / "logs").mkdir(parents=True)
    home.chmod(0o755)
    return home


@pytest.fixture
def folder() -> Iterator[Path]:
    made = new_folder("spendgate-backup-")
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(params=["embedded", "installed"])
def programs(request: pytest.FixtureRequest) -> Path | None:
    """The folder of programs of the Postgres to back up; None for the embedded one."""
    if request.param == "embedded":
        return None
    found = installed_programs()
    if found is None:
        pytest.skip("no Postgres is installed here: install Debian's package `postgresql`")
    return found


@pytest.fixture
def place(folder: Path, programs: Path | None) -> Place:
    """The variables of the page; the server is not yet started."""
    home = home_in(folder, "home")
    archive = folder / "archive"
    archive.mkdir()
    archive.chmod(0o777)
    server = Postgres(home, passwords_of(home)[0], server_account(), SETTINGS)
    env = {"ARCHIVE": str(archive), "BACKUP_PASSWORD": "a-password-for-backups"}
    if programs is not None:
        server.binaries, server.locale = programs, "--locale=C.UTF-8"
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), str(programs), os.environ["PATH"]])
    return Place(folder, env, server)


def use(place: Place, url: str, patch: pytest.MonkeyPatch) -> World:
    """Lets this process and the commands use the server at `url`."""
    at = urlsplit(url)
    backup = at._replace(netloc=f"spendgate_backup:{place.env['BACKUP_PASSWORD']}@127.0.0.1:{at.port}").geturl()
    place.env.update(ADMIN_URL=url, BACKUP_URL=backup, RESTORED_URL=at._replace(path="/restored").geturl())
    at_database(patch, url)
    return World(url, patch)


def epoch() -> str:
    with snapshot() as connection:
        return status_feed.epoch(connection)


def test_commands_of_the_page_back_up_and_restore(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = iter(commands_of(PAGE))
    with ExitStack() as servers:
        world = use(place, serve(servers, place.server), monkeypatch)
        place.run("spendgate migrate", DATABASE_URL=world.url)
        campaign = world.campaign(world.brand(lifetime=10))
        world.spend(campaign, 7)
        place.run("spendgate create-roles", DATABASE_URL=world.url)
        for _ in range(3):
            place.run(next(commands))
        committed(lambda connection: ledger.ensure_partitions(connection, [moment(A_COMING_MONTH).date()]))
        before = epoch()
        place.run(next(commands))  # pg_dump
        with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(place.env["BACKUP_URL"]) as backup:
            backup.execute("DELETE FROM brands")
        world.spend(campaign, 3)
        for _ in range(6 + 2):
            place.run(next(commands))
        world.disconnect()
        forget_database()
        at_database(monkeypatch, place.env["RESTORED_URL"])
        restored = World(place.env["RESTORED_URL"], monkeypatch)
        assert (restored.spent(campaign), restored.is_active(campaign)) == (7, True)
        assert epoch() != before
        assert restored.one("SELECT to_regclass('spend_events_2031_05') IS NOT NULL AS is_there") == {"is_there": True}
        restored.disconnect()
        forget_database()
    with ExitStack() as servers:
        world = use(place, serve(servers, place.server), monkeypatch)
        before = epoch()
        place.run(next(commands))  # pg_basebackup
        world.spend(campaign, 5)
        asked = world.one("SELECT clock_timestamp()::text AS now")["now"]
        world.spend(campaign, 8)
        written = world.one("SELECT pg_walfile_name(pg_switch_wal()) AS name")["name"]
        eventually((Path(place.env["ARCHIVE"]) / written).exists)
        for _ in range(4):
            place.run(next(commands), MOMENT=str(asked))
        assert list(commands) == []
        world.disconnect()
        forget_database()
        home = home_in(place.folder, "second")
        second = Restored(home, place.server.password, server_account(), SETTINGS)
        second.base, second.binaries = place.folder / "base", place.server.binaries
        passwords_of(home)
        back = use(place, serve(servers, second), monkeypatch)
        eventually(lambda: back.one("SELECT pg_is_in_recovery() AS is_replica") == {"is_replica": False})
        assert back.spent(campaign) == 7 + 3 + 5
        assert epoch() != before, "followers notice the other timeline"
        back.verify()
        back.disconnect()
        forget_database()
