"""Edits in a terminal: what stops or releases campaigns is shown first and asked about; programs say `--yes`."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.markup import escape
from sqlalchemy import Connection

from app.edits import preview as edits
from app.edits.preview import Effect, Unconfirmed
from cli.output import FOUND_EXIT, console
from domain.errors import InvalidValue

Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask, whatever the edit stops or releases. Programs need it.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what the edit would do, and change nothing.")]

Work = Callable[[Connection], object]


def make(work: Work, brand_id: int, done: str, *, yes: bool, dry_run: bool) -> None:
    """Makes an edit of one brand, once a person has agreed to its effect, and prints `done` and the effect.

    Raises InvalidValue where nobody can be asked. Exits with 1 where a person does not agree.
    """
    if dry_run:
        _print(f"{edits.previewed(work, brand_id).sentence()}. A dry run: nothing was changed.")
        return
    effect = _made(work, brand_id, yes=yes)
    _print(done)
    if effect.needs_consent:
        _print(f"{effect.sentence(is_done=True)}.")


def _made(work: Work, brand_id: int, *, yes: bool) -> Effect:
    agreed = ""
    while True:
        try:
            return edits.edit(work, brand_id, (lambda _effect: True) if yes else edits.agreed_to(agreed))[1]
        except Unconfirmed as unconfirmed:
            agreed = _asked(unconfirmed.effect, is_again=bool(agreed))


def _asked(effect: Effect, *, is_again: bool) -> str:
    """The token of the effect that a person agreed to."""
    if not sys.stdin.isatty():
        raise InvalidValue("--yes", f"missing, and nobody can be asked here. {effect.sentence()}. Nothing was changed")
    if is_again:
        _print("It would do something else by now:")
    _print(f"{effect.sentence()}.")
    if not typer.confirm("Make this edit?"):
        _print("Nothing was changed.")
        raise typer.Exit(FOUND_EXIT)
    return effect.token


def _print(line: str) -> None:
    console.print(escape(line), highlight=False, soft_wrap=True)
