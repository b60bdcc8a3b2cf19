"""`spendgate replay`: enqueues kept messages again, so that workers count events that a promoted standby lacks."""

from typing import Annotated

import typer

from app.ingest import kept_messages
from cli.output import FOUND_EXIT, AsJson, console, counted_progress, errors, print_json
from delivery.broker import get_broker
from domain.errors import InvalidValue
from domain.typed_moments import parse_moment
from runtime import clock


def replay(
    since: Annotated[
        str | None,
        typer.Option(help="Replay messages acknowledged since this ISO 8601 time with its distance from UTC."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay every message that is kept.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the messages to replay and send none.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send messages again that were counted before a failover to a standby that was behind.

    Redis keeps them for SPENDGATE_KEEP_MESSAGES_MINUTES after their commit. Events that the ledger has are not counted
    again. Exit code 1 if messages of that time are no longer kept.
    """
    if (since is None) == (not everything):
        raise InvalidValue("--since", "give the time since which to replay messages, or --all")
    first = None if since is None else parse_moment("--since", since)
    if first is not None and first > clock.now():
        raise InvalidValue("--since", f"{since} is in the future")
    get_broker().ping()
    found, kept = kept_messages.extent(first), kept_messages.state()
    replayed = 0
    if not dry_run:
        with counted_progress() as shown:
            task = shown.add_task("Replaying", total=found.messages)
            for count in kept_messages.replay(first):
                replayed += count
                shown.update(task, completed=replayed)
    if as_json:
        facts = {"messages": found.messages, "bytes": found.size_bytes, "replayed": replayed}
        print_json({**facts, "complete": found.is_complete, "kept_since": kept.since})
    else:
        verb = "would be replayed" if dry_run else "are on the queue again; workers count what the ledger lacks"
        console.print(f"{found.messages if dry_run else replayed} messages {verb}")
    if not found.is_complete:
        reason = f"messages are kept since {kept.since:%Y-%m-%dT%H:%M:%SZ}" if kept.messages else "no message is kept"
        errors.print(f"[yellow]{reason}: let the producers send again what they sent before[/yellow]", soft_wrap=True)
        raise typer.Exit(FOUND_EXIT)
