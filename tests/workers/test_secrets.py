"""No process writes a secret: the tests give each one marked secrets, make it fail and search its output."""

import base64
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx2 as httpx
import pytest

from tests import citus
from tests.cli.shell import Env, Service, run, serving, shell
from tests.ports import free_port
from tests.world import World, eventually

TELLTALE = "telltale"
SECRET_KEY = f"{TELLTALE}-key-of-thirty-two-characters"
LOUD = {"LOG_LEVEL": "DEBUG", "SPENDGATE_SECRET_KEY": SECRET_KEY, "SPENDGATE_WORKER_PROCESSES": "1"}
PROCESSES = (("-m", "workers"), ("-m", "workers.scheduler"), ("-m", "web"), ("-m", "cli", "up"))
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


def assert_no_secret(text: str, *more: str) -> None:
    """Fails if the text contains a secret, plain, URL-encoded or in base64."""
    for secret in (TELLTALE, *more):
        for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")):
            assert form not in text.replace("telltale-free", ""), text


def unreachable() -> dict[str, str]:
    """Returns URLs of servers that do not exist."""
    return {
        "DATABASE_URL": f"postgresql://app:{TELLTALE}@127.0.0.1:1/db",
        "REDIS_URL": f"redis://app:{TELLTALE}@127.0.0.1:1/0",
    }


def wrong_password() -> dict[str, str]:
    """Returns URLs of the tests' servers with a wrong password."""
    urls = {}
    for variable in ("DATABASE_URL", "REDIS_URL"):
        split = urlsplit(os.environ[variable])
        login = f"{split.username or ''}:{TELLTALE}@{split.hostname}:{split.port}"
        urls[variable] = split._replace(netloc=login).geturl()
    return urls


ASKS_FOR_A_PASSWORD = pytest.mark.skipif(citus.is_used(), reason="the servers of a cluster may ask for no password")


@pytest.mark.parametrize("servers", [unreachable, pytest.param(wrong_password, marks=ASKS_FOR_A_PASSWORD)])
def test_failing_command_prints_no_secret(database: str, servers: type[dict[str, str]]) -> None:
    env = {**LOUD, **PASSWORDS, **servers()}

    def written(command: tuple[str, ...]) -> str:
        result = shell(*command, env=env, stdin=f"{TELLTALE}-of-a-person\n")
        assert result.code != 0, command
        return f"{command}: {result.out}{result.err}"

    with ThreadPoolExecutor(3) as pool:
        for text in pool.map(written, COMMANDS):
            assert_no_secret(text)
            assert "Traceback" not in text, text


@pytest.mark.parametrize(("variable", "value"), BAD_URLS)
def test_bad_url_is_not_printed(database: str, variable: str, value: str) -> None:
    env: Env = {**LOUD, variable: value}
    command = ("send", "-") if variable in {"REDIS_URL", "BROKER_URL"} else ("status",)
    for result in (shell(*command, env=env, stdin="{}\n"), run("-m", "workers.main", env=env)):
        assert_no_secret(result.out + result.err)


def _has_ended_or_written(service: Service, lines: int) -> bool:
    return service.process.poll() is not None or len(service.lines()) >= lines


@pytest.mark.parametrize("servers", [unreachable, wrong_password])
@pytest.mark.parametrize("process", PROCESSES, ids=lambda argv: argv[-1])
def test_process_with_failing_servers_logs_no_secret(
    database: str, tmp_path: Path, process: tuple[str, ...], servers: type[dict[str, str]]
) -> None:
    port = free_port()
    env = {**LOUD, **servers(), "PORT": str(port)}
    with serving(*process, output=tmp_path / "output", env=env) as service:
        if process[-1] == "web":
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as browser:
                eventually(lambda: answers(browser))
                for path in ("/", "/readyz", "/metrics", "/api/brands/", "/admin/"):
                    assert_no_secret(browser.get(path, headers={"Authorization": f"Bearer sg_{TELLTALE}"}).text)
        else:
            eventually(lambda: _has_ended_or_written(service, 2))
    assert_no_secret((tmp_path / "output").read_text())


def answers(browser: httpx.Client) -> bool:
    try:
        return browser.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[tuple[httpx.Client, Path]]:
    """Runs `python -m web` with debug logs on the test's database; yields a client and the file of its output."""
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


def test_passwords_keys_and_session_tokens_are_not_logged(site: tuple[httpx.Client, Path], world: World) -> None:
    browser, output = site
    password = f"{TELLTALE}-of-a-person"
    made = shell("create-admin", "me@example.com", "--password-stdin", stdin=f"{password}\n")
    assert_no_secret(made.out + made.err)
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
    # Three ways to fail within a request: a missing table, a constraint that refuses every row, a second missing table.
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
    assert_no_secret(text, key, key[:-1], session, SECRET_KEY, "$argon2id$")
    digests = [bytes(row["token_hash"]) for row in world.rows("SELECT token_hash FROM user_sessions")]
    assert digests
    assert not re.search("|".join(digest.hex() for digest in digests), text)


@ASKS_FOR_A_PASSWORD
def test_worker_puts_no_password_on_a_command_line(database: str, tmp_path: Path) -> None:
    env = {**LOUD, "DATABASE_URL": database, "MIGRATOR_DATABASE_URL": "", "PORT": str(free_port())}
    with serving("-m", "workers", output=tmp_path / "output", env=env, by_exec=True) as service:
        eventually(lambda: any("worker.ready" in line for line in service.lines()))
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    password = urlsplit(database).password
    assert password
    assert not [line for line in lines if password.encode() in line and b"workers" in line]
