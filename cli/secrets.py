"""`spendgate secrets`: re-encrypts the secrets that the database stores."""

from typing import Annotated

import typer
from rich.markup import escape

from app import key_rotation
from cli.output import FOUND_EXIT, AsJson, console, counted_progress, print_json
from domain.edits.words import counted

secrets = typer.Typer(no_args_is_help=True, help="Manage the secrets that the database stores encrypted.")


@secrets.command("re-encrypt")
def re_encrypt(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the secrets and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Encrypt the stored secrets with the first of SPENDGATE_ENCRYPTION_KEYS, so that older keys can be removed.

    Exit code 1 if some secret cannot be decrypted with any key. Safe while the service runs, and to run again.
    """
    with counted_progress() as shown:
        task = shown.add_task("Re-encrypting", total=key_rotation.total())
        done = key_rotation.re_encrypt(dry_run=dry_run, on_done=lambda number: shown.update(task, advance=number))
    if as_json:
        print_json(vars(done) | {"dry_run": dry_run})
    else:
        _print(done, dry_run=dry_run)
    if done.unreadable:
        raise typer.Exit(FOUND_EXIT)


def _print(done: key_rotation.Rotation, *, dry_run: bool) -> None:
    verb = "would be re-encrypted" if dry_run else "re-encrypted"
    current = f"{done.current:,} encrypted with the first key already"
    console.print(f"{counted(done.re_encrypted, 'secret')} {verb}, {current}")
    for words in done.unreadable:
        console.print(f"[red]{escape(words)}: no key decrypts it; add the key that encrypted it, or set it again[/red]")
    if not done.unreadable and not dry_run:
        console.print("older keys are no longer needed: leave the first in SPENDGATE_ENCRYPTION_KEYS, and restart")
