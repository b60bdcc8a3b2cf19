"""`spendgate up|migrate`: the whole service in one terminal, and the tables it needs."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import structlog
import typer

from cli import embedded, roles
from cli.output import AsJson, console, tell
from cli.placement import EmbeddedError
from cli.supervisor import Program, supervise
from db.engine import committed
from db.repository import feed
from db.repository.privileges import DatabaseRole
from domain.errors import InvalidValue
from runtime import clock, logs
from runtime.settings import Settings, SettingsError, settings
from runtime.signals import Stop

ROOT = Path(__file__).resolve().parent.parent
PORTS_TRIED = 50
SERVER_POLL_SECONDS = 0.5
LOOPBACK = ("127.0.0.1", "::1", "localhost")

log = structlog.get_logger()


def migrate(revision: Annotated[str, typer.Argument(help="Where to: head, or a revision's id.")] = "head") -> None:
    """Bring the database's tables to this version. Safe to run again, and beside running workers."""
    settings().required_database_url()
    migrate_to(revision)
    console.print(f"the database is at {revision}")


def migrate_to(revision: str) -> None:
    """Upgrades the database of the settings. Raises InvalidValue for a revision that does not exist."""
    # a fifth of a second that no other command needs to spend
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(ROOT / "alembic"))
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise InvalidValue("revision", str(error)) from None
    roles.grant_again()


def new_epoch(as_json: AsJson = False) -> None:
    """Tell every follower of status changes to start over: run it after a backup was restored into this database."""
    epoch = committed(feed.begin_epoch)
    tell({"epoch": epoch}, f"the epoch of status changes is {epoch}", as_json=as_json)


def up(
    demo: Annotated[bool, typer.Option("--demo", help="Add brands and live simulated spend.")] = False,
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop by itself after so many seconds.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="First erase the embedded servers' data in SPENDGATE_HOME.")
    ] = False,
) -> None:
    """Run everything: web, workers, scheduler, and real Postgres and Redis where no URL is set.

    Ctrl-C stops all of it. While it runs, every other `spendgate` command finds it by itself.
    """
    stop = Stop()
    with stop.on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        code = _up(stop, demo=demo, seconds=seconds, fresh=fresh)
    if code:
        raise typer.Exit(code)


def _up(stop: Stop, *, demo: bool, seconds: float | None, fresh: bool) -> int:
    home = settings().home.resolve()
    os.environ["SPENDGATE_HOME"] = str(home)
    if "LOG_FORMAT" not in os.environ and sys.stdout.isatty():
        os.environ["LOG_FORMAT"] = "console"
    _port()  # one that cannot be had is refused before anything is started or erased
    if fresh and Settings().database_url is None:
        embedded.erase(home)
    with _servers(home) as servers:
        _stop_when_dead(servers, stop)
        code = _run(servers, stop, demo=demo, seconds=seconds)
        if servers.have_died():
            raise EmbeddedError(f"an embedded server ended by itself: see {home / 'logs'}, then start again")
    return code


@contextmanager
def _servers(home: Path) -> Iterator[embedded.Servers]:
    """The servers whose URLs are set, or embedded ones that live as long as this."""
    read = Settings()
    if read.database_url and read.queue_url:
        yield embedded.Servers(read.database_url, read.redis_url or "")  # RabbitMQ needs no Redis beside it
        return
    if read.database_url or read.queue_url:
        missing = "REDIS_URL" if read.database_url else "DATABASE_URL"
        raise SettingsError(f"{missing}: not set; set both servers, or neither to run embedded ones")
    with suppress(OSError):
        (home / "clock.json").unlink()
    clock_names = ("SPENDGATE_CLOCK_START", "SPENDGATE_CLOCK_SPEED")
    driven = {name: os.environ[name] for name in clock_names if name in os.environ}
    with embedded.running(home, extra_env=driven) as servers:
        yield servers


def _stop_when_dead(servers: embedded.Servers, stop: Stop) -> None:
    """Sets `stop` when an embedded server ends by itself: without it, the processes could only fail."""

    def watch() -> None:
        while not stop.wait(SERVER_POLL_SECONDS):
            if servers.have_died():
                log.error("server.died")
                stop.set()

    threading.Thread(target=watch, daemon=True).start()


def _run(servers: embedded.Servers, stop: Stop, *, demo: bool, seconds: float | None) -> int:
    os.environ.update(DATABASE_URL=servers.database_url, REDIS_URL=servers.redis_url)
    port = _port()
    os.environ["PORT"] = str(port)
    settings.cache_clear()
    clock.reset()
    logs.configure()
    urls = _urls_of_roles(servers)
    log.info("service.started", page=f"http://127.0.0.1:{port}/", demo=demo)
    if seconds is not None:
        timer = threading.Timer(seconds, stop.set)
        timer.daemon = True
        timer.start()
    code = supervise(_programs(urls, demo=demo), stop=stop, grace_seconds=settings().shutdown_seconds + 5)
    log.info("service.stopped")
    return code


def _urls_of_roles(servers: embedded.Servers) -> dict[DatabaseRole, str]:
    """Migrates, and gives each role its URL: made anew on embedded servers, else its variable or DATABASE_URL."""
    given = {role: os.environ.pop(roles.url_variable(role), "") or servers.database_url for role in DatabaseRole}
    os.environ["DATABASE_URL"] = given[DatabaseRole.MIGRATOR]
    settings.cache_clear()
    migrate_to("head")
    if not servers.processes:
        return given
    with roles.connected() as driver:
        return roles.create(driver, {}, rotate=True)


def _programs(urls: Mapping[DatabaseRole, str], *, demo: bool) -> list[Program]:
    web, worker = {"DATABASE_URL": urls[DatabaseRole.WEB]}, {"DATABASE_URL": urls[DatabaseRole.WORKER]}
    modules = {"web": "web", "worker": "workers", "scheduler": "workers.scheduler"}
    if demo:
        modules["demo"] = "cli.demo"
    looks = {"SPENDGATE_OPEN_DASHBOARD": os.environ.get("SPENDGATE_OPEN_DASHBOARD", "true")}
    env = {"web": web | looks if settings().host in LOOPBACK else web, "demo": web}
    return [Program(name, (sys.executable, "-m", module), env.get(name, worker)) for name, module in modules.items()]


def _port() -> int:
    """PORT where it is set, else the first free one from the default on."""
    wanted = settings().port
    if "PORT" in os.environ:
        if wanted and not _is_free(wanted):
            raise SettingsError(f"PORT: {wanted} is in use; set another")
        return wanted
    for port in range(wanted, wanted + PORTS_TRIED):
        if _is_free(port):
            return port
    raise SettingsError(f"PORT: {wanted} to {wanted + PORTS_TRIED} are all in use; set another")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings().host, port))
        except OSError:
            return False
        return True
