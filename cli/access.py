"""`spendgate create-admin|create-api-key|users|api-keys`: logins for people and API keys for programs."""

import sys
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape

from app import access
from cli.catalog.options import edit
from cli.output import AsJson, console, list_rows, print_result
from db.engine import snapshot
from db.repository.access import access as repository
from domain.access import DEFAULT_SCOPES, KeyScope, Role
from domain.errors import InvalidValue
from runtime import clock, encryption

users = typer.Typer(no_args_is_help=True, help="Manage the logins for the pages.")
api_keys = typer.Typer(no_args_is_help=True, help="Manage the API keys of programs.")

NO_USERS = "There are no logins yet. Create one: spendgate create-admin you@example.com"
NO_KEYS = "There are no API keys yet. Create one: spendgate create-api-key NAME"

Email = Annotated[str, typer.Argument(help="The e-mail address to sign in with.")]


def create_admin(
    email: Email,
    role: Annotated[Role, typer.Option(help="The user's role, which decides what they may do.")] = Role.OWNER,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    generate: Annotated[bool, typer.Option("--generate", help="Generate a password and print it once.")] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Set a new password for an existing login and keep its role.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create a login for the pages, with the role of an owner unless --role names another.

    With --reset, set a new password for an existing login instead.
    """
    password = _password(password_stdin=password_stdin, generate=generate)
    if reset:
        user_id = access.reset_password(email, password, edit().by)
    else:
        user_id = access.create_user(email, password, role, edit().by)
    done = "has a new password" if reset else f"can sign in as {role}"
    data = {"user_id": user_id} | ({"password": password} if generate else {})
    line = f"user [bold]{user_id}[/bold] {escape(email)} {done}"
    print_result(data, f"{line}\npassword {escape(password)}" if generate else line, as_json=as_json)


def new_encryption_key(as_json: AsJson = False) -> None:
    """Print a new key for SPENDGATE_ENCRYPTION_KEYS, which encrypts the secrets that the database stores.

    To change keys, put the new one before the old one, separated by a comma, restart the service, and run
    `spendgate secrets re-encrypt`.
    """
    key = encryption.new_key()
    print_result({"key": key}, key, as_json=as_json)


def _password(*, password_stdin: bool, generate: bool) -> str:
    if password_stdin and generate:
        raise InvalidValue("--generate", "cannot be combined with --password-stdin")
    if generate:
        return access.new_password()
    if password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise InvalidValue("password", "standard input is not a terminal; use --password-stdin or --generate")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt="Repeat the password", err=True))


@users.command("list")
def list_users(as_json: AsJson = False) -> None:
    """List the logins with their roles."""
    with snapshot() as connection:
        rows = repository.users(connection)
    list_rows("Users", rows, _user_row, empty=NO_USERS, as_json=as_json)


def _user_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "e-mail": row["email"],
        "role": row["role"],
        "signed in last": row["signed_in_at"],
        "disabled": row["disabled_at"],
    }


@users.command("disable")
def disable_user(email: Email) -> None:
    """Disable a login and end its sessions at once. The last owner's login cannot be disabled."""
    access.disable(email, edit().by)
    console.print(f"{escape(email)} can no longer sign in")


def create_api_key(
    name: Annotated[str, typer.Argument(help="The program's name; the audit log shows it for the program's edits.")],
    scope: Annotated[
        list[KeyScope] | None,
        typer.Option(help="A scope of the key; repeat the option for several. Default: all but credentials."),
    ] = None,
    brand: Annotated[
        int | None, typer.Option(help="The id of the only brand the key is valid for. Default: all brands.")
    ] = None,
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=3_650, help="Days until the key expires. Default: it never expires.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create an API key for a program and print it once: Spendgate stores only its hash."""
    expires_at = None if expires_days is None else clock.now() + timedelta(days=expires_days)
    key_id, key = access.create_key(name, scope or DEFAULT_SCOPES, edit().by, brand_id=brand, expires_at=expires_at)
    line = f"API key [bold]{key_id}[/bold] {escape(name)}, shown only once:\n{key}"
    print_result({"api_key_id": key_id, "key": key}, line, as_json=as_json)


@api_keys.command("list")
def list_api_keys(as_json: AsJson = False) -> None:
    """List the API keys, each by its first characters. Spendgate stores only hashes, so it cannot show whole keys."""
    with snapshot() as connection:
        rows = repository.keys(connection)
    list_rows("API keys", rows, _key_row, empty=NO_KEYS, as_json=as_json)


def _key_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "name": row["name"],
        "prefix": row["prefix"],
        "scopes": row["scopes"],
        "brand": row["brand_id"],
        "used last": row["used_at"],
        "expires": row["expires_at"],
        "revoked": row["revoked_at"],
    }


@api_keys.command("revoke")
def revoke_api_key(key_id: Annotated[int, typer.Argument(metavar="ID", help="The key's id.")]) -> None:
    """Revoke an API key: every request that uses it is refused from now on."""
    access.revoke_key(key_id, edit().by)
    console.print(f"API key {key_id} is revoked")
