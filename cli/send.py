"""`spendgate send`: enqueues spend events or reported totals from JSON lines."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from more_itertools import chunked
from rich.markup import escape

from cli.output import FOUND_EXIT, AsJson, console, errors, print_json, progress
from cli.service import waiting
from delivery.outgoing import send_events, send_totals
from domain.errors import InvalidValue
from domain.inputs.json_text import flaws_of, read_json

SHOWN_BAD_ROWS = 20


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
        sent, messages = _send_all(chunked(_parsed(lines, bad), batch), enqueue, submission)
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
    """Enqueues a message for each batch, with a receipt if there is a submission; returns how many of both."""
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
