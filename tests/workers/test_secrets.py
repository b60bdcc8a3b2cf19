"""No secret in what a process writes: each is given telltale secrets and made to fail, and its output is searched."""

import base64
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx2 as httpx
import pytest

from tests.cli.shell import Env, Service, run, serving, shell
from tests.ports import free_port
from tests.world import World, eventually

TELLTALE = "telltale"
SECRET_KEY = f"{TELLTALE}-key-of-thirty-two-characters"
LOUD = {"LOG_LEVEL": "DEBUG", "SPENDGATE_SECRET_KEY": SECRET_KEY, "SPENDGATE_WORKER_PROCESSES": "1"}
PROCESSES = (("-m", "workers"), ("-m", "workers.scheduler"), ("-m", "web"), ("-m", "cli.main", "up"))
COMMANDS = (
    *(("status",), ("verify",), ("migrate",), ("create-roles",), ("create-roles", "--dry-run"), ("explain", "1")),
    *(("check-campaign-statuses",), ("rejected", "replay"), ("brand", "list"), ("report",), ("send", "-")),
    *(("create-admin", "telltale-free@example.com", "--password-stdin"), ("create-api-key", "trial")),
)
PASSWORDS = {f"SPENDGATE_{role}_PASSWORD": f"{TELLTALE}-{role}" for role in ("MIGRATOR", "WORKER", "WEB", "READER")}
BAD_URLS = (
    *(("DATABASE_URL", f"{scheme}://app:{TELLTALE}@127.0.0.1:1/db") for scheme in ("mysql", "http", "")),
    ("DATABASE_URL", f"postgresql://app:{TELLTALE}@127.0.0.1:port/db"),
    ("DATABASE_URL", f"postgresql://app:a/{TELLTALE}@127.0.0.1:1/db"),
    ("DATABASE_URL", f"postgresql://app:a#{TELLTALE}@127.0.0.1:1/db"),
    ("DATABASE_URL", f"postgresql://app:a[{TELLTALE}@127.0.0.1:1/db"),
    ("DATABASE_URL", f"postgresql://app:a@{TELLTALE}@127.0.0.1:1/db"),
    ("DATABASE_URL", f"postgresql://app:%zz{TELLTALE}@127.0.0.1:1/db"),
    ("DATABASE_URL", f"postgresql://app@127.0.0.1:1/db?password={TELLTALE}&unheard=of"),
    ("REDIS_URL", f"http://app:{TELLTALE}@127.0.0.1:1/0"),
    ("REDIS_URL", f"redis://app:{TELLTALE}@127.0.0.1:port/0"),
    ("REDIS_URL", f"redis://app:a/{TELLTALE}@127.0.0.1:1/0"),
    ("REDIS_URL", f"redis://app:a[{TELLTALE}@127.0.0.1:1/0"),
    ("REDIS_URL", f"redis://app:a@{TELLTALE}@127.0.0.1:1/0"),
    ("BROKER_URL", f"amqp://app:{TELLTALE}@127.0.0.1:1/%2F"),
    ("BROKER_URL", f"amqp://app:{TELLTALE}@127.0.0.1:port/%2F"),
    ("SPENDGATE_SECRET_KEY", f"short-{TELLTALE}"),
)


def told_none(text: str, *more: str) -> None:
    """Fails where the text holds a secret, as it is or as a URL, a header or a log spells it."""
    for secret in (TELLTALE, *more):
        for spelt in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")):
            assert spelt not in text.replace("telltale-free", ""), text


def away() -> dict[str, str]:
    return {
        "DATABASE_URL": f"postgresql://app:{TELLTALE}@127.0.0.1:1/db",
        "REDIS_URL": f"redis://app:{TELLTALE}@127.0.0.1:1/0",
    }


def wrong() -> dict[str, str]:
    """The servers there are, with passwords that are not theirs."""
    urls = {}
    for variable in ("DATABASE_URL", "REDIS_URL"):
        split = urlsplit(os.environ[variable])
        login = f"{split.username or ''}:{TELLTALE}@{split.hostname}:{split.port}"
        urls[variable] = split._replace(netloc=login).geturl()
    return urls


@pytest.mark.parametrize("servers", [away, wrong])
def test_commands_that_fail_name_no_secret(database: str, servers: type[dict[str, str]]) -> None:
    env = {**LOUD, **PASSWORDS, **servers()}

    def written(command: tuple[str, ...]) -> str:
        told = shell(*command, env=env, stdin=f"{TELLTALE}-of-a-person\n")
        assert told.code != 0, command
        return f"{command}: {told.out}{told.err}"

    with ThreadPoolExecutor(3) as pool:
        for text in pool.map(written, COMMANDS):
            told_none(text)
            assert "Traceback" not in text, text


@pytest.mark.parametrize(("variable", "value"), BAD_URLS)
def test_a_url_that_cannot_be_used_is_not_repeated(database: str, variable: str, value: str) -> None:
    env: Env = {**LOUD, variable: value}
    command = ("send", "-") if variable in {"REDIS_URL", "BROKER_URL"} else ("status",)
    for told in (shell(*command, env=env, stdin="{}\n"), run("-m", "workers.main", env=env)):
        told_none(told.out + told.err)


def _ended_or_said(service: Service, lines: int) -> bool:
    return service.process.poll() is not None or len(service.lines()) >= lines


@pytest.mark.parametrize("servers", [away, wrong])
@pytest.mark.parametrize("process", PROCESSES, ids=lambda argv: argv[-1])
def test_processes_whose_servers_fail_name_no_secret(
    database: str, tmp_path: Path, process: tuple[str, ...], servers: type[dict[str, str]]
) -> None:
    port = free_port()
    env = {**LOUD, **servers(), "PORT": str(port)}
    with serving(*process, output=tmp_path / "output", env=env) as service:
        if process[-1] == "web":
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as browser:
                eventually(lambda: answers(browser))
                for path in ("/", "/readyz", "/metrics", "/api/brands/", "/admin/"):
                    told_none(browser.get(path, headers={"Authorization": f"Bearer sg_{TELLTALE}"}).text)
        else:
            eventually(lambda: _ended_or_said(service, 2))
    told_none((tmp_path / "output").read_text())


def answers(browser: httpx.Client) -> bool:
    try:
        return browser.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[tuple[httpx.Client, Path]]:
    """`python -m web` at its loudest on the test's database, and a browser for it."""
    port = free_port()
    env = {**LOUD, "DATABASE_URL": world.url, "PORT": str(port)}
    with (
        serving("-m", "web", output=tmp_path / "output", env=env),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as browser,
    ):
        eventually(lambda: answers(browser))
        yield browser, tmp_path / "output"


def sign_in(browser: httpx.Client, password: str) -> httpx.Response:
    browser.get("/admin/login")
    token = browser.cookies["starlette_admin_csrftoken"]
    fields = {"csrftoken": token, "username": "me@example.com", "password": password}
    return browser.post("/admin/login", data=fields)


def test_what_people_and_programs_show_who_they_are_with_is_not_logged(
    site: tuple[httpx.Client, Path], world: World
) -> None:
    browser, output = site
    password = f"{TELLTALE}-of-a-person"
    made = shell("create-admin", "me@example.com", "--password-stdin", stdin=f"{password}\n")
    told_none(made.out + made.err)
    key = shell("create-api-key", "trial", "--json").data["key"]
    assert sign_in(browser, f"{TELLTALE}-mistyped").status_code != 303
    assert sign_in(browser, password).status_code == 303
    session = next(value for name, value in browser.cookies.items() if "csrf" not in name)
    shown = [f"Bearer {key}", f"Bearer {key[:-1]}x", f"Basic {base64.b64encode(b'me:telltale').decode()}", TELLTALE]

    def ask() -> None:
        for header in shown:
            headers = {"Authorization": header, "Idempotency-Key": TELLTALE}
            browser.get("/api/brands/", headers=headers)
            browser.post("/api/brands/", headers=headers, json={"name": TELLTALE * 9, "currency": TELLTALE})
        browser.get("/admin/user/list")
        browser.get(f"/?token={TELLTALE}")
        browser.post("/admin/user/create", data={"csrftoken": TELLTALE, "password": TELLTALE})

    ask()
    # Mid-request, each of its own way: no such table, a table that takes nothing, no such function.
    world.execute("ALTER TABLE brands RENAME TO away")
    ask()
    world.execute("ALTER TABLE user_sessions ADD CHECK (user_id < 0) NOT VALID")
    browser.cookies.clear()
    assert sign_in(browser, password).status_code >= 400
    world.execute("ALTER TABLE users RENAME TO away_too")
    ask()
    assert sign_in(browser, password).status_code >= 400
    text = output.read_text()
    assert "http.failed" in text, "nothing failed"
    told_none(text, key, key[:-1], session, SECRET_KEY, "$argon2id$")
    digests = [bytes(row["token_hash"]) for row in world.rows("SELECT token_hash FROM user_sessions")]
    assert digests
    assert not re.search("|".join(digest.hex() for digest in digests), text)


def test_upkeep_that_needs_a_password_puts_none_on_a_command_line(database: str, tmp_path: Path) -> None:
    env = {**LOUD, "DATABASE_URL": database, "MIGRATOR_DATABASE_URL": "", "PORT": str(free_port())}
    with serving("-m", "workers", output=tmp_path / "output", env=env) as service:
        eventually(lambda: any("worker.ready" in line for line in service.lines()))
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    password = urlsplit(database).password
    assert password
    assert not [line for line in lines if password.encode() in line and b"workers" in line]
