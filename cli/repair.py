"""`spendgate repair`: shows corrections of the errors that `verify` finds, makes them and records them."""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, assert_never

import typer
from rich.markup import escape

from app.proof import repair as work
from app.proof import verification
from app.proof.repair import Finding, Repaired
from cli.catalog.options import edit
from cli.output import FOUND_EXIT, AsJson, console, counted_progress, money, print_json
from db.engine import snapshot
from db.repository.proof import recount
from db.repository.proof.corrections import Correction
from domain.edits.words import counted
from domain.errors import InvalidValue

SHOWN = 20


def repair(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the corrections and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Repair without asking. Needed without a terminal.")] = False,
    brand: Annotated[int | None, typer.Option("--brand", help="Repair only the brand with this id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Correct counters and totals from the ledger, and holds by the rules. Exit code 1 if errors remain.

    Shows the corrections before it makes them; if it asks, it makes only those of the brands it has shown. It never
    edits history: if the recorded history does not lead to today's state, it adds one row; altered or deleted rows that
    it has shown are acknowledged in your name and `verify` then lists them as notices. Each brand is one transaction,
    so it is safe while workers run.
    """
    by = edit().by
    planned, findings = _planned(by, brand)
    if not as_json:
        _show(planned, findings)
    if dry_run:
        if as_json:
            print_json(_as_data(planned, findings, []) | {"dry_run": True})
        raise typer.Exit(FOUND_EXIT if planned or findings else 0)
    if planned or findings:
        _ask(yes=yes, as_json=as_json)
        with counted_progress() as shown:
            task = shown.add_task("Repairing", total=None)
            corrected = (one.brand_id for repaired in planned for one in repaired.corrections)
            brand_ids = {brand_id for brand_id in corrected if brand_id is not None}
            planned, findings = work.repair_all(
                by,
                findings,
                brand,
                None if yes else brand_ids,
                lambda done, total: shown.update(task, completed=done, total=total),
            )
    left = _remaining(brand)
    if as_json:
        print_json(_as_data(planned, findings, left) | {"dry_run": False})
    else:
        _print_done(planned, findings, left)
    if left:
        raise typer.Exit(FOUND_EXIT)


def _planned(by: str, brand: int | None) -> tuple[list[Repaired], list[Finding]]:
    with counted_progress() as shown:
        task = shown.add_task("Verifying", total=None)
        checks = verification.verify(lambda name: shown.update(task, description=name))
        brand_ids = work.brands_to_repair(checks, brand)
        shown.update(task, description="Trying", total=len(brand_ids))
        planned = []
        for brand_id in brand_ids:
            planned.append(work.repair_brand(brand_id, by, dry_run=True))
            shown.advance(task)
    return [repaired for repaired in planned if repaired.corrections], work.to_acknowledge(checks, brand)


def _remaining(brand: int | None) -> list[dict[str, Any]]:
    """Returns the wrong rows, of one brand or all (None), that `verify` still finds; a person has to check them."""
    return [
        {"check": check.name, **row}
        for check in verification.verify()
        for row in check.wrong
        if brand is None or row.get("brand_id") == brand
    ]


def _ask(*, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise InvalidValue("--yes", "add --yes to repair without asking, or --dry-run to see the corrections")
    typer.confirm("Make these corrections?", abort=True)


def _as_data(planned: Sequence[Repaired], findings: Sequence[Finding], left: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "corrections": [correction._asdict() for repaired in planned for correction in repaired.corrections],
        "toggles": sum(repaired.toggles for repaired in planned),
        "at_least": any(repaired.at_least for repaired in planned),
        "acknowledged": [{"check": check, "finding": row} for check, row in findings],
        "left": left,
    }


def _show(planned: Sequence[Repaired], findings: Sequence[Finding]) -> None:
    if not planned and not findings:
        console.print("Nothing to repair.")
        return
    currencies = _currencies({correction.brand_id for repaired in planned for correction in repaired.corrections})
    for repaired in planned:
        for correction in repaired.corrections[:SHOWN]:
            line = sentence(correction, currencies.get(correction.brand_id, ""))
            console.print(escape(line), highlight=False)
        _print_hidden(len(repaired.corrections) - SHOWN)
        if repaired.toggles:
            bound = "at least " if repaired.at_least else ""
            console.print(f"[bold]this toggles {bound}{counted(repaired.toggles)}[/bold]")
    for check, row in findings:
        fields = ", ".join(f"{name} {value}" for name, value in row.items())
        console.print(f"[yellow]to be acknowledged[/yellow] {escape(f'{check}: {fields}')}", highlight=False)


def _print_hidden(hidden: int) -> None:
    if hidden > 0:
        console.print(f"… and {hidden} more; --json lists them")


def _currencies(brand_ids: set[int | None]) -> Mapping[int | None, str]:
    with snapshot() as connection:
        return {
            brand_id: recount.currency_of(connection, brand_id) or "" for brand_id in brand_ids if brand_id is not None
        }


def sentence(correction: Correction, currency: str) -> str:
    """Describes a correction in words, with amounts in `currency`, the brand's; empty: in micros."""
    subject = correction.subject
    old, new = dict(correction.old or {}), dict(correction.new or {})
    match correction.kind:
        case "campaign_day" | "brand_day":
            change = _change(old, new, "spent_micros", currency)
            words = f", {subject['day']}: counter {change}, from the ledger"
        case "reported_total":
            change = _change(old, new, "total_micros", currency)
            words = f", {subject['day']}: reported total of {subject['source']} {change}, from the ledger"
        case "limit_history":
            change = _change(old, new, "limit_micros", currency)
            words = f": new row in the history of its {subject['period']} limit: {change}"
        case "history":
            words = f": new row in its history from {_holds(old)} to {_holds(new)}, as stored in its row"
        case "holds":
            words = f": holds change from {_holds(old)} to {_holds(new)}, by the rules"
        case "flag" if new["has_campaign_budgets"]:
            words = ": ingest checks the budgets of its campaigns again"
        case "flag":
            words = ": ingest checks no budgets of its campaigns, since they have none"
        case "directory":
            words = ": its row in the directory of several servers, from its own row"
        case "known":
            words = f": acknowledged finding of the check {subject['check']}"
        case _ as never:
            assert_never(never)
    campaign = f", campaign {subject['campaign_id']}" if subject.get("campaign_id") is not None else ""
    return f"brand {correction.brand_id}{campaign}{words}"


def _change(old: Mapping[str, Any], new: Mapping[str, Any], name: str, currency: str) -> str:
    before, after = (money(values.get(name), currency) if currency else values.get(name) for values in (old, new))
    return f"{before} → {after}"


def _holds(values: Mapping[str, Any]) -> str:
    holds = values.get("holds")
    return "an unknown state" if holds is None else f"held by {', '.join(holds)}" if holds else "active"


def _print_done(done: Sequence[Repaired], findings: Sequence[Finding], left: Sequence[Mapping[str, Any]]) -> None:
    corrected = sum(len(repaired.corrections) for repaired in done)
    bound = "at least " if any(repaired.at_least for repaired in done) else ""
    toggled = sum(repaired.toggles for repaired in done)
    console.print(f"{bound}{corrected} corrected, {bound}{toggled} toggled, {len(findings)} acknowledged")
    if left:
        console.print(
            f"[red]{len(left)} errors remain[/red]: repair cannot correct them, or they are new. See `spendgate verify`"
        )
