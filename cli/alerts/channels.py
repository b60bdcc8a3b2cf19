"""`spendgate alerts channel` and `route`: the channels that alerts are sent to, and which alerts each one gets."""

import sys
from typing import Annotated, Any

import typer
from rich.markup import escape

from app.alerts import channels as work
from cli.catalog.options import edit
from cli.output import FOUND_EXIT, AsJson, console, list_rows, print_result
from db.engine import snapshot
from db.repository.alerts import channels as stored
from domain.alerts.kinds import AlertKind, Timing
from domain.errors import InvalidValue

channels = typer.Typer(
    no_args_is_help=True, help="Manage the channels that alerts are sent to: mail, Slack, Teams and others."
)
routes = typer.Typer(no_args_is_help=True, help="Manage routes, which set the alerts that a channel gets, and when.")

NO_CHANNELS = "No channel yet: alerts are shown, logged and sent to webhooks. Add one: spendgate alerts channel add"

ChannelArgument = Annotated[int, typer.Argument(help="The channel's id in `spendgate alerts channel list`.")]
RouteArgument = Annotated[int, typer.Argument(help="The route's id in `spendgate alerts route list`.")]
BrandOption = Annotated[int | None, typer.Option(help="Only alerts of the brand with this id.")]
KindOption = Annotated[AlertKind | None, typer.Option(help="Only alerts of this kind.")]
TimingOption = Annotated[
    Timing,
    typer.Option(
        help="now, digest (at 09:00 of the brand's time), never, or default (urgent kinds now, others digest)."
    ),
]


@channels.command("add")
def add_channel(
    name: Annotated[str, typer.Argument(help="A name for the channel, such as ops-slack.")],
    url_stdin: Annotated[
        bool, typer.Option("--url-stdin", help="Read the service's URL, as apprise writes it, from standard input.")
    ] = False,
    brand: BrandOption = None,
    kind: KindOption = None,
    when: TimingOption = Timing.DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Add a channel that gets all alerts, or only the alerts of one brand or kind.

    The URL is typed unseen or read from standard input, because arguments show in lists of processes. It is encrypted
    and never shown.
    """
    made = work.add(name, _url(from_stdin=url_stdin), edit(), brand_id=brand, kind=kind, timing=when)
    line = f"channel [bold]{made}[/bold] is added; next: spendgate alerts channel test {made}"
    print_result({"channel": made}, line, as_json=as_json)


def _url(*, from_stdin: bool) -> str:
    """Reads the URL from standard input, or asks for it at a terminal without showing it.

    Raises InvalidValue if it has to ask and standard input is no terminal.
    """
    if from_stdin:
        return sys.stdin.readline().strip()
    if not sys.stdin.isatty():
        raise InvalidValue("url", "standard input is not a terminal; use --url-stdin")
    return str(typer.prompt("URL", hide_input=True, err=True))


@channels.command("test")
def try_channel(channel: ChannelArgument) -> None:
    """Send a test text to the channel now. Exit code 1 if the service did not accept it."""
    outcome = work.send_test(channel)
    if not outcome.is_delivered:
        console.print(f"[red]not delivered after {outcome.duration_ms} ms: {escape(outcome.detail)}[/red]")
        raise typer.Exit(FOUND_EXIT)
    console.print(f"delivered in {outcome.duration_ms} ms")


@channels.command("list")
def list_channels(as_json: AsJson = False) -> None:
    """List the channels with their last delivery. Their URLs are not shown."""
    rows, _, _ = work.listed()
    list_rows("Channels", rows, _channel, as_json=as_json, empty=NO_CHANNELS)


def _channel(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "name", "scheme", "waiting", "last_sent_at", "failing_since")}


@channels.command("attempts")
def list_attempts(
    channel: ChannelArgument,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many attempts.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the last attempts to send to a channel, newest first."""
    with snapshot() as connection:
        stored.required(connection, channel)
        rows = stored.attempts(connection, channel, limit)
    list_rows("Attempts", rows, _attempt, as_json=as_json, empty="nothing was sent to this channel yet")


def _attempt(row: dict[str, Any]) -> dict[str, Any]:
    outcome = "delivered" if row["is_delivered"] else f"failed: {row['detail']}"
    return {"at": row["attempted_at"], "what": row["purpose"], "outcome": outcome, "ms": row["duration_ms"]}


@channels.command("remove")
def remove_channel(channel: ChannelArgument) -> None:
    """Remove a channel with its routes and attempts; alerts that wait for it are not sent."""
    work.remove(channel, edit())
    console.print(f"channel {channel} is removed")


@routes.command("set")
def set_route(
    channel: ChannelArgument,
    brand: BrandOption = None,
    kind: KindOption = None,
    when: TimingOption = Timing.DEFAULT,
) -> None:
    """Set when a channel gets alerts; --brand and --kind choose only some of them.

    If several routes match an alert, one with its brand wins over one without, and then one with its kind.
    """
    made = work.set_route(channel, brand, kind, when, edit())
    console.print(f"route {made} is set")


@routes.command("list")
def list_routes(as_json: AsJson = False) -> None:
    """List the routes of all channels."""
    _, rows, _ = work.listed()
    list_rows("Routes", rows, _route, as_json=as_json, empty="no route: no alert is sent to a channel")


def _route(row: dict[str, Any]) -> dict[str, Any]:
    of = {name: row[name] or "all" for name in ("brand", "kind")}
    return {"id": row["id"], "channel": f"{row['channel_id']} {row['channel']}", **of, "when": row["timing"]}


@routes.command("remove")
def remove_route(route: RouteArgument) -> None:
    """Remove a route."""
    work.remove_route(route, edit())
    console.print(f"route {route} is removed")
