"""`spendgate send|rejected`: spend events as JSON lines, and rejected inputs."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.markup import escape

from app.ingest.replay_rejected import Replayed, replay_chosen
from cli.output import (
    FOUND_EXIT,
    AsJson,
    console,
    counted_progress,
    errors,
    print_json,
    print_result,
    print_rows,
    progress,
)
from cli.service import waiting
from db.engine import snapshot
from db.repository.ledger import rejected
from db.repository.ledger.rejected import Chosen, Waiting
from delivery.outgoing import send_events, send_totals
from domain.errors import InvalidValue
from domain.inputs.json_text import flaws_of, read_json

rejected_app = typer.Typer(
    no_args_is_help=True, help="Manage rejected inputs, which are kept with their reason until they are replayed."
)

SHOWN_BAD_ROWS = 20
REPLAY_PAGE = 5_000


def send(
    file: Annotated[str, typer.Argument(help="A file of JSON lines, one spend event per line; - for standard input.")],
    batch: Annotated[int, typer.Option(min=1, max=5000, help="The number of events in one message.")] = 1000,
    totals: Annotated[bool, typer.Option("--totals", help="The lines are reported totals, not spend events.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the events are committed, and report the result.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="With --wait: the timeout in seconds, from the last message sent.")
    ] = 300,
    as_json: AsJson = False,
) -> None:
    """Enqueue spend events for the workers. Exit code 1 if a line is not JSON or has a value that cannot be stored.

    Such lines are listed and not sent. With --wait, exit code 1 also if events were rejected, and 4 after a timeout;
    the workers count the sent events all the same.
    """
    enqueue = send_totals if totals else send_events
    submission = waiting.new_submission() if wait else None
    bad: dict[int, str] = {}
    with _lines(file) as lines:
        sent, messages = _send_all(_batches(_parsed(lines, bad), batch), enqueue, submission)
    outcome = None if submission is None else waiting.wait(submission, sent, timeout)
    for line, reason in islice(bad.items(), SHOWN_BAD_ROWS):
        errors.print(f"[red]line {line}[/red] {escape(reason)}")
    data = {"sent": sent, "messages": messages, "bad_lines": list(bad)}
    if as_json:
        print_json(data if outcome is None else data | outcome.fields())
    else:
        console.print(f"{sent} sent in {messages} message{'s' if messages != 1 else ''}")
        if outcome is not None:
            waiting.print_outcome(outcome)
    if outcome is not None and outcome.is_timed_out:
        raise typer.Exit(waiting.TIMEOUT_EXIT)
    if bad or (outcome is not None and outcome.needs_attention):
        raise typer.Exit(FOUND_EXIT)


def _send_all(
    batches: Iterable[list[Any]], enqueue: Callable[..., None], submission: waiting.PendingReceipts | None
) -> tuple[int, int]:
    """Enqueues a message for each batch, with a receipt if there is a submission; returns the events and messages."""
    sent = messages = 0
    with progress() as shown:
        task = shown.add_task("Sending", total=None)
        for events in batches:
            receipt = {} if submission is None else {"receipt": submission.another()}
            enqueue(events, **receipt)
            sent += len(events)
            messages += 1
            shown.update(task, completed=sent, description=f"Sending {sent}")
    return sent, messages


@contextmanager
def _lines(file: str) -> Iterator[BinaryIO]:
    """Opens a file, or standard input for `-`. Raises InvalidValue if the file cannot be read."""
    try:
        with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as lines:
            yield lines
    except OSError as error:
        raise InvalidValue("file", f"{file}: {error.strerror}") from None


def _parsed(lines: BinaryIO, bad: dict[int, str]) -> Iterator[Any]:
    """Yields the value of each valid JSON line; adds each other line to `bad`: its number from 1 and its fault.

    Skips blank lines.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            event = read_json(line)
        except (ValueError, RecursionError):
            bad[number] = "is not JSON"
            continue
        if flaws := flaws_of(event):
            bad[number] = f"cannot be stored: {'; '.join(flaws)}"
        else:
            yield event


def _batches(events: Iterable[Any], size: int) -> Iterator[list[Any]]:
    some: list[Any] = []
    for event in events:
        some.append(event)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


Reason = Annotated[str | None, typer.Option(help="Only inputs rejected with this reason code.")]


@rejected_app.command("list")
def list_rejected(
    reason: Reason = None,
    after: Annotated[int, typer.Option(help="List only inputs with a larger id, for the next page.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The largest number of inputs to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List rejected inputs in the order they arrived, with the reason and the whole input."""
    with snapshot() as connection:
        waiting = rejected.waiting(connection, after=after, reason=reason, limit=limit)
        counts = rejected.counts(connection)
    if as_json:
        print_json([row._asdict() for row in waiting])
        return
    rows = [
        {
            "id": row.id,
            "received": row.received_at,
            "reason": row.reason,
            "detail": row.detail,
            "times": row.times,
            "input": json.dumps(row.payload, ensure_ascii=False)[:100],
        }
        for row in waiting
    ]
    print_rows("Rejected", rows, empty="There are no rejected inputs.")
    for name, inputs, times in counts:
        console.print(f"[dim]{name}: {inputs} rejected, received {times} time{'s' if times != 1 else ''}[/dim]")


def _pages(reason: str | None, ids: list[int] | None) -> Iterator[Waiting]:
    """Yields the rejected inputs with this reason and these ids (None: any), read in pages of REPLAY_PAGE."""
    after = 0
    while True:
        with snapshot() as connection:
            page = rejected.waiting(connection, after=after, reason=reason, ids=ids, limit=REPLAY_PAGE)
        yield from page
        if len(page) < REPLAY_PAGE:
            return
        after = page[-1].id


@rejected_app.command("replay")
def replay_rejected(
    ids: Annotated[
        list[int] | None, typer.Argument(help="The ids of the inputs to replay; omit them with --all or --reason.")
    ] = None,
    reason: Reason = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay every rejected input.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be replayed and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Process rejected inputs again, after their cause was fixed. Inputs rejected again are kept with the new reason.

    Replays may run at the same time: only one of them processes an input. Exit code 1 if inputs were rejected again, 4
    if inputs remain because their brand is locked.
    """
    if not ids and reason is None and not everything:
        raise InvalidValue("ids", "give the ids of the inputs to replay, or --reason, or --all")
    if dry_run:
        chosen_ids = [row.id for row in _pages(reason, ids or None)]
        print_result(chosen_ids, f"{len(chosen_ids)} would be replayed", as_json=as_json)
        return
    with counted_progress() as shown:
        task = shown.add_task("Replaying", total=None)
        done = replay_chosen(
            Chosen(reason, ids or None), lambda count, total: shown.update(task, completed=count, total=total)
        )
    _print_replayed(done, as_json=as_json)
    if done.held_up:
        raise typer.Exit(waiting.TIMEOUT_EXIT)
    if done.rejected:
        raise typer.Exit(FOUND_EXIT)


def _print_replayed(done: Replayed, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "replayed": done.total,
                "taken": done.taken,
                "known": done.known,
                "rejected_again": done.rejected,
                "held_up": done.held_up,
            }
        )
        return
    console.print(
        f"{done.total} replayed: {done.taken} counted, {done.known} known already, {done.rejected} rejected again"
    )
    if done.held_up:
        console.print(f"[red]{done.held_up} remain: their brand is locked[/red]; run the command again")
