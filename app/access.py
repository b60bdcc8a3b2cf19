"""Creates, edits and checks logins, sessions and API keys.

Passwords are stored as argon2id hashes, session tokens and keys as SHA-256 hashes.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from threading import BoundedSemaphore
from typing import Final, NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection

from db.engine import committed, snapshot
from db.repository.access import access
from db.repository.access.access import Person
from db.repository.access.audit import Edit
from db.repository.catalog import catalog
from domain.access import KeyScope, Role, allowed
from domain.edits.fields import checked_name
from domain.errors import InvalidValue
from runtime import clock

MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 200
SESSION: Final = timedelta(hours=12)
"""Time for which a person stays signed in by default."""

LONG_SESSION: Final = timedelta(days=30)
"""Time for which a person stays signed in who ticked the box in `web/templates/admin/login.html`: it says 30 days."""

USE_NOTED_EVERY: Final = timedelta(minutes=1)
KEY_FORM: Final = re.compile(r"(sg_[0-9a-f]{12})_[A-Za-z0-9_-]{43}")
"""The form of an API key as `create_key` makes it, with its prefix as group 1.

`web.api.request.keys` describes the form in words.
"""

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_HASHER: Final = PasswordHasher()
HASHES_AT_ONCE: Final = 4
"""Passwords that one process hashes at the same time, at most; each takes 64 MiB of memory while it is hashed.

`web.admin.sign_in.admission` lets as many requests to sign in run at the same time (SIGN_INS_AT_ONCE).
"""

HASH_WAIT_SECONDS: Final = 10
_hashing: Final = BoundedSemaphore(HASHES_AT_ONCE)


class HashingBusy(Exception):
    """No hashing slot became free within HASH_WAIT_SECONDS: the process hashes HASHES_AT_ONCE other passwords."""


class Session(NamedTuple):
    """A new sign-in: the person, the token for the browser's cookie, and the time at which the token expires."""

    person: Person
    token: str
    until: datetime


class Caller(NamedTuple):
    """The API key of a request: its scopes with those that they include, and its only brand (None: all brands)."""

    key_id: int
    name: str
    scopes: frozenset[KeyScope]
    brand_id: int | None

    @property
    def label(self) -> str:
        """The caller's name in the audit trail and in logs, such as `key:billing`."""
        return f"key:{self.name}"


def create_user(email: str, password: str, role: Role, by: str) -> int:
    """Creates a login and returns its id.

    Raises InvalidValue for a malformed or used address or a password of the wrong length, and HashingBusy.
    """
    address = email.strip().lower()
    if not _EMAIL.fullmatch(address) or len(address) > MAX_PASSWORD or not address.isprintable():
        raise InvalidValue("email", f"{email!r} is not an address such as ops@example.com")
    hashed = _hashed(password)
    return committed(lambda connection: access.create_user(connection, address, hashed, role, Edit(by, clock.now())))


def is_first_use() -> bool:
    """Whether no login exists yet."""
    with snapshot() as connection:
        return not access.any_user(connection)


def new_password() -> str:
    """Returns a random password of 144 bits, as 24 characters that are safe in URLs."""
    return secrets.token_urlsafe(18)


def edit_user(
    user_id: int,
    role: Role,
    by: str,
    *,
    disabled: bool,
    password: str | None = None,
    check: Callable[[Connection, Role, bool], None] = lambda _connection, _role, _disabled: None,
) -> None:
    """Changes a user's role, disabled state and, if one is given, password in one commit.

    Ends the user's sessions if anything changed. `check` is called with the current role and disabled state while the
    user's row is locked; an exception from it undoes the edit. Raises InvalidValue for an unknown user or a password of
    the wrong length, or if no owner would be left; and HashingBusy. `password`: None or empty keeps the present one.
    """
    hashed = _hashed(password) if password else None

    def work(connection: Connection) -> None:
        edit = Edit(by, clock.now())
        current = access.role_and_disabled(connection, user_id)
        check(connection, *current)
        if current != (role, disabled):
            access.edit_user(connection, user_id, role, edit, disabled=disabled)
        if hashed is not None:
            access.set_password(connection, user_id, hashed, edit)

    committed(work)


def disable(email: str, by: str) -> None:
    """Disables the login with this address and ends its sessions.

    Raises InvalidValue for an unknown address and for the last owner.
    """

    def work(connection: Connection) -> None:
        user_id = _user_id_of(connection, email)
        role = access.role_of(connection, user_id)
        access.edit_user(connection, user_id, role, Edit(by, clock.now()), disabled=True)

    committed(work)


def reset_password(email: str, password: str, by: str) -> int:
    """Changes the password of the login with this address, ends its sessions, and returns the user's id.

    Raises InvalidValue for an unknown address or a password of the wrong length, and HashingBusy.
    """
    hashed = _hashed(password)

    def work(connection: Connection) -> int:
        user_id = _user_id_of(connection, email)
        access.set_password(connection, user_id, hashed, Edit(by, clock.now()))
        return user_id

    return committed(work)


def _user_id_of(connection: Connection, email: str) -> int:
    user_id = access.user_of_email(connection, email.strip().lower())
    if user_id is None:
        raise InvalidValue("email", f"{email!r} has no login")
    return user_id


def _hashed(password: str) -> str:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise InvalidValue("password", f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    with _hashing_slot():
        return _HASHER.hash(password.encode("utf-8", "surrogatepass"))


@contextmanager
def _hashing_slot() -> Iterator[None]:
    """Allows HASHES_AT_ONCE hashes at a time, to bound their memory. Raises HashingBusy after HASH_WAIT_SECONDS."""
    if not _hashing.acquire(timeout=HASH_WAIT_SECONDS):
        raise HashingBusy
    try:
        yield
    finally:
        _hashing.release()


def sign_in(email: str, password: str, *, remember: bool = False) -> Session | None:
    """Starts a session and returns it; None if the address is unknown, the login disabled, or the password wrong.

    `remember`: the session lasts LONG_SESSION instead of SESSION. Raises HashingBusy if too many passwords are being
    hashed.
    """
    with snapshot() as connection:
        login = access.credentials(connection, email.strip().lower())
    if not _matches(login[1] if login else _dummy_hash(), password) or login is None:
        return None
    person, at, token = login[0], clock.now(), secrets.token_urlsafe(32)
    until = at + (LONG_SESSION if remember else SESSION)
    committed(lambda connection: access.start_session(connection, person, _digest(token), at, until))
    return Session(person, token, until)


@lru_cache(maxsize=1)
def _dummy_hash() -> str:
    """The hash to check for an unknown address, so that the response time does not reveal which addresses exist."""
    return _HASHER.hash(secrets.token_hex())


def _matches(password_hash: str, password: str) -> bool:
    try:
        with _hashing_slot():
            return _HASHER.verify(password_hash, password[: MAX_PASSWORD + 1].encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False


def signed_in(token: str) -> Person | None:
    """The person signed in with this session token; None if the token is unknown or expired, or the login disabled."""
    with snapshot() as connection:
        return access.session_of(connection, _digest(token), clock.now())


def sign_out(token: str) -> None:
    """Ends the session with this token."""
    committed(lambda connection: access.end_session(connection, _digest(token)))


def create_key(
    name: str, scopes: Collection[KeyScope], by: str, *, brand_id: int | None = None, expires_at: datetime | None = None
) -> tuple[int, str]:
    """Creates an API key; returns its id and the key itself, of which only a hash is stored.

    Raises InvalidValue for an invalid name, no scope, an unknown brand, or an expiry in the past. `brand_id`: the only
    brand that the key may read and change; None: all brands. `expires_at` None: the key never expires.
    """
    name = checked_name(name)
    if not scopes:
        raise InvalidValue("scopes", f"give at least one of {', '.join(KeyScope)}")
    edit = Edit(by, clock.now())
    if expires_at is not None and expires_at <= edit.at:
        raise InvalidValue("expires_at", "is not in the future")
    prefix = f"sg_{secrets.token_hex(6)}"
    key = f"{prefix}_{secrets.token_urlsafe(32)}"

    def keep(connection: Connection) -> int:
        if brand_id is not None:
            catalog.brand(connection, brand_id)
        return access.create_key(connection, name, prefix, _digest(key), set(scopes), brand_id, expires_at, edit)

    return committed(keep), key


def revoke_key(key_id: int, by: str) -> None:
    """Revokes an API key at once. Raises InvalidValue for a key that is unknown or already revoked."""
    committed(lambda connection: access.revoke_key(connection, key_id, Edit(by, clock.now())))


def caller(key: str) -> Caller | None:
    """The caller with this API key; None if the key is malformed, unknown, revoked or expired.

    Also stores the time of use, at most once in USE_NOTED_EVERY.
    """
    match = KEY_FORM.fullmatch(key)
    if match is None:
        return None
    at = clock.now()
    with snapshot() as connection:
        stored = access.key_of(connection, match[1], at)
    if stored is None or not hmac.compare_digest(stored.secret_hash, _digest(key)):
        return None
    if stored.used_at is None or stored.used_at <= at - USE_NOTED_EVERY:
        committed(lambda connection: access.note_use(connection, stored.id, at))
    return Caller(stored.id, stored.name, allowed(stored.scopes), stored.brand_id)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
