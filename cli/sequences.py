"""`spendgate sequences`: gaps in the sequence numbers of sources, which mean lost events."""

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
    source: Annotated[str | None, typer.Option(help="List only this source.")] = None,
    brand: Annotated[
        int | None,
        typer.Option(help="List only sources whose sender's key is of this brand; 0: of all brands."),
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget the gaps of --source: treat their numbers as arrived.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List sources that send sequence numbers, and gaps older than the grace period. Exit code 1 if there are gaps.

    The grace period is SPENDGATE_SEQUENCE_GAP_SECONDS. A source belongs to its sender: `brand_id` is the brand of the
    sender's key, or 0 for senders of all brands. A gap disappears when late events fill it or when you forget it with
    --forget.
    """
    if forget:
        _forget(source, brand, as_json=as_json)
    at = clock.now()
    with snapshot() as connection:
        known = numberings(connection, at - grace(), source, brand)
        open_gaps = list(gaps(connection, at - grace(), source=source, brand_id=brand))
    rows: list[dict[str, Any]] = [
        numbering._asdict() | {"gaps": [_row(gap) for gap in open_gaps if gap[:2] == numbering[:2]]}
        for numbering in known
    ]
    if as_json:
        print_json(rows)
    else:
        shown = [row | {"gaps": len(row["gaps"])} for row in rows]
        is_chosen = source is not None or brand is not None
        print_rows("Sources", shown, empty=f"No {'such ' if is_chosen else ''}source sends sequence numbers.")
        _print_gaps(open_gaps)
    if open_gaps:
        raise typer.Exit(FOUND_EXIT)


def _forget(source: str | None, brand: int | None, *, as_json: bool) -> None:
    if source is None:
        raise InvalidValue("--forget", "needs --source: the source whose gaps are forgotten")
    with snapshot() as connection:
        senders = [numbering.brand_id for numbering in numberings(connection, clock.now(), source, brand)]
    if len(senders) > 1:
        several = ", ".join(map(str, senders))
        raise InvalidValue("--forget", f"several senders use the source {source}: choose one with --brand: {several}")
    forgotten = forget_gaps(Source(senders[0], source)) if senders else None
    if forgotten is not None and not as_json:
        line = f"{escape(source)}: forgot {forgotten.missing} missing numbers up to {forgotten.last}"
        console.print(line, highlight=False)


def _print_gaps(open_gaps: list[Gap]) -> None:
    if not open_gaps:
        return
    print_rows(
        "Gaps",
        [{"brand_id": gap.brand_id, "source": gap.source} | _row(gap) for gap in open_gaps[:SHOWN_GAPS]],
        empty="",
    )
    if len(open_gaps) > SHOWN_GAPS:
        console.print(f"… and {len(open_gaps) - SHOWN_GAPS} more; --json lists them")


def _row(gap: Gap) -> dict[str, Any]:
    return {"first": gap.first, "last": gap.last, "missing": gap.missing, "since": gap.since}
