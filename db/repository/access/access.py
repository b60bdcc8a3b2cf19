"""Users, their sessions, and API keys. Passwords, session tokens and keys are passed and stored only as hashes."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from db.repository.access.audit import Edit, Subject, note
from db.repository.shared.rows import plain
from domain.access import KeyScope, Role
from domain.errors import InvalidValue, NotFound

INSERT_USER = text("""
    INSERT INTO users (email, password_hash, role, created_at) VALUES (:email, :password_hash, :role, :at)
    ON CONFLICT (email) DO NOTHING
    RETURNING id
""")

USER = text("SELECT id, email, role, disabled_at IS NOT NULL AS disabled FROM users WHERE id = :id FOR UPDATE")

USER_OF_EMAIL = text("SELECT id FROM users WHERE email = :email")

ANY_USER = text("SELECT EXISTS (SELECT FROM users)")

USERS = text("""
    SELECT id, email, role, disabled_at, created_at, signed_in_at FROM users ORDER BY email
""")

CREDENTIALS = text("SELECT id, email, role, password_hash FROM users WHERE email = :email AND disabled_at IS NULL")

SET_ROLE = text("UPDATE users SET role = :role, disabled_at = :disabled_at WHERE id = :id")

MAKE_OWNER = text("SELECT make_owner(:id, :by, :at, :action)")

SET_PASSWORD = text("UPDATE users SET password_hash = :password_hash WHERE id = :id")

# Locks the rows, so that two owners disabled at once cannot each pass the check because of the other.
OTHER_OWNERS = text("SELECT id FROM users WHERE role = 'owner' AND disabled_at IS NULL AND id <> :id FOR UPDATE")

INSERT_SESSION = text("""
    INSERT INTO user_sessions (token_hash, user_id, created_at, expires_at) VALUES (:token_hash, :user_id, :at, :until)
""")

NOTE_SIGN_IN = text("UPDATE users SET signed_in_at = :at WHERE id = :user_id")

SESSION = text("""
    SELECT users.id, email, role FROM user_sessions JOIN users ON users.id = user_id
    WHERE token_hash = :token_hash AND expires_at > :at AND disabled_at IS NULL
""")

END_SESSION = text("DELETE FROM user_sessions WHERE token_hash = :token_hash")

END_SESSIONS = text("DELETE FROM user_sessions WHERE user_id = :user_id")

INSERT_KEY = text("""
    INSERT INTO api_keys (name, prefix, secret_hash, scopes, brand_id, created_at, created_by, expires_at)
    VALUES (:name, :prefix, :secret_hash, :scopes, :brand_id, :at, :by, :expires_at)
    RETURNING id
""")

KEY = text("""
    SELECT id, name, secret_hash, scopes, brand_id, used_at FROM api_keys
    WHERE prefix = :prefix AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :at)
""")

# All keys, without their hashes.
KEYS = text("""
    SELECT id, name, prefix, scopes, brand_id, created_at, created_by, expires_at, revoked_at, used_at
    FROM api_keys ORDER BY id
""")

NOTE_USE = text("UPDATE api_keys SET used_at = :at WHERE id = :id")

REVOKE_KEY = text("""
    UPDATE api_keys SET revoked_at = :at WHERE id = :id AND revoked_at IS NULL RETURNING name, prefix, brand_id
""")

FORGET = text("SELECT forget_expired(:at)")


class Person(NamedTuple):
    """A user who signs in or is signed in."""

    id: int
    email: str
    role: Role

    @property
    def label(self) -> str:
        """The person's name in audit entries and logs: `user:EMAIL`."""
        return f"user:{self.email}"


class StoredKey(NamedTuple):
    """A valid API key, neither revoked nor expired. `brand_id`: its only brand, None for all brands.

    `used_at`: the last time of use that was stored; None: never used.
    """

    id: int
    name: str
    secret_hash: bytes
    scopes: frozenset[KeyScope]
    brand_id: int | None
    used_at: datetime | None


def create_user(connection: Connection, email: str, password_hash: str, role: Role, edit: Edit) -> int:
    """Creates a user and returns its id. Raises InvalidValue if the address already has a user."""
    first_role = Role.VIEWER if role is Role.OWNER else role
    parameters = {"email": email, "password_hash": password_hash, "role": first_role.value, "at": edit.at}
    user_id: int | None = connection.scalar(INSERT_USER, parameters)
    if user_id is None:
        raise InvalidValue("email", f"{email} has a login already")
    if role is Role.OWNER:
        _make_owner(connection, user_id, edit, "create")
        return user_id
    note(connection, edit, "create", Subject("user", user_id), None, {"email": email, "role": role.value})
    return user_id


def edit_user(connection: Connection, user_id: int, role: Role, edit: Edit, *, disabled: bool) -> None:
    """Sets a user's role and whether the login is disabled, and ends all sessions of the user.

    Raises InvalidValue if there is no such user, or no enabled owner would be left.
    """
    old = _user(connection, user_id)
    was_owner = old["role"] == Role.OWNER and not old["disabled"]
    will_be_owner = role is Role.OWNER and not disabled
    if was_owner and not will_be_owner and not connection.execute(OTHER_OWNERS, {"id": user_id}).all():
        raise InvalidValue("role", "this is the last owner; make another user an owner first")
    connection.execute(END_SESSIONS, {"user_id": user_id})
    if will_be_owner and not was_owner:
        _make_owner(connection, user_id, edit, "edit")
        return
    new = {"id": user_id, "email": old["email"], "role": role.value, "disabled": disabled}
    connection.execute(SET_ROLE, {"id": user_id, "role": role.value, "disabled_at": edit.at if disabled else None})
    note(connection, edit, "edit", Subject("user", user_id), old, new)


def _make_owner(connection: Connection, user_id: int, edit: Edit, action: str) -> None:
    """Makes the user an owner by a database function, the only way the web role may; it also adds the audit entry."""
    connection.execute(MAKE_OWNER, {"id": user_id, "by": edit.by, "at": edit.at, "action": action})


def role_and_disabled(connection: Connection, user_id: int) -> tuple[Role, bool]:
    """Locks the user until the transaction ends; returns the role, and whether the login is disabled.

    Raises InvalidValue if there is no such user.
    """
    user = _user(connection, user_id)
    return Role(user["role"]), bool(user["disabled"])


def set_password(connection: Connection, user_id: int, password_hash: str, edit: Edit) -> None:
    """Changes a user's password and ends all its sessions. Raises InvalidValue if there is no such user."""
    _user(connection, user_id)
    connection.execute(SET_PASSWORD, {"id": user_id, "password_hash": password_hash})
    connection.execute(END_SESSIONS, {"user_id": user_id})
    note(connection, edit, "set_password", Subject("user", user_id), None, None)


def _user(connection: Connection, user_id: int) -> dict[str, Any]:
    row = connection.execute(USER, {"id": user_id}).first()
    if row is None:
        raise NotFound("user", f"there is no user {user_id}")
    return dict(row._mapping)


def user_of_email(connection: Connection, email: str) -> int | None:
    """The id of the user with this address, disabled or not; None if there is none."""
    user_id: int | None = connection.scalar(USER_OF_EMAIL, {"email": email})
    return user_id


def any_user(connection: Connection) -> bool:
    """Whether any user exists."""
    return bool(connection.scalar(ANY_USER))


def role_of(connection: Connection, user_id: int) -> Role:
    """Locks the user until the transaction ends; returns the role. Raises InvalidValue if there is no such user."""
    return Role(_user(connection, user_id)["role"])


def users(connection: Connection) -> list[dict[str, Any]]:
    """All users, sorted by address: id, email, role, disabled_at (None: enabled), created_at and signed_in_at."""
    return plain(connection.execute(USERS))


def credentials(connection: Connection, email: str) -> tuple[Person, str] | None:
    """The user with this address and the hash of the password; None if there is no such user or it is disabled."""
    row = connection.execute(CREDENTIALS, {"email": email}).first()
    return None if row is None else (_person(row), row.password_hash)


def start_session(connection: Connection, person: Person, token_hash: bytes, at: datetime, until: datetime) -> None:
    """Stores a session that is valid until `until`, and the time of the sign-in."""
    parameters = {"token_hash": token_hash, "user_id": person.id, "at": at, "until": until}
    connection.execute(INSERT_SESSION, parameters)
    connection.execute(NOTE_SIGN_IN, {"user_id": person.id, "at": at})


def session_of(connection: Connection, token_hash: bytes, at: datetime) -> Person | None:
    """The user signed in with this session token; None if there is none.

    None too if the session has expired at `at`, or the user is disabled.
    """
    row = connection.execute(SESSION, {"token_hash": token_hash, "at": at}).first()
    return None if row is None else _person(row)


def end_session(connection: Connection, token_hash: bytes) -> None:
    """Deletes the session with this token."""
    connection.execute(END_SESSION, {"token_hash": token_hash})


def _person(row: Row[Any]) -> Person:
    return Person(row.id, row.email, Role(row.role))


def create_key(
    connection: Connection,
    name: str,
    prefix: str,
    secret_hash: bytes,
    scopes: Collection[KeyScope],
    brand_id: int | None,
    expires_at: datetime | None,
    edit: Edit,
) -> int:
    """Stores a new API key and returns its id.

    `brand_id` None: the key is valid for all brands. `expires_at` None: it never expires.
    """
    shown = {"name": name, "prefix": prefix, "scopes": sorted(scopes), "brand_id": brand_id, "expires_at": expires_at}
    parameters = {**shown, "secret_hash": secret_hash, "at": edit.at, "by": edit.by}
    key_id = int(connection.execute(INSERT_KEY, parameters).scalar_one())
    note(connection, edit, "create", Subject("api_key", key_id, brand_id), None, shown)
    return key_id


def key_of(connection: Connection, prefix: str, at: datetime) -> StoredKey | None:
    """The API key with this prefix; None if there is no such key, or it is revoked or, at `at`, expired."""
    row = connection.execute(KEY, {"prefix": prefix, "at": at}).first()
    if row is None:
        return None
    scopes = frozenset(map(KeyScope, row.scopes))
    return StoredKey(row.id, row.name, bytes(row.secret_hash), scopes, row.brand_id, row.used_at)


def keys(connection: Connection) -> list[dict[str, Any]]:
    """All API keys, revoked and expired ones too, in order of creation: the columns of `api_keys` without the hash."""
    return plain(connection.execute(KEYS))


def note_use(connection: Connection, key_id: int, at: datetime) -> None:
    """Stores `at` as the time at which the API key was last used."""
    connection.execute(NOTE_USE, {"id": key_id, "at": at})


def revoke_key(connection: Connection, key_id: int, edit: Edit) -> None:
    """Revokes the API key. Raises InvalidValue if there is no such key, or it is revoked already."""
    row = connection.execute(REVOKE_KEY, {"id": key_id, "at": edit.at}).first()
    if row is None:
        raise NotFound("api_key", f"there is no key {key_id} that could be revoked")
    note(connection, edit, "revoke", Subject("api_key", key_id, row.brand_id), dict(row._mapping), None)


def forget_expired(connection: Connection, at: datetime) -> None:
    """Deletes expired sessions, and the answers stored for idempotency keys more than 24 hours ago.

    Compares with `at` or Postgres's clock, whichever is earlier.
    """
    connection.execute(FORGET, {"at": at})
