"""`spendgate up|new-epoch`: runs the whole service in one terminal; makes consumers of status changes start over."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer

from cli import roles
from cli.output import AsJson, console, print_result
from cli.service import narration, summary
from cli.service.migrate import migrate_to
from db.engine import committed
from db.repository.access.privileges import DatabaseRole
from db.repository.reading import status_feed
from runtime import clock, listening, logs
from runtime.embedded import servers as embedded
from runtime.embedded.home import announce, unusable_home
from runtime.embedded.placement import EmbeddedError
from runtime.embedded.supervisor import Program, supervise
from runtime.settings import SettingsError, environment_settings, settings
from runtime.signals import Stop

PORTS_TRIED = 50
SERVER_POLL_SECONDS = 0.5
READY_POLL_SECONDS = 0.02
ANSWER_SECONDS = 30.0
REDIS_URLS: Final = {"web": "WEB_REDIS_URL", "worker": "WORKER_REDIS_URL", "scheduler": "SCHEDULER_REDIS_URL"}
"""The variable with the URL of a process's own Redis user, by process. Embedded servers do not use these variables."""

log = structlog.get_logger()


def new_epoch(as_json: AsJson = False) -> None:
    """Make every consumer of status changes read them from the start again. Run it after a restore.

    Begins a new epoch, a number by which consumers notice that they must start over.
    """
    epoch = committed(status_feed.begin_epoch)
    print_result({"epoch": epoch}, f"the epoch of status changes is {epoch}", as_json=as_json)


def up(
    demo: Annotated[bool, typer.Option("--demo", help="Add demo brands and simulated spend.")] = False,
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop after this many seconds.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Erase the embedded servers' data in SPENDGATE_HOME first.")
    ] = False,
) -> None:
    """Run the whole service: web, workers, scheduler, and embedded Postgres and Redis if no URL is set.

    Ctrl-C stops all of it. While embedded servers run, other `spendgate` commands find them without any setting.
    """
    stop = Stop()
    with stop.on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        code = _up(stop, demo=demo, seconds=seconds, fresh=fresh)
    if code:
        raise typer.Exit(code)


def _up(stop: Stop, *, demo: bool, seconds: float | None, fresh: bool) -> int:
    home = _home()
    os.environ["SPENDGATE_HOME"] = str(home)
    is_watched = "LOG_FORMAT" not in os.environ and sys.stdout.isatty()
    port = _port()  # refuses a port in use before anything is started or erased
    if fresh and environment_settings().database_url is None:
        _erase(home)
    if is_watched:
        console.print("Starting the servers and migrating the database …")
    with _servers(home) as servers:
        _stop_when_dead(servers, stop)
        with narration.narrated() if is_watched else nullcontext():
            code = _run(servers, stop, home, port, demo=demo, seconds=seconds)
        if demo and is_watched and settings().clock_speed > 1:
            summary.print_summaries()
        if servers.have_died():
            raise EmbeddedError(f"an embedded server stopped unexpectedly: see {home / 'logs'}, then start again")
    return code


def _home() -> Path:
    given = settings().home
    try:
        return given.resolve()
    except RuntimeError:
        raise SettingsError(f"SPENDGATE_HOME: {given} is a symbolic link to itself") from None


def _erase(home: Path) -> None:
    try:
        embedded.erase(home)
    except OSError as error:
        raise unusable_home(home, error) from error


@contextmanager
def _servers(home: Path) -> Iterator[embedded.Servers]:
    """Yields the servers whose URLs are set, or embedded ones that stop when the block ends.

    Raises SettingsError if only one of the two URLs is set.
    """
    read = environment_settings()
    if read.database_url and read.queue_url:
        yield embedded.Servers(read.database_url, read.redis_url or "")  # RabbitMQ needs no Redis beside it
        return
    if read.database_url or read.queue_url:
        missing = "REDIS_URL" if read.database_url else "DATABASE_URL"
        raise SettingsError(f"{missing}: not set; set the URLs of both servers, or of neither to run embedded ones")
    with suppress(OSError):
        (home / "clock.json").unlink()
    clock_names = ("SPENDGATE_CLOCK_START", "SPENDGATE_CLOCK_SPEED")
    driven = {name: os.environ[name] for name in clock_names if name in os.environ}
    with embedded.running(home, extra_env=driven, announced=False) as servers:
        yield servers


def _stop_when_dead(servers: embedded.Servers, stop: Stop) -> None:
    """Starts a thread that sets `stop` when an embedded server dies, because no process can work without it."""

    def watch() -> None:
        while not stop.wait(SERVER_POLL_SECONDS):
            if servers.have_died():
                log.error("server.died")
                stop.set()

    threading.Thread(target=watch, daemon=True).start()


def _run(servers: embedded.Servers, stop: Stop, home: Path, port: int, *, demo: bool, seconds: float | None) -> int:
    os.environ.update(DATABASE_URL=servers.database_url, REDIS_URL=servers.redis_url)
    if servers.encryption_key is not None:
        os.environ.setdefault("SPENDGATE_ENCRYPTION_KEYS", servers.encryption_key)
    os.environ["PORT"] = str(port)
    settings.cache_clear()
    clock.reset()
    logs.configure()
    redis_urls, urls = _redis_urls(servers), _urls_of_roles(servers)
    with _platform_of_demo(stop, home) if demo else nullcontext() as platform_page:
        programs = _programs(urls, redis_urls, demo=demo)
        return _run_programs(servers, stop, home, programs, seconds=seconds, platform_page=platform_page)


def _platform_of_demo(stop: Stop, home: Path) -> AbstractContextManager[str]:
    # imported here because no other command needs a web server
    from cli.service.demo_platform import fake_platform  # noqa: PLC0415

    return fake_platform(stop, home)


def _run_programs(
    servers: embedded.Servers,
    stop: Stop,
    home: Path,
    programs: Sequence[Program],
    *,
    seconds: float | None,
    platform_page: str | None,
) -> int:
    """Runs the programs until `stop` is set, or for `seconds`; returns the exit code.

    `seconds` None: no limit. `platform_page`: the fake platform's address; None: this is no demo.
    """
    demo, port = platform_page is not None, settings().port
    log.info(
        "service.started",
        page=listening.page_url(settings().host, port),
        demo=demo,
        platform_page=platform_page and f"{platform_page}/",
    )
    if seconds is not None:
        timer = threading.Timer(seconds, stop.set)
        timer.daemon = True
        timer.start()
    with _announced_when_ready(servers, stop, home):
        code = supervise(programs, stop=stop, grace_seconds=settings().shutdown_seconds + 5)
    log.info("service.stopped")
    return code


@contextmanager
def _announced_when_ready(servers: embedded.Servers, stop: Stop, home: Path) -> Iterator[None]:
    """Writes the URLs of embedded servers to `home/env` once the web process is ready.

    At the end of the block, sets `stop` and deletes the file.
    """

    writing = threading.Lock()

    def watch() -> None:
        while not stop.is_set() and not _is_ready():
            stop.wait(READY_POLL_SECONDS)
        with writing:
            if not stop.is_set():
                if servers.processes:
                    _announce(home)
                log.info("service.ready", page=listening.page_url(settings().host, settings().port))

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        stop.set()
        with writing:
            if servers.processes:
                (home / "env").unlink(missing_ok=True)


def _announce(home: Path) -> None:
    try:
        announce(home)
    except OSError as error:
        log.error("service.not_announced", file=str(home / "env"), error=str(error))


def _is_ready() -> bool:
    """Returns whether the web process answers its readiness check with a status below 500."""
    host = settings().host
    with closing(
        HTTPConnection(listening.LOOPBACK_OF_WILDCARD.get(host, host), settings().port, timeout=ANSWER_SECONDS)
    ) as web:
        try:
            web.request("GET", "/readyz")
            return web.getresponse().status < 500
        except (OSError, HTTPException):
            return False


def _urls_of_roles(servers: embedded.Servers) -> dict[DatabaseRole, str]:
    """Migrates the database and returns each role's URL.

    On embedded servers every role gets a new password; otherwise the URL is the role's variable or DATABASE_URL.
    Removes these variables from the environment, and sets DATABASE_URL to the migrator's URL.
    """
    given = {role: os.environ.pop(roles.url_variable(role), "") or servers.database_url for role in DatabaseRole}
    os.environ["DATABASE_URL"] = given[DatabaseRole.MIGRATOR]
    settings.cache_clear()
    migrate_to("head")
    if not servers.processes:
        return given
    with roles.connected() as driver:
        return roles.create(driver, {}, rotate=True)


def _redis_urls(servers: embedded.Servers) -> dict[str, dict[str, str]]:
    """Removes the variables in REDIS_URLS from the environment, so that no process gets another's URL.

    Returns, by process, the variable REDIS_URL with the process's own URL. Processes without a URL of their own are
    left out; with embedded servers, returns an empty dict.
    """
    given = {name: os.environ.pop(variable, "") for name, variable in REDIS_URLS.items()}
    return {name: {"REDIS_URL": url} for name, url in given.items() if url and not servers.processes}


def _programs(
    urls: Mapping[DatabaseRole, str], redis_urls: Mapping[str, dict[str, str]], *, demo: bool
) -> list[Program]:
    web, worker = {"DATABASE_URL": urls[DatabaseRole.WEB]}, {"DATABASE_URL": urls[DatabaseRole.WORKER]}
    modules = {"web": "web", "worker": "workers", "scheduler": "workers.scheduler"}
    if demo:
        modules["demo"] = "cli.service.demo"
    open_dashboard = {"SPENDGATE_OPEN_DASHBOARD": os.environ.get("SPENDGATE_OPEN_DASHBOARD", "true")}
    env = {"web": web | open_dashboard if listening.is_loopback(settings().host) else web, "demo": web}
    return [
        Program(name, (sys.executable, "-m", module), env.get(name, worker) | redis_urls.get(name, {}))
        for name, module in modules.items()
    ]


def _port() -> int:
    """Returns PORT if it is set and free; else reserves and returns the first free of PORTS_TRIED ports.

    Tries them from the default on. Raises SettingsError if PORT, or each of them, is in use.
    """
    first = settings().port
    if "port" in settings().model_fields_set:
        return _free_port(first)
    for port in range(first, first + PORTS_TRIED):
        with suppress(listening.PortInUse):
            listening.reserve(port)
            return _free_port(port)
    raise SettingsError(f"PORT: ports {first} to {first + PORTS_TRIED} are all in use; set another")


def _free_port(port: int) -> int:
    """Returns the port if it is free, or for 0 any free port. Raises PortInUse if it is not free."""
    sockets = listening.listening_sockets(settings().host, port)
    try:
        free_port: int = sockets[0].getsockname()[1]
    finally:
        listening.close(sockets)
    return free_port
