"""`spendgate sequences`: which numbers of its sources never arrived."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from cli.output import FOUND_EXIT, AsJson, console, print_json, print_rows
from db.engine import snapshot
from db.repository.sequences import Gap, gaps, numberings
from domain.errors import InvalidValue
from runtime import clock
from workers.sequences import forget_gaps, grace

SHOWN_GAPS = 50


def sequences(
    source: Annotated[str | None, typer.Option(help="Only this source.")] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Give up the gaps of --source: their numbers count as arrived.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sources that number their events: what arrived, and the gaps that are older than the grace. Exit code 1 for gaps.

    A gap goes when late events fill it, or when it is given up with --forget.
    """
    if forget:
        _forget(source, as_json=as_json)
    at = clock.now()
    with snapshot() as connection:
        known = numberings(connection, at - grace(), source)
        found = list(gaps(connection, at - grace(), source=source))
    rows: list[dict[str, Any]] = [
        numbering._asdict() | {"gaps": [_told(gap) for gap in found if gap.source == numbering.source]}
        for numbering in known
    ]
    if as_json:
        print_json(rows)
    else:
        shown = [row | {"gaps": len(row["gaps"])} for row in rows]
        print_rows("Sources", shown, empty="No source has numbered its events.")
        _show_gaps(found)
    if found:
        raise typer.Exit(FOUND_EXIT)


def _forget(source: str | None, *, as_json: bool) -> None:
    if source is None:
        raise InvalidValue("--forget", "say with --source whose gaps to give up")
    forgotten = forget_gaps(source)
    if forgotten is not None and not as_json:
        line = f"{escape(source)}: {forgotten.missing} missing numbers up to {forgotten.last} given up"
        console.print(line, highlight=False)


def _show_gaps(found: list[Gap]) -> None:
    if not found:
        return
    print_rows("Gaps", [{"source": gap.source} | _told(gap) for gap in found[:SHOWN_GAPS]], empty="")
    if len(found) > SHOWN_GAPS:
        console.print(f"… and {len(found) - SHOWN_GAPS} more; --json lists them")


def _told(gap: Gap) -> dict[str, Any]:
    return {"first": gap.first, "last": gap.last, "missing": gap.missing, "since": gap.since}
