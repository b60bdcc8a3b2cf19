"""Who may do what: logins, sessions and API keys. Passwords are kept as argon2id, tokens and keys as SHA-256."""

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
from domain.errors import InvalidValue
from runtime import clock

MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 200
SESSION: Final = timedelta(hours=12)
LONG_SESSION: Final = timedelta(days=30)
USE_NOTED_EVERY: Final = timedelta(minutes=1)
KEY_FORM: Final = re.compile(r"(sg_[0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")
_HASHER: Final = PasswordHasher()
HASHES_AT_ONCE: Final = 4
"""Each takes 64 MiB while it is computed."""

HASH_WAIT_SECONDS: Final = 10
_hashing: Final = BoundedSemaphore(HASHES_AT_ONCE)


class HashingBusy(Exception):
    """So many passwords are being looked at that this one would have to wait too long."""


class Session(NamedTuple):
    """A browser that just signed in: the token for its cookie, and until when it holds."""

    person: Person
    token: str
    until: datetime


class Caller(NamedTuple):
    """The key by which a program speaks, and all it may do; of one brand, or (None) of all."""

    key_id: int
    name: str
    scopes: frozenset[KeyScope]
    brand_id: int | None

    @property
    def label(self) -> str:
        """How audit and logs name the caller."""
        return f"key:{self.name}"


def create_user(email: str, password: str, role: Role, by: str) -> int:
    """Makes a login and returns its id. Raises InvalidValue for an address that is taken, or a short password."""
    address = email.strip().lower()
    if not _EMAIL.fullmatch(address) or len(address) > MAX_PASSWORD or not address.isprintable():
        raise InvalidValue("email", f"{email!r} is not an address such as ops@example.com")
    hashed = _hashed(password)
    return committed(lambda connection: access.create_user(connection, address, hashed, role, Edit(by, clock.now())))


def is_first_use() -> bool:
    """Whether nobody has a login yet."""
    with snapshot() as connection:
        return not access.any_user(connection)


def new_password() -> str:
    """A password that nobody guesses: 144 bits."""
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
    """Changes what a user may do, and the password where one is given, in one commit; signs the user out.

    `check` is handed the role, and whether the login is disabled, under the user's lock, and raises where it objects.
    Raises InvalidValue where no owner would be left, or for a short password.
    """
    hashed = _hashed(password) if password else None

    def work(connection: Connection) -> None:
        edit = Edit(by, clock.now())
        standing = access.standing_of(connection, user_id)
        check(connection, *standing)
        if standing != (role, disabled):
            access.edit_user(connection, user_id, role, edit, disabled=disabled)
        if hashed is not None:
            access.set_password(connection, user_id, hashed, edit)

    committed(work)


def disable(email: str, by: str) -> None:
    """Ends a login by its address. Raises InvalidValue for an unknown one, or the last owner's."""

    def work(connection: Connection) -> None:
        user_id = _known(connection, email)
        role = access.role_of(connection, user_id)
        access.edit_user(connection, user_id, role, Edit(by, clock.now()), disabled=True)

    committed(work)


def reset_password(email: str, password: str, by: str) -> int:
    """Changes the password of an address and returns the user's id. Raises InvalidValue for an unknown address."""
    hashed = _hashed(password)

    def work(connection: Connection) -> int:
        user_id = _known(connection, email)
        access.set_password(connection, user_id, hashed, Edit(by, clock.now()))
        return user_id

    return committed(work)


def _known(connection: Connection, email: str) -> int:
    user_id = access.user_of_email(connection, email.strip().lower())
    if user_id is None:
        raise InvalidValue("email", f"{email!r} has no login")
    return user_id


def _hashed(password: str) -> str:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise InvalidValue("password", f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    with _place_for_hash():
        return _HASHER.hash(password.encode("utf-8", "surrogatepass"))


@contextmanager
def _place_for_hash() -> Iterator[None]:
    """Bounds the memory of hashing. Raises HashingBusy after HASH_WAIT_SECONDS."""
    if not _hashing.acquire(timeout=HASH_WAIT_SECONDS):
        raise HashingBusy
    try:
        yield
    finally:
        _hashing.release()


def sign_in(email: str, password: str, *, remember: bool = False) -> Session | None:
    """A new session, or None where address and password do not fit together."""
    with snapshot() as connection:
        found = access.credentials(connection, email.strip().lower())
    if not _fits(found[1] if found else _hash_of_nobody(), password) or found is None:
        return None
    person, at, token = found[0], clock.now(), secrets.token_urlsafe(32)
    until = at + (LONG_SESSION if remember else SESSION)
    committed(lambda connection: access.start_session(connection, person, _digest(token), at, until))
    return Session(person, token, until)


@lru_cache(maxsize=1)
def _hash_of_nobody() -> str:
    """Checked where there is no such login, so that the time an answer takes does not tell who has one."""
    return _HASHER.hash(secrets.token_hex())


def _fits(password_hash: str, password: str) -> bool:
    try:
        with _place_for_hash():
            return _HASHER.verify(password_hash, password[: MAX_PASSWORD + 1].encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False


def signed_in(token: str) -> Person | None:
    """Who holds this session's token."""
    with snapshot() as connection:
        return access.session_of(connection, _digest(token), clock.now())


def sign_out(token: str) -> None:
    """Ends the session."""
    committed(lambda connection: access.end_session(connection, _digest(token)))


def create_key(
    name: str, scopes: Collection[KeyScope], by: str, *, brand_id: int | None = None, expires_at: datetime | None = None
) -> tuple[int, str]:
    """Makes an API key; returns its id and the key itself, which is shown this once and kept nowhere.

    Raises InvalidValue for no name, no scope, an unknown brand, or an expiry that is past.
    """
    name = catalog.named(name)
    if not scopes:
        raise InvalidValue("scopes", f"say at least one of {', '.join(KeyScope)}")
    edit = Edit(by, clock.now())
    if expires_at is not None and expires_at <= edit.at:
        raise InvalidValue("expires_at", "is past")
    prefix = f"sg_{secrets.token_hex(6)}"
    key = f"{prefix}_{secrets.token_urlsafe(32)}"

    def keep(connection: Connection) -> int:
        if brand_id is not None:
            catalog.brand(connection, brand_id)
        return access.create_key(connection, name, prefix, _digest(key), set(scopes), brand_id, expires_at, edit)

    return committed(keep), key


def revoke_key(key_id: int, by: str) -> None:
    """The key opens nothing any more. Raises InvalidValue for one that is unknown or was revoked before."""
    committed(lambda connection: access.revoke_key(connection, key_id, Edit(by, clock.now())))


def caller(key: str) -> Caller | None:
    """Whose key this is, or None where it opens nothing: unknown, revoked or expired."""
    found = KEY_FORM.fullmatch(key)
    if found is None:
        return None
    at = clock.now()
    with snapshot() as connection:
        stored = access.key_of(connection, found[1], at)
    if stored is None or not hmac.compare_digest(stored.secret_hash, _digest(key)):
        return None
    if stored.used_at is None or stored.used_at <= at - USE_NOTED_EVERY:
        committed(lambda connection: access.note_use(connection, stored.id, at))
    return Caller(stored.id, stored.name, allowed(stored.scopes), stored.brand_id)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
