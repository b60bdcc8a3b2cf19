"""`spendgate sequences`: which numbers of its sources never arrived."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from app.sequences import forget_gaps, grace
from cli.output import FOUND_EXIT, AsJson, console, print_json, print_rows
from db.engine import snapshot
from db.repository.ledger.sequences import (
    Gap,
    Source,
    gaps,
    numberings,
)
from domain.errors import InvalidValue
from runtime import clock

SHOWN_GAPS = 50


def sequences(
    source: Annotated[str | None, typer.Option(help="Only this source.")] = None,
    brand: Annotated[
        int | None, typer.Option(help="Only what keys of this brand send; 0: what senders of all brands send.")
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Give up the gaps of --source: their numbers count as arrived.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sources that number their events: what arrived, and the gaps that are older than the grace. Exit code 1 for gaps.

    A source belongs to who sends for it: its `brand_id` is that of the sender's key, 0 for senders of all brands. A gap
    goes when late events fill it, or when it is given up with --forget.
    """
    if forget:
        _forget(source, brand, as_json=as_json)
    at = clock.now()
    with snapshot() as connection:
        known = numberings(connection, at - grace(), source, brand)
        found = list(gaps(connection, at - grace(), source=source, brand_id=brand))
    rows: list[dict[str, Any]] = [
        numbering._asdict() | {"gaps": [_told(gap) for gap in found if gap[:2] == numbering[:2]]} for numbering in known
    ]
    if as_json:
        print_json(rows)
    else:
        shown = [row | {"gaps": len(row["gaps"])} for row in rows]
        print_rows("Sources", shown, empty="No source has numbered its events.")
        _show_gaps(found)
    if found:
        raise typer.Exit(FOUND_EXIT)


def _forget(source: str | None, brand: int | None, *, as_json: bool) -> None:
    if source is None:
        raise InvalidValue("--forget", "say with --source whose gaps to give up")
    with snapshot() as connection:
        senders = [numbering.brand_id for numbering in numberings(connection, clock.now(), source, brand)]
    if len(senders) > 1:
        several = ", ".join(map(str, senders))
        raise InvalidValue("--forget", f"say with --brand which of the senders of {source} is meant: {several}")
    forgotten = forget_gaps(Source(senders[0], source)) if senders else None
    if forgotten is not None and not as_json:
        line = f"{escape(source)}: {forgotten.missing} missing numbers up to {forgotten.last} given up"
        console.print(line, highlight=False)


def _show_gaps(found: list[Gap]) -> None:
    if not found:
        return
    print_rows(
        "Gaps", [{"brand_id": gap.brand_id, "source": gap.source} | _told(gap) for gap in found[:SHOWN_GAPS]], empty=""
    )
    if len(found) > SHOWN_GAPS:
        console.print(f"… and {len(found) - SHOWN_GAPS} more; --json lists them")


def _told(gap: Gap) -> dict[str, Any]:
    return {"first": gap.first, "last": gap.last, "missing": gap.missing, "since": gap.since}
