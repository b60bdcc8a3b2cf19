"""Prints the preview and the result of `spendgate import`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from app.imports.answers import Reading
from app.imports.intake import words
from app.imports.intake.commit import Outcome
from app.imports.intake.left_out import LeftOut
from app.imports.intake.plans import Plan
from cli.output import console, errors, print_json

SHOWN_LEFT_OUT: Final = 20
"""Rows left out that the summary of `spendgate import` lists, at most."""


def show(reading: Reading, planned: Plan | None) -> None:
    """Prints the preview of an import: the content of the file and its effect.

    `planned` None: no database answers, so it prints the content alone.
    """
    columns = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("Column", "Read as", "Why"):
        columns.add_column(name, overflow="fold")
    for one in reading.columns:
        columns.add_row(escape(one.heading), one.meaning, escape(one.why))
    console.print(columns)
    console.print()
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for line in words.reading_lines(reading):
        facts.add_row(line.label, escape(line.text))
    for line in [] if planned is None else words.plan_lines(planned):
        facts.add_row(line.label, escape(line.text))
    console.print(facts)
    if planned is None:
        console.print("[dim]No database answers here, so the file is not compared with known totals.[/dim]")
    if planned is not None and planned.missing and planned.target.brand is None:
        console.print("[dim]--create-campaigns --brand NAME creates the unknown campaigns.[/dim]")
    for warning in reading.warnings if planned is None else planned.warnings:
        console.print(f"[yellow]Warning[/yellow] {escape(warning)}", highlight=False)
    for concern in () if planned is None else words.concerns(planned):
        console.print(f"[yellow]Confirm[/yellow] {escape(concern)}", highlight=False)


def tell_import(
    reading: Reading,
    planned: Plan | None,
    outcome: Outcome,
    left_out_file: Path | None,
    left_out: Sequence[LeftOut],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Prints the result of an import: all of it as JSON, or a summary for people.

    `left_out`: (line, cell, reason) of each row left out; line 0 stands for a whole total. The summary has the first
    SHOWN_LEFT_OUT of them. `left_out_file`: the file that lists them all; None if none was written.
    """
    if as_json:
        rows = [{"line": line or None, "cell": cell, "reason": reason} for line, cell, reason in left_out]
        data = _import_as_data(reading, planned, outcome, dry_run=dry_run)
        print_json(data | {"skipped_in": left_out_file, "left_out": rows})
        return
    console.print(
        f"{reading.rows} rows: {len(reading.totals.campaigns)} campaigns, {len(reading.totals.days)} days, "
        f"{len(reading.totals)} totals, {words.sums(_sums(reading, planned))} in all"
    )
    if dry_run:
        console.print("[dim]dry run: nothing was changed[/dim]")
    else:
        number = "" if outcome.import_id is None else f"import [bold]{outcome.import_id}[/bold]: "
        console.print(
            f"{number}{outcome.campaigns_made} campaigns created, {outcome.taken} totals counted, "
            f"{outcome.nothing_new} unchanged, {len(outcome.rejections)} rejected"
        )
    for line, cell, reason in left_out[:SHOWN_LEFT_OUT]:
        where = f"line {line}" if line else cell
        errors.print(f"[red]{escape(where)}[/red] {escape(reason)}", highlight=False, soft_wrap=True)
    if len(left_out) > SHOWN_LEFT_OUT:
        errors.print(f"… and {len(left_out) - SHOWN_LEFT_OUT} more")
    if left_out_file is not None:
        path = escape(str(left_out_file))
        errors.print(f"All {len(left_out)} left out, each with line, cell and reason: {path}", soft_wrap=True)


def _sums(reading: Reading, planned: Plan | None) -> Mapping[str, int]:
    return {reading.currency or "": reading.totals.sum_micros} if planned is None else planned.sum_micros


def _import_as_data(reading: Reading, planned: Plan | None, outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    data: dict[str, Any] = {
        "rows": reading.rows,
        "campaigns": len(reading.totals.campaigns),
        "days": len(reading.totals.days),
        "totals": len(reading.totals),
        "sum_micros": reading.totals.sum_micros,
        "sums": _sums(reading, planned),
        "campaigns_made": outcome.campaigns_made,
        "taken": outcome.taken,
        "nothing_new": outcome.nothing_new,
        "rejected": len(outcome.rejections),
        "bad_rows": [row._asdict() for row in reading.bad_rows],
        "dry_run": dry_run,
        "import_id": outcome.import_id,
        "platform": reading.platform,
        "platform_why": reading.platform_why,
        "account": reading.account,
        "columns": [one._asdict() for one in reading.columns],
        "unit": reading.unit,
        "proofs": reading.proofs,
        "currency": reading.currency,
        "time_zone": reading.time_zone,
        "first_day": reading.first_day,
        "last_day": reading.last_day,
        "as_of": reading.as_of if planned is None else planned.as_of,
        "as_of_source": reading.as_of_source if planned is None else planned.as_of_source,
        "is_complete": reading.is_complete,
        "is_delta": reading.is_delta,
        "totals_rows": reading.totals_phrase,
        "identical_rows": reading.identical_rows,
        "warnings": reading.warnings if planned is None else planned.warnings,
        "sha256": reading.sha256,
    }
    return data | ({} if planned is None else _plan_as_data(planned))


def _plan_as_data(planned: Plan) -> dict[str, Any]:
    tally = planned.tally
    return {
        "campaigns_known": planned.known_campaigns,
        "campaigns_new": len(planned.missing),
        "changes": {
            "new": tally.new.count,
            "changed": tally.changed.count,
            "fallen": tally.fallen.count,
            "elsewhere": tally.elsewhere.count,
            "vanished": len(planned.vanished),
            "known": tally.same,
            "older": tally.older,
            "unknown": tally.unknown.count,
            "added_micros": tally.new.after_micros + tally.changed.after_micros - tally.changed.before_micros,
        },
        "concerns": list(words.concerns(planned)),
    }
