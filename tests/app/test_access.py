"""Logins, sessions and API keys."""

from datetime import timedelta

import pytest

from app import access
from db.engine import committed
from db.repository.access import access as repository
from db.repository.access.audit import Edit
from domain.access import KeyScope, Role
from domain.errors import InvalidValue
from runtime import clock
from tests.world import World

pytestmark = pytest.mark.usefixtures("quick_passwords")

PASSWORD = "correct horse battery"  # noqa: S105 - of nobody


def test_person_signs_in_only_with_the_right_password(world: World) -> None:
    access.create_user("Ops@Example.com ", PASSWORD, Role.OPERATOR, "test")
    session = access.sign_in("ops@example.COM", PASSWORD)
    assert session
    assert access.signed_in(session.token) == session.person
    assert session.person.role is Role.OPERATOR
    assert access.sign_in("ops@example.com", PASSWORD + "!") is None
    assert access.sign_in("nobody@example.com", PASSWORD) is None
    assert access.signed_in(session.token + "x") is None
    access.sign_out(session.token)
    assert access.signed_in(session.token) is None


def test_no_secret_is_stored_or_audited(world: World) -> None:
    access.create_user("ops@example.com", PASSWORD, Role.OWNER, "test")
    session = access.sign_in("ops@example.com", PASSWORD)
    _, key = access.create_key("bidder", [KeyScope.READ], "test")
    assert session
    for table in ("users", "user_sessions", "api_keys", "audit_entries"):
        text = str(world.rows(f"SELECT {table}::text AS row FROM {table}"))  # noqa: S608 - names above
        for secret in (PASSWORD, session.token, key, key.split("_", 2)[2]):
            assert secret not in text
    assert world.one("SELECT password_hash FROM users")["password_hash"].startswith("$argon2id$")


def test_session_expires_at_its_time(world: World) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    access.create_user("ops@example.com", PASSWORD, Role.VIEWER, "test")
    short, long = (
        access.sign_in("ops@example.com", PASSWORD),
        access.sign_in("ops@example.com", PASSWORD, remember=True),
    )
    assert short
    assert long
    world.set_clock(at + access.SESSION)
    assert access.signed_in(short.token) is None
    assert access.signed_in(long.token) is not None
    with_leftovers = len(world.rows("SELECT 1 FROM user_sessions"))
    committed(lambda connection: repository.forget_expired(connection, clock.now()))
    assert (with_leftovers, len(world.rows("SELECT 1 FROM user_sessions"))) == (2, 1)


@pytest.mark.parametrize("disabled", [True, False])
def test_edit_of_a_login_ends_its_sessions(world: World, disabled: bool) -> None:
    access.create_user("owner@example.com", PASSWORD, Role.OWNER, "test")
    user = access.create_user("ops@example.com", PASSWORD, Role.OPERATOR, "test")
    session = access.sign_in("ops@example.com", PASSWORD)
    assert session
    edit = Edit("test", clock.now())
    committed(lambda connection: repository.edit_user(connection, user, Role.VIEWER, edit, disabled=disabled))
    assert access.signed_in(session.token) is None
    assert (access.sign_in("ops@example.com", PASSWORD) is None) == disabled


def test_last_owner_cannot_be_disabled_or_demoted(world: World) -> None:
    owner = access.create_user("owner@example.com", PASSWORD, Role.OWNER, "test")
    edit = Edit("test", clock.now())
    for role, disabled in ((Role.VIEWER, False), (Role.OWNER, True)):
        with pytest.raises(InvalidValue, match="last owner"):
            committed(lambda connection: repository.edit_user(connection, owner, role, edit, disabled=disabled))  # noqa: B023
    access.create_user("second@example.com", PASSWORD, Role.OWNER, "test")
    committed(lambda connection: repository.edit_user(connection, owner, Role.VIEWER, edit, disabled=False))


def test_changed_password_ends_sessions_of_the_old_one(world: World) -> None:
    access.create_user("ops@example.com", PASSWORD, Role.OPERATOR, "test")
    session = access.sign_in("ops@example.com", PASSWORD)
    assert session
    access.reset_password("ops@example.com", "another long password", "test")
    assert access.signed_in(session.token) is None
    assert access.sign_in("ops@example.com", PASSWORD) is None
    assert access.sign_in("ops@example.com", "another long password")


def test_bad_logins_are_refused(world: World) -> None:
    access.create_user("ops@example.com", PASSWORD, Role.OPERATOR, "test")
    for email, password, field in (
        ("OPS@example.com", PASSWORD, "email"),
        ("nobody", PASSWORD, "email"),
        ("two words@example.com", PASSWORD, "email"),
        ("short@example.com", "elevenchars", "password"),
        ("long@example.com", "x" * 201, "password"),
    ):
        with pytest.raises(InvalidValue) as refused:
            access.create_user(email, password, Role.VIEWER, "test")
        assert refused.value.field == field


def test_key_is_valid_until_it_expires_or_is_revoked(world: World) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    brand = world.brand()
    key_id, key = access.create_key(
        "bidder", [KeyScope.MANAGE], "test", brand_id=brand, expires_at=at + timedelta(days=1)
    )
    caller = access.caller(key)
    assert caller == access.Caller(key_id, "bidder", frozenset({KeyScope.MANAGE, KeyScope.READ}), brand)
    assert access.caller(key[:-1] + ("A" if key[-1] != "A" else "B")) is None
    assert access.caller("sg_000000000000_" + "A" * 43) is None
    assert access.caller("") is None
    world.set_clock(at + timedelta(days=1))
    assert access.caller(key) is None
    world.set_clock(at)
    committed(lambda connection: repository.revoke_key(connection, key_id, Edit("test", at)))
    assert access.caller(key) is None


def test_use_of_a_key_is_stored_at_most_once_a_minute(world: World) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    _, key = access.create_key("bidder", [KeyScope.READ], "test")
    used = []
    for seconds in (0, 59, 60):
        world.set_clock(at + timedelta(seconds=seconds))
        access.caller(key)
        used.append((world.one("SELECT used_at FROM api_keys")["used_at"] - at).seconds)
    assert used == [0, 0, 60]


def test_bad_keys_are_refused(world: World) -> None:
    at = world.set_clock("2026-06-17T12:00:00Z")
    for name, scopes, more, field in (
        ("", [KeyScope.READ], {}, "name"),
        ("bidder", [], {}, "scopes"),
        ("bidder", [KeyScope.READ], {"brand_id": 7}, "brand"),
        ("bidder", [KeyScope.READ], {"expires_at": at}, "expires_at"),
    ):
        with pytest.raises(InvalidValue) as refused:
            access.create_key(name, scopes, "test", **more)
        assert refused.value.field == field
