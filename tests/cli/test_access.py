"""Commands that manage logins and API keys."""

import os
import pty
import select
import subprocess
import sys
from datetime import timedelta

import pytest

from app import access
from domain.access import DEFAULT_SCOPES, KeyScope, Role
from runtime.settings import settings
from tests.cli.conftest import Spendgate
from tests.cli.shell import REPOSITORY, environment
from tests.world import World, moment

pytestmark = pytest.mark.usefixtures("quick_passwords")

EMAIL = "you@example.com"
PASSWORD = "correct horse battery"  # noqa: S105 - a test's password
DEPLOYED_COST = "$argon2id$v=19$m=65536,t=3,p=4$"


def test_create_admin_gives_the_role_of_an_owner(world: World, spendgate: Spendgate) -> None:
    result = spendgate("create-admin", EMAIL, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert result.code == 0
    assert PASSWORD not in result.out
    session = access.sign_in(EMAIL, PASSWORD)
    assert session
    assert session.person.role is Role.OWNER
    assert world.one("SELECT changed_by FROM audit_entries")["changed_by"].startswith("cli:")


def test_create_admin_prints_a_generated_password_once(world: World, spendgate: Spendgate) -> None:
    made = spendgate("create-admin", EMAIL, "--role", "viewer", "--generate", "--json").data
    session = access.sign_in(EMAIL, made["password"])
    assert session
    assert (session.person.id, session.person.role) == (made["user_id"], Role.VIEWER)
    again = spendgate("create-admin", EMAIL, "--generate", "--reset")
    password = again.out.rpartition("password ")[2].strip()
    assert access.sign_in(EMAIL, password)
    assert access.sign_in(EMAIL, made["password"]) is None


def test_create_admin_asks_twice_on_a_terminal_and_hides_the_password(world: World) -> None:
    master, slave = pty.openpty()
    asked = subprocess.Popen(
        [sys.executable, "-m", "cli", "create-admin", EMAIL],
        cwd=REPOSITORY,
        env=environment({}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    seen = b""
    for prompt in (b"Password:", b"Repeat the password:"):
        while not seen.endswith(prompt + b" "):
            assert select.select([master], [], [], 60)[0], seen
            seen += os.read(master, 1024)
        os.write(master, f"{PASSWORD}\n".encode())
    assert asked.wait(60) == 0
    seen += os.read(master, 4096)
    os.close(master)
    assert PASSWORD.encode() not in seen
    assert world.one("SELECT password_hash FROM users")["password_hash"].startswith(DEPLOYED_COST)
    assert access.sign_in(EMAIL, PASSWORD)


def test_create_admin_refuses_bad_input_in_one_line(world: World, spendgate: Spendgate) -> None:
    for argv, stdin, words in (
        (("create-admin", EMAIL), PASSWORD, "--password-stdin"),
        (("create-admin", EMAIL, "--generate", "--password-stdin"), PASSWORD, "cannot be combined with"),
        (("create-admin", EMAIL, "--password-stdin"), "short", "must have 12 to 200 characters"),
        (("create-admin", "nobody", "--generate"), "", "is not an address"),
        (("create-admin", EMAIL, "--generate", "--reset"), "", "has no login"),
    ):
        result = spendgate(*argv, stdin=stdin)
        assert result.code == 2
        assert result.err.count("\n") == 1
        assert words in result.err
    assert world.rows("SELECT FROM users") == []


def test_create_admin_refuses_an_email_that_has_a_login(world: World, spendgate: Spendgate) -> None:
    assert spendgate("create-admin", EMAIL, "--generate").code == 0
    result = spendgate("create-admin", "YOU@example.com", "--generate")
    assert (result.code, "has a login already" in result.err) == (2, True)


def test_users_lists_logins_and_disables_all_but_the_last_owner(world: World, spendgate: Spendgate) -> None:
    assert "spendgate create-admin" in spendgate("users", "list").out
    access.create_user(EMAIL, PASSWORD, Role.OWNER, "test")
    access.create_user("ops@example.com", PASSWORD, Role.OPERATOR, "test")
    assert spendgate("users", "disable", "Ops@example.com").code == 0
    assert access.sign_in("ops@example.com", PASSWORD) is None
    result = spendgate("users", "disable", EMAIL)
    assert (result.code, "last owner" in result.err) == (2, True)
    listed = spendgate("users", "list", "--json")
    assert [(row["email"], row["disabled_at"] is None) for row in listed.data] == [
        ("ops@example.com", False),
        (EMAIL, True),
    ]
    assert "argon2" not in listed.out
    assert spendgate("users", "disable", "nobody@example.com").code == 2


def test_create_api_key_prints_the_key_once_with_its_scopes_brand_and_expiry(
    world: World, spendgate: Spendgate
) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    made = spendgate("create-api-key", "bidder", "--json").data
    caller = access.caller(made["key"])
    assert caller
    assert (caller.key_id, caller.name, caller.brand_id) == (made["api_key_id"], "bidder", None)
    assert caller.scopes == set(DEFAULT_SCOPES) == set(KeyScope) - {KeyScope.CREDENTIALS}
    brand = world.brand()
    options = ("--scope", "read", "--scope", "spend-write", "--brand", str(brand), "--expires-days", "7")
    key = spendgate("create-api-key", "reports", *options).out.strip().splitlines()[-1]
    caller = access.caller(key)
    assert caller
    assert caller.brand_id == brand
    assert caller.scopes == {KeyScope.READ, KeyScope.SPEND_WRITE}
    listed = spendgate("api-keys", "list", "--json")
    assert moment(listed.data[1]["expires_at"]) == at + timedelta(days=7)
    assert key.split("_", 2)[2] not in listed.out + spendgate("api-keys", "list").out
    assert "secret_hash" not in listed.out


def test_revoked_api_key_is_refused(world: World, spendgate: Spendgate) -> None:
    assert "spendgate create-api-key" in spendgate("api-keys", "list").out
    key_id, key = access.create_key("bidder", [KeyScope.READ], "test")
    assert spendgate("api-keys", "revoke", str(key_id)).code == 0
    assert access.caller(key) is None
    assert spendgate("api-keys", "revoke", str(key_id)).code == 2
    assert spendgate("create-api-key", "bidder", "--brand", "99").code == 2


def test_new_encryption_key_is_a_valid_setting(spendgate: Spendgate, monkeypatch: pytest.MonkeyPatch) -> None:
    key = spendgate("new-encryption-key").out.strip()
    assert key != spendgate("new-encryption-key", "--json").data["key"]
    monkeypatch.setenv("SPENDGATE_ENCRYPTION_KEYS", key)
    settings.cache_clear()
    assert settings().required_encryption_keys() == (key,)
