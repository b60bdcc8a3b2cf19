"""Asks a person to confirm edits that need consent, such as edits that pause campaigns; a program adds `--yes`."""

import sys
from collections.abc import Callable
from typing import Annotated, TypeVar, cast

import typer
from rich.markup import escape
from sqlalchemy import Connection

from app.edits import preview as edits
from app.edits.preview import Agree, Confirmable, Unconfirmed
from cli.output import FOUND_EXIT, NOBODY_ASKED, console
from domain.errors import InvalidValue

Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        "-y",
        help="Make the edit without asking, even if it pauses or releases campaigns. Needed without a terminal.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what the edit would do and change nothing.")]

Work = Callable[[Connection], object]
Made = TypeVar("Made", bound=Confirmable)
"""The effect of an edit. The edit returns it if it needs no consent or a person agreed, else raises Unconfirmed."""


def confirm_and_edit(work: Work, brand_id: int, done: str, *, yes: bool, dry_run: bool) -> None:
    """Runs `work`, an edit of one brand, after a person agreed to its effect; prints `done` and the effect.

    Asks only if the effect needs consent and `yes` is False. With `dry_run` prints the effect and changes nothing.
    Raises InvalidValue if it has to ask and standard input is no terminal; exits with code 1 if the person says no.
    """
    if dry_run:
        print_dry_run(edits.previewed(work, brand_id))
        return
    effect = edit_once_agreed(lambda agree: edits.edit(work, brand_id, agree)[1], yes=yes)
    _print(done)
    if effect.needs_consent:
        _print(f"{effect.sentence(is_done=True)}.")


def print_dry_run(effect: Confirmable) -> None:
    """Prints the effect that an edit would have, and that nothing was changed."""
    _print(f"{effect.sentence()}. A dry run: nothing was changed.")


def print_sentence(effect: Confirmable) -> None:
    """Prints the effect as one sentence."""
    _print(f"{effect.sentence()}.")


def edit_once_agreed(
    make: Callable[[Agree], Made], *, yes: bool, show: Callable[[Made], None] = print_sentence
) -> Made:
    """Makes the edit, and returns its effect. Before, asks a person if the effect needs consent and `yes` is False.

    `show`: prints the effect before the question. Asks again if the effect changes meanwhile. Raises InvalidValue if it
    has to ask and standard input is no terminal; exits with code 1 if the person says no.
    """
    agreed = ""
    while True:
        try:
            return make(edits.agree_to_all if yes else edits.agreed_to(agreed))
        except Unconfirmed as unconfirmed:
            agreed = _ask(cast("Made", unconfirmed.effect), show, is_again=bool(agreed))


def _ask(effect: Made, show: Callable[[Made], None], *, is_again: bool) -> str:
    """Asks a person to agree; returns the effect's token. Raises InvalidValue without a terminal; exits 1 on "no"."""
    if not sys.stdin.isatty():
        raise InvalidValue("--yes", f"add --yes to make this edit: {effect.sentence()}. {NOBODY_ASKED}")
    if is_again:
        _print("The effect of this edit has changed meanwhile:")
    show(effect)
    if not typer.confirm("Make this edit?"):
        _print("Nothing was changed.")
        raise typer.Exit(FOUND_EXIT)
    return effect.token


def _print(line: str) -> None:
    console.print(escape(line), highlight=False, soft_wrap=True)
