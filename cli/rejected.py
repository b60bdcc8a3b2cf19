"""`spendgate rejected`: lists rejected inputs and dead letters, and replays them."""

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from app.ingest.replay_rejected import Replayed, replay_chosen
from cli.output import FOUND_EXIT, AsJson, console, counted_progress, print_json, print_result, print_rows
from cli.service.waiting import TIMEOUT_EXIT
from db.engine import snapshot
from db.repository.ledger import rejected
from db.repository.ledger.rejected import Chosen, Waiting
from domain.errors import InvalidValue

rejected_app = typer.Typer(
    no_args_is_help=True, help="Manage rejected inputs, which are kept with their reason until they are replayed."
)

REPLAY_PAGE = 5_000

Reason = Annotated[str | None, typer.Option(help="Only inputs rejected with this reason code.")]


@rejected_app.command("list")
def list_rejected(
    reason: Reason = None,
    after: Annotated[int, typer.Option(help="List only inputs with a larger id, for the next page.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The largest number of inputs to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List rejected inputs in the order they arrived, with the reason. The table cuts long inputs; --json does not."""
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
    is_chosen = reason is not None or after > 0
    empty = "There are no such rejected inputs." if is_chosen else "There are no rejected inputs."
    print_rows("Rejected", rows, empty=empty)
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
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Count the inputs to replay and change nothing."),
    ] = False,
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
        raise typer.Exit(TIMEOUT_EXIT)
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
