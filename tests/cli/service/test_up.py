"""`spendgate up` in an empty folder, without servers or settings, as a new user runs it."""

import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import psycopg
import pytest

from cli.service import commands
from runtime.embedded import servers as embedded
from runtime.embedded.supervisor import Program
from runtime.settings import settings
from tests.cli.conftest import Spendgate
from tests.cli.shell import UNCHANGED, CommandResult, Env, Service, serving, shell
from tests.folders import new_folder
from tests.ports import free_port, listens
from tests.runtime.test_listening import on_ipv6
from tests.world import UNIT, World, eventually

START_SECONDS = 60
LOGINS = {
    "web": "spendgate_web",
    "workers": "spendgate_worker",
    "workers.scheduler": "spendgate_worker",
    "cli.service.demo": "spendgate_web",
}
CONNECTED = "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name = 'spendgate'"

only_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="this system does not signal a child when its parent dies"
)


@pytest.fixture
def home() -> Iterator[Path]:
    """Yields an empty folder that every user may enter, because Postgres runs as `nobody` if the test runs as root."""
    folder = new_folder("test-up-")
    yield folder / "home"
    embedded.erase(folder / "home")
    shutil.rmtree(folder)


def newcomer(home: Path) -> dict[str, str | None]:
    """Returns an environment without any setting except SPENDGATE_HOME."""
    return {"DATABASE_URL": None, "REDIS_URL": None, "PORT": None, "SPENDGATE_HOME": str(home)}


def up(home: Path, *options: str, env: Env = UNCHANGED) -> AbstractContextManager[Service]:
    output = home.with_name("output")
    return serving("-m", "cli", "up", *options, output=output, env={**newcomer(home), **env}, by_exec=True)


def run_command(home: Path, *command: str) -> CommandResult:
    """Runs another `spendgate` command with only SPENDGATE_HOME set."""
    return shell(*command, env=newcomer(home))


def page(service: Service) -> str:
    """Waits until the service logs the address of its page and returns it."""
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
    """Returns every port of a running service."""
    return {urlsplit(url).port or 0 for url in (*urls(home).values(), address)}


def processes(home: Path) -> set[int]:
    """Returns the ids of all processes of `home`, found by environment, command line and working folder."""
    return {int(path.name) for path in Path("/proc").glob("[0-9]*") if _belongs(path, home)}


def _belongs(process: Path, home: Path) -> bool:
    facts = b""
    with suppress(OSError):
        facts += (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
    with suppress(OSError):
        facts += os.fsencode((process / "cwd").readlink())
    return str(home).encode() in facts


def paused_by_a_budget(service: Service) -> list[dict[str, Any]]:
    paused = service.logged("campaign.paused")
    return [line for line in paused if any(hold.endswith("_budget") for hold in line["holds"])]


def active_and_inactive(home: Path) -> tuple[int, int]:
    campaigns = run_command(home, "status", "--json").data["campaigns"]
    return campaigns.get("active", 0), campaigns.get("inactive", 0)


def assert_leaves_nothing(home: Path, used: set[int]) -> None:
    if sys.platform == "linux":
        assert processes(home) == set()
    assert not any(listens(port) for port in used)
    assert not (home / "env").exists()


def test_up_demo_pauses_by_budget_here_and_on_the_fake_platform_and_leaves_no_process_or_file(home: Path) -> None:
    with up(home, "--demo") as service:
        address = page(service)
        there = str(service.logged("service.started")[0]["platform_page"])
        eventually(lambda: answers(address))
        eventually((home / "env").exists)
        used = {*ports(home, address), urlsplit(there).port or 0}
        assert set(urls(home)) == {"DATABASE_URL", "REDIS_URL", "SPENDGATE_ENCRYPTION_KEYS"}
        eventually(lambda: "Hudson Shoes" in httpx.get(address).text)
        eventually(lambda: bool(paused_by_a_budget(service)), 90)
        assert "budget is spent" in httpx.get(address).text
        active, inactive = active_and_inactive(home)
        assert active + inactive == 8
        assert inactive >= 2
        eventually(lambda: bool(stopped_by_a_budget(service)), 120)
        stays_stopped_there(home, service, there)
        assert run_command(home, "verify").code == 0
        service.send(signal.SIGINT)
        assert service.code() == 0
        assert service.logged("service.stopped")
        assert_leaves_nothing(home, used)


def stays_stopped_there(home: Path, service: Service, there: str) -> None:
    """Fails unless a campaign that a budget stopped is paused on the platform and spends nothing any more."""
    campaign = stopped_by_a_budget(service)[0]["campaign_id"]
    eventually(lambda: is_explained_as_confirmed(home, campaign), 60)
    name = run_command(home, "explain", str(campaign), "--json").data["name"]
    eventually(lambda: status_there(there, name)[0] == "paused")
    assert run_command(home, "platform", "check", "1", "--json").data["campaigns_there"] > 0
    reads, before = len(service.logged("platform.spend_read")), status_there(there, name)
    eventually(lambda: len(service.logged("platform.spend_read")) > reads + 3)
    after = status_there(there, name)
    assert before[0] == "paused"
    assert after[0] == "enabled" or after[1] <= before[1]
    assert before[1] > 0


def is_explained_as_confirmed(home: Path, campaign: int) -> bool:
    """Returns whether `explain` says that the pause is confirmed, and how long that took."""
    on_platform = run_command(home, "explain", str(campaign), "--json").data["on_platform"]
    return on_platform["confirmed"] == "paused" and (on_platform["delay_seconds"] or 0) > 0


def stopped_by_a_budget(service: Service) -> list[dict[str, Any]]:
    """Returns the confirmations of pauses on the platform of campaigns that a budget paused before."""
    paused = {line["campaign_id"] for line in paused_by_a_budget(service)}
    confirmed = service.logged("platform.confirmed")
    return [line for line in confirmed if line["action"] == "pause" and line["campaign_id"] in paused]


def status_there(there: str, name: str) -> tuple[str, int]:
    """Returns the campaign's status and today's spend in cents, as the fake platform's page shows them."""
    cells = re.search(rf'<td>{re.escape(name)} .*?</td><td class="(\w+)">.*?>([\d.]+)</td>', httpx.get(there).text)
    assert cells is not None
    return cells[1], int(cells[2].replace(".", ""))


def test_up_demo_in_time_lapse_resumes_campaigns_at_midnight(home: Path) -> None:
    lapse: Env = {"SPENDGATE_CLOCK_START": "2026-10-30T12:00:00Z", "SPENDGATE_CLOCK_SPEED": "2880"}
    with up(home, "--demo", "--fresh", env=lapse) as service:
        eventually(lambda: len(service.logged("demo.brand_made")) == 3)
        eventually((home / "env").exists)
        brand = next(line for line in service.logged("demo.brand_made") if line["name"] == "Hudson Shoes")
        assert run_command(home, "budget", "set", "daily", "20", "--brand", str(brand["brand_id"]), "--yes").code == 0
        if sys.platform == "linux":
            eventually(lambda: logins_of_processes(home) == LOGINS)
        eventually(lambda: logins_connected(home) == set(LOGINS.values()))
        eventually(lambda: bool(brought_back(service)))
        verified = run_command(home, "verify", "--json")
        assert verified.code == 0, verified
        service.send(signal.SIGINT)
        assert service.code() == 0
        assert all("2026-10-30" <= line["at"] < "2026-11-08" for line in service.logged())


def logins_of_processes(home: Path) -> dict[str, str]:
    """Returns the database login in the environment of each program of `up`, by module name."""
    logins = {}
    for process in (Path("/proc") / str(pid) for pid in processes(home)):
        with suppress(OSError):
            argv, environ = ((process / name).read_text().split("\0") for name in ("cmdline", "environ"))
            if argv[1:2] == ["-m"] and argv[2] in LOGINS:
                url = next(line for line in environ if line.startswith("DATABASE_URL="))
                logins[argv[2]] = urlsplit(url.partition("=")[2]).username or ""
    return logins


def logins_connected(home: Path) -> set[str]:
    """Returns the logins that have a connection to Postgres."""
    with psycopg.connect(urls(home)["DATABASE_URL"]) as connection:
        return {name for (name,) in connection.execute(CONNECTED).fetchall()}


def brought_back(service: Service) -> list[dict[str, Any]]:
    activated = service.logged("campaign.activated")
    by_the_clock = [line for line in activated if line["cause"] in {"daily_reset", "schedule"}]
    return [line for line in by_the_clock if "brand_daily_budget" in line["holds"]]


@pytest.mark.parametrize(
    ("host", "number"),
    [
        ("127.0.0.1", signal.SIGTERM),
        pytest.param("::1", signal.SIGTERM, marks=on_ipv6),
        pytest.param("::", signal.SIGKILL, marks=[on_ipv6, only_linux]),
    ],
)
def test_up_writes_the_urls_for_other_programs_once_it_is_ready_and_leaves_no_process(
    home: Path, host: str, number: signal.Signals
) -> None:
    with up(home, env={"SPENDGATE_HOST": host, "PORT": "0"}) as service:
        eventually((home / "env").exists, START_SECONDS)
        address = page(service)
        assert httpx.get(f"{address}readyz").status_code == 200
        assert run_command(home, "verify").code == 0
        eventually(lambda: bool(service.logged("service.ready")))
        assert [line["page"] for line in service.logged() if "page" in line] == [address] * 3
        assert address == f"http://{'127.0.0.1' if host == '127.0.0.1' else '[::1]'}:{urlsplit(address).port}/"
        used = ports(home, address)
        assert sys.platform != "linux" or len(processes(home)) > 5
        service.send(number)
        assert service.code() == (0 if number is signal.SIGTERM else -number)
        eventually(lambda: not processes(home))
        assert not any(listens(port) for port in used)
        assert (home / "env").exists() is (number is signal.SIGKILL)


def test_up_fresh_erases_only_embedded_data_and_seconds_ends_the_run(home: Path) -> None:
    home.mkdir()
    (home / "thesis.txt").write_text("the only copy")
    result = shell("up", "--fresh", "--seconds", "1", env={**newcomer(home), "PORT": str(free_port())})
    assert (home / "thesis.txt").read_text() == "the only copy"
    assert result.code == 0, result
    assert json.loads(result.out.splitlines()[-1])["event"] == "service.stopped"


def test_up_uses_the_servers_whose_urls_are_set(
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


def test_up_gives_each_process_the_urls_of_its_own_users(
    world: World, spendgate: Spendgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", str(free_port()))
    monkeypatch.setenv("LOG_FORMAT", "json")
    own = {"web": "redis://web:a@redis.example/0", "scheduler": "redis://scheduler:b@redis.example/0"}
    for name, url in own.items():
        monkeypatch.setenv(f"{name.upper()}_REDIS_URL", url)
    monkeypatch.setenv("MIGRATOR_DATABASE_URL", world.url)
    monkeypatch.setenv("WORKER_DATABASE_URL", f"{world.url}?application_name=worker")
    settings.cache_clear()
    started: list[Program] = []

    def supervise(programs: Sequence[Program], **_: object) -> int:
        started.extend(programs)
        assert not os.environ.keys() & {*commands.REDIS_URLS.values(), "WORKER_DATABASE_URL"}
        return 0

    monkeypatch.setattr(commands, "supervise", supervise)
    assert spendgate("up").code == 0
    assert {one.name: one.env.get("REDIS_URL") for one in started} == {"worker": None} | own
    databases = {one.name: "application_name" in one.env["DATABASE_URL"] for one in started}
    assert databases == {"web": False, "worker": True, "scheduler": True}


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
def test_up_refuses_an_unusable_home_in_one_line(
    tmp_path: Path, made: Callable[[Path], Path], options: tuple[str, ...]
) -> None:
    result = shell("up", *options, env=newcomer(made(tmp_path)))
    assert result.code == 2
    assert result.err.startswith("SPENDGATE_HOME: ")
    assert result.err.count("\n") == 1


def test_up_refuses_a_malformed_port_in_one_line(home: Path) -> None:
    result = shell("up", env={**newcomer(home), "PORT": "eighty"})
    assert result.code == 2
    assert result.err.startswith("PORT: ")
    assert result.err.count("\n") == 1


def test_up_refuses_a_port_in_use(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = shell("up", "--seconds", "10", env={**newcomer(home), "PORT": port})
    assert result.code == 2
    assert "PORT" in result.err
    assert port in result.err


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/x", "REDIS_URL": None}, "REDIS_URL"),
        ({"DATABASE_URL": None, "REDIS_URL": "redis://:hidden@127.0.0.1:1/0"}, "DATABASE_URL"),
    ],
)
def test_up_with_one_server_url_names_the_missing_one(home: Path, given: dict[str, str | None], missing: str) -> None:
    result = shell("up", env={**newcomer(home), **given})
    assert result.code == 2
    assert result.err.startswith(f"{missing}: ")
    assert result.err.count("\n") == 1
    assert "hidden" not in result.err
