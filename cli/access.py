"""`spendgate create-admin|create-api-key|users|api-keys`: who signs in, and by which keys programs speak."""

import sys
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape

from app import access
from cli.catalog import edit
from cli.output import AsJson, console, list_rows, tell
from db.engine import snapshot
from db.repository.access import access as repository
from domain.access import KeyScope, Role
from domain.errors import InvalidValue
from runtime import clock

users = typer.Typer(no_args_is_help=True, help="Users: who signs in to the pages.")
api_keys = typer.Typer(no_args_is_help=True, help="API keys: by which programs speak.")

NO_USERS = "Nobody has a login yet. Make one: spendgate create-admin you@example.com"
NO_KEYS = "No API keys yet. Make one: spendgate create-api-key NAME"

Email = Annotated[str, typer.Argument(help="The e-mail address to sign in with.")]


def create_admin(
    email: Email,
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.OWNER,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    generate: Annotated[bool, typer.Option("--generate", help="Make a password and print it, this once.")] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Set a new password for a login that exists; its role stays.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a login for the pages, an owner's unless --role says otherwise."""
    password = _password(password_stdin=password_stdin, generate=generate)
    if reset:
        user_id = access.reset_password(email, password, edit().by)
    else:
        user_id = access.create_user(email, password, role, edit().by)
    done = "has a new password" if reset else f"may sign in as {role}"
    data = {"user_id": user_id} | ({"password": password} if generate else {})
    line = f"user [bold]{user_id}[/bold] {escape(email)} {done}"
    tell(data, f"{line}\npassword {escape(password)}" if generate else line, as_json=as_json)


def _password(*, password_stdin: bool, generate: bool) -> str:
    if password_stdin and generate:
        raise InvalidValue("--generate", "cannot be used with --password-stdin")
    if generate:
        return access.new_password()
    if password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise InvalidValue("password", "there is no terminal to ask on; use --password-stdin or --generate")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True))


@users.command("list")
def list_users(as_json: AsJson = False) -> None:
    """Who has a login, and what each may do."""
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
    """End a login: signed out at once, and never in again. The last owner's stays."""
    access.disable(email, edit().by)
    console.print(f"{escape(email)} cannot sign in any more")


def create_api_key(
    name: Annotated[str, typer.Argument(help="The program's name; its edits are audited under it.")],
    scope: Annotated[list[KeyScope] | None, typer.Option(help="May be given again; all three if not given.")] = None,
    brand: Annotated[int | None, typer.Option(help="The one brand it is for; all if not given.")] = None,
    expires_days: Annotated[int | None, typer.Option(min=1, max=3_650, help="Never, if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key for a program and print it, this once: only its hash is kept."""
    expires_at = None if expires_days is None else clock.now() + timedelta(days=expires_days)
    key_id, key = access.create_key(name, scope or list(KeyScope), edit().by, brand_id=brand, expires_at=expires_at)
    line = f"API key [bold]{key_id}[/bold] {escape(name)}, shown this once:\n{key}"
    tell({"api_key_id": key_id, "key": key}, line, as_json=as_json)


@api_keys.command("list")
def list_api_keys(as_json: AsJson = False) -> None:
    """Every key by its prefix; of the keys themselves only hashes are kept."""
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
    """End a key: it opens nothing from then on."""
    access.revoke_key(key_id, edit().by)
    console.print(f"API key {key_id} is revoked")
