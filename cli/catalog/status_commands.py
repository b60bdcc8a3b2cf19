"""The commands `pause`, `enable` and `archive` of brands and of campaigns."""

from collections.abc import Callable
from typing import Annotated

import typer

from cli.catalog import consent
from cli.catalog.consent import DryRun, Yes
from domain.campaigns import ConfiguredStatus

StatusEdit = tuple[consent.Work, int]
"""A function that sets the status of a brand or campaign, and the id of the brand whose campaigns it may toggle."""


def add_status_commands(
    group: typer.Typer, noun: str, status_edit: Callable[[int, ConfiguredStatus], StatusEdit]
) -> None:
    """Adds the commands `pause`, `enable` and `archive` to the group."""

    def add(word: str, status: ConfiguredStatus) -> None:
        @group.command(
            word, help=f"Set a {noun}'s status to {status}. Takes effect at once; setting it back undoes it."
        )
        def command(
            number: Annotated[int, typer.Argument(metavar="ID", help=f"The {noun}'s id.")],
            yes: Yes = False,
            dry_run: DryRun = False,
        ) -> None:
            done = f"{noun} {number} is {status}"
            consent.confirm_and_edit(*status_edit(number, status), done, yes=yes, dry_run=dry_run)

    add("pause", ConfiguredStatus.PAUSED)
    add("enable", ConfiguredStatus.ENABLED)
    add("archive", ConfiguredStatus.ARCHIVED)
