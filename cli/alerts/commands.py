"""`spendgate alerts`: lists open alerts, worst first; acknowledges and mutes them, and sets thresholds of budgets."""

import re
from datetime import timedelta
from typing import Annotated, Any, Final

import typer
from rich.markup import escape

from app.alerts import channels as work
from app.alerts import reading
from cli.alerts.channels import BrandOption, KindOption, channels, routes
from cli.catalog.options import edit
from cli.output import AsJson, console, list_rows, print_json
from db.engine import snapshot
from db.repository.alerts.mute_edits import Muted
from domain.errors import InvalidValue
from runtime import clock

alerts = typer.Typer(
    invoke_without_command=True, help="List alerts that need a person; acknowledge, mute and route alerts."
)

alerts.add_typer(channels, name="channel")
alerts.add_typer(routes, name="route")

NOTHING: Final = "No open alerts."
_DURATION: Final = re.compile(r"([1-9][0-9]{0,4})([mhd])")
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

AlertArgument = Annotated[list[int], typer.Argument(help="The ids of alerts in `spendgate alerts`.")]


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
    """List the open alerts, worst first, each with advice what to do."""
    if context.invoked_subcommand is not None:
        return
    with snapshot() as connection:
        found = reading.needs_people(connection, clock.now(), limit, brand_id=brand, everything=everything)
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
        console.print(f"[dim]and {found.more} more; --limit {len(found.alerts) + found.more} lists them[/dim]")
    if found.hidden and not everything:
        console.print(f"[dim]{found.hidden} acknowledged or muted; --all lists them[/dim]")


@alerts.command("ack")
def acknowledge(
    ids: AlertArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Take the acknowledgement back.")] = False,
) -> None:
    """Acknowledge alerts: other people see that you take care of them, and the list hides them (--all shows them)."""
    work.acknowledge(ids, edit(), take_back=undo)
    console.print(f"{'taken back' if undo else 'acknowledged'}: {', '.join(map(str, ids))}")


@alerts.command("mute")
def mute(
    duration: Annotated[str, typer.Option("--for", help="How long: minutes, hours or days, such as 30m, 8h, 3d.")],
    alert: Annotated[int | None, typer.Option(help="Only the alert with this id.")] = None,
    brand: BrandOption = None,
    kind: KindOption = None,
    channel: Annotated[
        int | None,
        typer.Option(help="Mute alerts only for the channel with this id. Default: for all channels and in the list."),
    ] = None,
) -> None:
    """Mute alerts for a time: they are not sent, and without --channel they leave the list too."""
    if all(one is None for one in (alert, brand, kind, channel)):
        raise InvalidValue("mute", "give alerts or a channel: --alert, --brand, --kind or --channel")
    author = edit()
    made = work.mute(Muted(brand, kind, alert, channel), author.at + _parsed(duration), author)
    console.print(f"mute {made} is set; end it earlier: spendgate alerts unmute {made}")


def _parsed(duration: str) -> timedelta:
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise InvalidValue("--for", f"{duration!r} is not a duration such as 30m, 8h or 3d")
    return int(match[1]) * _UNITS[match[2]]


@alerts.command("unmute")
def unmute(mute_id: Annotated[int, typer.Argument(metavar="MUTE", help="Its id in `spendgate alerts mutes`.")]) -> None:
    """End a mute before its time."""
    work.unmute(mute_id, edit())
    console.print(f"mute {mute_id} is ended")


@alerts.command("mutes")
def list_mutes(as_json: AsJson = False) -> None:
    """List the mutes in force."""
    _, _, rows = work.listed()
    list_rows("Mutes", rows, _mute, as_json=as_json, empty="nothing is muted")


def _mute(row: dict[str, Any]) -> dict[str, Any]:
    of = {name: row[name] or "all" for name in ("brand", "kind", "channel")}
    return {"id": row["id"], "alert": row["alert_id"] or "all", **of, "until": row["until"], "by": row["muted_by"]}


@alerts.command("thresholds")
def set_thresholds(
    brand: Annotated[int, typer.Argument(help="The brand's id.")],
    percents: Annotated[list[int], typer.Argument(help="Percents of a limit, such as 50 80 90 100.")],
) -> None:
    """Set the percents of a limit at which the brand's budgets raise alerts, instead of 80 and 100."""
    kept = work.set_thresholds(brand, percents, edit())
    console.print(f"brand {brand} has alerts at {', '.join(f'{percent} %' for percent in kept)}")
