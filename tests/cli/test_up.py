"""`spendgate up` as a newcomer starts it: an empty folder, no server, no setting."""

import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import psycopg
import pytest

from runtime.embedded import servers as embedded
from runtime.settings import settings
from tests.cli.conftest import Spendgate
from tests.cli.shell import UNCHANGED, Env, Service, Told, serving, shell
from tests.folders import new_folder
from tests.ports import free_port, listens
from tests.runtime.test_addresses import on_ipv6
from tests.world import UNIT, World, eventually

START_SECONDS = 60
LOGINS = {
    "web": "spendgate_web",
    "workers": "spendgate_worker",
    "workers.scheduler": "spendgate_worker",
    "cli.demo": "spendgate_web",
}
CONNECTED = "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'spendgate'"

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="the system tells no child that its parent died")


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty folder that every user may enter, unlike those of pytest: as root, Postgres runs as nobody."""
    folder = new_folder("test-up-")
    yield folder / "home"
    embedded.erase(folder / "home")
    shutil.rmtree(folder)


def newcomer(home: Path) -> dict[str, str | None]:
    """What a person has set who set nothing but the home."""
    return {"DATABASE_URL": None, "REDIS_URL": None, "PORT": None, "SPENDGATE_HOME": str(home)}


def up(home: Path, *options: str, env: Env = UNCHANGED) -> AbstractContextManager[Service]:
    output = home.with_name("output")
    return serving("-m", "cli.main", "up", *options, output=output, env={**newcomer(home), **env})


def beside(home: Path, *command: str) -> Told:
    """Another command of the same person, who set nothing but the home."""
    return shell(*command, env=newcomer(home))


def page(service: Service) -> str:
    """The page's address, once the service says it."""
    eventually(lambda: bool(service.logged("service.started")), START_SECONDS)
    return str(service.logged("service.started")[0]["page"])


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}readyz").status_code == 200
    except httpx.TransportError:
        return False


def urls(home: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (home / "env").read_text().splitlines())


def ports(home: Path, address: str) -> set[int]:
    """Every port of a running service."""
    return {urlsplit(url).port or 0 for url in (*urls(home).values(), address)}


def processes(home: Path) -> set[int]:
    """All that runs for `home`: the programs by their environment, the servers by the folder they run in."""
    return {int(path.name) for path in Path("/proc").glob("[0-9]*") if _belongs(path, home)}


def _belongs(process: Path, home: Path) -> bool:
    told = b""
    with suppress(OSError):
        told += (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
    with suppress(OSError):
        told += os.fsencode((process / "cwd").readlink())
    return str(home).encode() in told


def paused_by_a_budget(service: Service) -> list[dict[str, Any]]:
    paused = service.logged("campaign.paused")
    return [line for line in paused if any(hold.endswith("_budget") for hold in line["holds"])]


def active_and_inactive(home: Path) -> tuple[int, int]:
    told = beside(home, "status", "--json").data["campaigns"]
    return told.get("active", 0), told.get("inactive", 0)


def assert_leaves_nothing(home: Path, used: set[int]) -> None:
    if sys.platform == "linux":
        assert processes(home) == set()
    assert not any(listens(port) for port in used)
    assert not (home / "env").exists()


def test_the_demo_pauses_campaigns_by_budget_shows_them_and_leaves_nothing_behind(home: Path) -> None:
    with up(home, "--demo") as service:
        address = page(service)
        eventually(lambda: answers(address))
        eventually((home / "env").exists)
        used = ports(home, address)
        assert set(urls(home)) == {"DATABASE_URL", "REDIS_URL"}
        eventually(lambda: "Hudson Shoes" in httpx.get(address).text)
        eventually(lambda: bool(paused_by_a_budget(service)), 90)
        assert "budget is spent" in httpx.get(address).text
        active, inactive = active_and_inactive(home)
        assert active + inactive == 8
        assert inactive >= 2
        service.send(signal.SIGINT)
        assert service.code() == 0
        assert service.logged("service.stopped")
        assert_leaves_nothing(home, used)


def test_in_time_lapse_a_midnight_brings_campaigns_back(home: Path) -> None:
    lapse: Env = {"SPENDGATE_CLOCK_START": "2026-10-30T12:00:00Z", "SPENDGATE_CLOCK_SPEED": "2880"}
    with up(home, "--demo", "--fresh", env=lapse) as service:
        eventually(lambda: len(service.logged("demo.brand_made")) == 3)
        eventually((home / "env").exists)
        brand = next(line for line in service.logged("demo.brand_made") if line["name"] == "Hudson Shoes")
        assert beside(home, "budget", "set", "daily", "20", "--brand", str(brand["brand_id"]), "--yes").code == 0
        if sys.platform == "linux":
            eventually(lambda: logins_of_processes(home) == LOGINS)
        eventually(lambda: logins_connected(home) == set(LOGINS.values()))
        eventually(lambda: bool(brought_back(service)))
        verified = beside(home, "verify", "--json")
        assert verified.code == 0, verified
        service.send(signal.SIGINT)
        assert service.code() == 0
        assert all("2026-10-30" <= line["at"] < "2026-11-08" for line in service.logged())


def logins_of_processes(home: Path) -> dict[str, str]:
    """As whom each program of `up` was told to connect, by its module."""
    told = {}
    for process in (Path("/proc") / str(pid) for pid in processes(home)):
        with suppress(OSError):
            argv, environ = ((process / name).read_text().split("\0") for name in ("cmdline", "environ"))
            if argv[1:2] == ["-m"] and argv[2] in LOGINS:
                url = next(line for line in environ if line.startswith("DATABASE_URL="))
                told[argv[2]] = urlsplit(url.partition("=")[2]).username or ""
    return told


def logins_connected(home: Path) -> set[str]:
    """Who keeps a connection to Postgres."""
    with psycopg.connect(urls(home)["DATABASE_URL"]) as connection:
        return {name for (name,) in connection.execute(CONNECTED).fetchall()}


def brought_back(service: Service) -> list[dict[str, Any]]:
    activated = service.logged("campaign.activated")
    by_the_clock = [line for line in activated if line["cause"] in {"daily_reset", "schedule"}]
    return [line for line in by_the_clock if "brand_daily_budget" in line["holds"]]


@only_linux
def test_a_killed_up_leaves_no_process(home: Path) -> None:
    with up(home, env={"PORT": str(free_port())}) as service:
        address = page(service)
        eventually(lambda: answers(address))
        eventually((home / "env").exists)
        used = ports(home, address)
        assert len(processes(home)) > 5
        service.process.kill()
        service.code()
        eventually(lambda: not processes(home))
        assert not any(listens(port) for port in used)


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=on_ipv6), pytest.param("::", marks=on_ipv6)])
def test_other_programs_are_told_of_the_service_once_it_is_ready(home: Path, host: str) -> None:
    with up(home, env={"SPENDGATE_HOST": host, "PORT": "0"}) as service:
        eventually((home / "env").exists, START_SECONDS)
        address = page(service)
        assert httpx.get(f"{address}readyz").status_code == 200
        assert beside(home, "verify").code == 0
        eventually(lambda: bool(service.logged("service.ready")))
        assert [line["page"] for line in service.logged() if "page" in line] == [address] * 3
        assert address == f"http://{'127.0.0.1' if host == '127.0.0.1' else '[::1]'}:{urlsplit(address).port}/"
        service.send(signal.SIGTERM)
        assert service.code() == 0
        assert not (home / "env").exists()


def test_fresh_erases_nothing_but_the_embedded_servers_data_and_the_end_comes_by_itself(home: Path) -> None:
    home.mkdir()
    (home / "thesis.txt").write_text("the only copy")
    told = shell("up", "--fresh", "--seconds", "1", env={**newcomer(home), "PORT": str(free_port())})
    assert (home / "thesis.txt").read_text() == "the only copy"
    assert told.code == 0, told
    assert json.loads(told.out.splitlines()[-1])["event"] == "service.stopped"


def test_servers_of_your_own_are_used_where_both_are_set(
    world: World, spendgate: Spendgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = world.campaign(world.brand())
    for name, value in (("PORT", str(free_port())), ("SPENDGATE_HOME", os.environ.get("SPENDGATE_HOME", ".spendgate"))):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("MIGRATOR_DATABASE_URL", world.url)
    settings.cache_clear()
    spendgate("send", "-", stdin=json.dumps(world.event(campaign, UNIT)))
    with ThreadPoolExecutor(1) as pool:
        pressed = pool.submit(press_ctrl_c_when, lambda: world.spent(campaign) == UNIT)
        assert spendgate("up").code == 0
        pressed.result()
    world.verify()


def press_ctrl_c_when(done: Callable[[], bool]) -> None:
    try:
        eventually(done, START_SECONDS)
    finally:
        signal.raise_signal(signal.SIGINT)


def in_a_device(_: Path) -> Path:
    return Path("/dev/null/home")


def a_file(folder: Path) -> Path:
    (folder / "home").write_text("not a folder")
    return folder / "home"


def too_long(folder: Path) -> Path:
    return folder / ("x" * 300)


def a_link_to_itself(folder: Path) -> Path:
    (folder / "home").symlink_to(folder / "home")
    return folder / "home"


def where_none_may_write(_: Path) -> Path:
    return Path("/proc/home")


@pytest.mark.parametrize("options", [(), ("--fresh",)], ids=str)
@pytest.mark.parametrize("made", [in_a_device, a_file, too_long, a_link_to_itself, where_none_may_write])
def test_a_home_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, made: Callable[[Path], Path], options: tuple[str, ...]
) -> None:
    told = shell("up", *options, env=newcomer(made(tmp_path)))
    assert told.code == 2
    assert told.err.startswith("SPENDGATE_HOME: ")
    assert told.err.count("\n") == 1


def test_a_port_that_is_none_is_refused_in_one_line(home: Path) -> None:
    told = shell("up", env={**newcomer(home), "PORT": "eighty"})
    assert told.code == 2
    assert told.err.startswith("PORT: ")
    assert told.err.count("\n") == 1


def test_a_port_in_use_is_refused_in_one_line(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = shell("up", "--seconds", "10", env={**newcomer(home), "PORT": port})
    assert told.code == 2
    assert "PORT" in told.err
    assert port in told.err


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/x", "REDIS_URL": None}, "REDIS_URL"),
        ({"DATABASE_URL": None, "REDIS_URL": "redis://:hidden@127.0.0.1:1/0"}, "DATABASE_URL"),
    ],
)
def test_one_server_without_the_other_is_refused_by_the_name_of_the_missing_one(
    home: Path, given: dict[str, str | None], missing: str
) -> None:
    told = shell("up", env={**newcomer(home), **given})
    assert told.code == 2
    assert told.err.startswith(f"{missing}: ")
    assert told.err.count("\n") == 1
    assert "hidden" not in told.err
