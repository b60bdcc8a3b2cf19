"""`spendgate alerts`: what needs a person, worst first."""

from typing import Annotated

import typer
from rich.markup import escape

from app.alerts import reading
from cli.output import AsJson, console, print_json

alerts = typer.Typer(invoke_without_command=True, help="List what needs a person; acknowledge, mute and route alerts.")

NOTHING = "Nothing needs you."


@alerts.callback()
def list_alerts(
    context: typer.Context,
    brand: Annotated[int | None, typer.Option(help="Only the alerts of the brand with this id.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="List acknowledged and muted alerts too, after the others.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many alerts.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the open alerts, worst first, each with what to do about it."""
    if context.invoked_subcommand is not None:
        return
    found = reading.needs_people(limit, brand_id=brand, everything=everything)
    if as_json:
        print_json([one.fields() for one in found.alerts])
        return
    for one in found.alerts:
        marks = "".join(f" [dim]({escape(mark)})[/dim]" for mark in one.marks())
        console.print(f"[bold]{one.id}[/bold]  {escape(one.sentence)}{marks}", highlight=False)
        console.print(f"    [dim]{escape(one.advice)}[/dim]", highlight=False)
    if not found.alerts:
        console.print(NOTHING)
    if found.more:
        console.print(f"[dim]and {found.more} more: --limit {len(found.alerts) + found.more}[/dim]")
    if found.hidden and not everything:
        console.print(f"[dim]{found.hidden} acknowledged or muted: --all[/dim]")
