"""`spendgate import|send|rejected`: spend from files, and rejected inputs."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from babel.numbers import is_currency
from rich.markup import escape

from app.imports import exports, imports
from app.imports.exports import Export, Unit
from app.ingest.count import Counted
from app.ingest.replay import replay_chosen
from cli import waiting
from cli.catalog import edit
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
    reading,
)
from db.engine import snapshot
from db.repository.ledger import rejected
from db.repository.ledger.rejected import Chosen, Waiting
from delivery.outgoing import send_events, send_totals
from domain.errors import InvalidValue
from domain.json_text import flaws_of, read_json
from domain.money import format_units
from runtime import clock
from runtime.formats import escape_surrogates

rejected_app = typer.Typer(
    no_args_is_help=True, help="Manage rejected inputs, which are kept with their reason until they are replayed."
)

SHOWN_BAD_ROWS = 20
REPLAY_PAGE = 5_000


def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A CSV export of campaigns' days.")],
    platform: Annotated[str, typer.Option(help=f"Presets: {', '.join(exports.PRESETS)}; any other name will do too.")],
    campaign_column: Annotated[str | None, typer.Option(help="The column with the platform's campaign id.")] = None,
    date_column: Annotated[str | None, typer.Option(help="The column with the day.")] = None,
    spend_column: Annotated[str | None, typer.Option(help="The column with the money.")] = None,
    unit: Annotated[str | None, typer.Option(help="What the money is in: currency or micros.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="When the figures were true, ISO 8601 with zone. Default: now.")
    ] = None,
    create_campaigns: Annotated[
        bool, typer.Option("--create-campaigns", help="Make campaigns that are not known.")
    ] = False,
    brand: Annotated[
        str | None, typer.Option(help="The brand to make them in, by name; made too if there is none.")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="The IANA zone of a brand that is made: the one the platform's days are in.")
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="The currency of a brand that is made. Default: the file's, where it says one.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="The platform's id of the account that the file is of. Default: any.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the file and say what it holds; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import a platform's report: day totals become spend events for what changed since the last figures.

    Rows of one campaign and day are parts of one total. Importing a file again changes nothing. Exit code 1 when
    a row could not be read or a total was refused; those are listed, and the refused ones kept (`spendgate rejected`).
    """
    if create_campaigns and brand is None:
        raise InvalidValue("--brand", "say in which brand --create-campaigns makes them")
    columns = exports.columns_for(
        platform, campaign=campaign_column, day=date_column, spend=spend_column, unit=_unit(unit)
    )
    moment = clock.now() if as_of is None else _moment(as_of)
    export = _read(file, columns)
    made = 0
    if create_campaigns and brand is not None and not dry_run:
        made = imports.create_missing(export, platform, brand, time_zone, edit().by, _currency(currency), account)
    counted = [] if dry_run else _counted(imports.payloads(export, platform, moment, account))
    _tell_import(export, made, counted, as_json=as_json, dry_run=dry_run)
    if export.bad_rows or any(some.rejections for some in counted):
        raise typer.Exit(FOUND_EXIT)


def _currency(code: str | None) -> str | None:
    if code is not None and not is_currency(code.upper()):
        raise InvalidValue("--currency", f"{code!r} is not an ISO 4217 code such as USD")
    return code and code.upper()


def _unit(text: str | None) -> Unit | None:
    match text:
        case None | "currency" | "micros":
            return text
        case _:
            raise InvalidValue("--unit", f"{text!r} is neither currency nor micros")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValue("--as-of", f"{text!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise InvalidValue("--as-of", f"{text!r} lacks its distance from UTC, such as Z")
    return moment.astimezone(UTC)


def _read(file: Path, columns: exports.Columns) -> Export:
    try:
        with reading(file) as stream:
            return exports.read_export(stream, columns)
    except csv.Error as error:
        raise InvalidValue("file", f"{file.name} is no CSV file: {error}") from None


def _counted(payloads: list[dict[str, object]]) -> list[Counted]:
    counted = []
    with progress() as shown:
        task = shown.add_task("Counting", total=len(payloads))
        for some in imports.import_totals(payloads):
            counted.append(some)
            shown.advance(task, imports.TOTALS_A_TRANSACTION)
    return counted


def _tell_import(export: Export, made: int, counted: list[Counted], *, as_json: bool, dry_run: bool) -> None:
    told = {
        "rows": export.rows,
        "campaigns": len({external_id for external_id, _ in export.totals}),
        "days": len({day for _, day in export.totals}),
        "totals": len(export.totals),
        "sum_micros": sum(export.totals.values()),
        "campaigns_made": made,
        "taken": sum(some.taken for some in counted),
        "nothing_new": sum(some.known for some in counted),
        "rejected": sum(len(some.rejections) for some in counted),
        "bad_rows": [row._asdict() for row in export.bad_rows],
        "dry_run": dry_run,
    }
    if as_json:
        print_json(told)
        return
    console.print(
        f"{told['rows']} rows: {told['campaigns']} campaigns, {told['days']} days, {told['totals']} totals, "
        f"{format_units(sum(export.totals.values()))} in all"
    )
    if dry_run:
        console.print("[dim]dry run: nothing was changed[/dim]")
    else:
        console.print(
            f"{made} campaigns made, {told['taken']} totals taken, {told['nothing_new']} with nothing new, "
            f"{told['rejected']} rejected"
        )
    for row in export.bad_rows[:SHOWN_BAD_ROWS]:
        errors.print(f"[red]line {row.line}[/red] {escape(row.reason)}")
    if len(export.bad_rows) > SHOWN_BAD_ROWS:
        errors.print(f"… and {len(export.bad_rows) - SHOWN_BAD_ROWS} more; --json lists them all")


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
    sent = messages = 0
    with _lines(file) as lines, progress() as shown:
        task = shown.add_task("Sending", total=None)
        for events in _batches(_parsed(lines, bad), batch):
            receipt = {} if submission is None else {"receipt": submission.another()}
            enqueue(events, **receipt)
            sent += len(events)
            messages += 1
            shown.update(task, completed=sent, description=f"Sending {sent}")
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


@contextmanager
def _lines(file: str) -> Iterator[BinaryIO]:
    """Opens a file, or standard input for `-`. Raises InvalidValue if the file cannot be read."""
    try:
        with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as lines:
            yield lines
    except OSError as error:
        raise InvalidValue("file", f"{file}: {error.strerror}") from None


def _parsed(lines: BinaryIO, bad: dict[int, str]) -> Iterator[Any]:
    """Yields the event of each valid JSON line; adds the other lines to `bad`: line number from 1 and the fault."""
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
            "input": escape_surrogates(json.dumps(row.payload, ensure_ascii=False))[:100],
        }
        for row in waiting
    ]
    print_rows("Rejected", rows, empty="There are no rejected inputs.")
    for name, inputs, times in counts:
        console.print(f"[dim]{name}: {inputs} rejected, received {times} time{'s' if times != 1 else ''}[/dim]")


def _pages(reason: str | None, ids: list[int] | None) -> Iterator[Waiting]:
    """Yields the rejected inputs, read from the database in pages of REPLAY_PAGE."""
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
    data = {
        "replayed": done.total,
        "taken": done.taken,
        "known": done.known,
        "rejected_again": done.rejected,
        "held_up": done.held_up,
    }
    if as_json:
        print_json(data)
    else:
        console.print(
            f"{done.total} replayed: {done.taken} counted, {done.known} known already, {done.rejected} rejected again"
        )
        if done.held_up:
            console.print(f"[red]{done.held_up} remain: their brand is locked[/red]; run the command again")
    if done.held_up:
        raise typer.Exit(waiting.TIMEOUT_EXIT)
    if done.rejected:
        raise typer.Exit(FOUND_EXIT)
