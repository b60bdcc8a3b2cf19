"""`spendgate repair`: sets right what `verify` found, shows it first, and keeps what it did."""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from app.proof import repair as work
from app.proof import verification
from app.proof.repair import Repaired
from cli.catalog import edit
from cli.output import FOUND_EXIT, AsJson, console, counted_progress, money, print_json
from db.engine import snapshot
from db.repository.proof import recount
from db.repository.proof.corrections import Correction
from domain.errors import InvalidValue

SHOWN = 20

Finding = tuple[str, dict[str, Any]]


def repair(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking, as programs must.")] = False,
    brand: Annotated[int | None, typer.Option("--brand", help="Only this brand's rows, by its id.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set right what `verify` finds: counters and totals by the ledger, holds by the rules. Exit code 1: not all was.

    Shows first what it would do. Nothing of history is edited: a history that does not lead to what holds today gets
    one more row, and what was altered or deleted is acknowledged in your name; `verify` shows it as known afterwards.
    Each brand is one transaction, safe beside running workers.
    """
    by = edit().by
    planned, findings = _planned(by, brand)
    if not as_json:
        _show(planned, findings)
    if dry_run:
        if as_json:
            print_json(_told(planned, findings, []) | {"dry_run": True})
        raise typer.Exit(FOUND_EXIT if planned or findings else 0)
    if planned or findings:
        _ask(yes=yes, as_json=as_json)
        with counted_progress() as shown:
            task = shown.add_task("Repairing", total=None)
            planned, findings = work.repair_all(
                by, brand, lambda done, total: shown.update(task, completed=done, total=total)
            )
    left = _left(brand)
    if as_json:
        print_json(_told(planned, findings, left) | {"dry_run": False})
    else:
        _tell(planned, findings, left)
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
    return [one for one in planned if one.corrections], work.to_acknowledge(checks, brand)


def _left(brand: int | None) -> list[dict[str, Any]]:
    """What is still wrong, and needs a person."""
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
        raise InvalidValue("--yes", "add it to repair without being asked, or --dry-run to see what would be done")
    typer.confirm("Do this?", abort=True)


def _told(planned: Sequence[Repaired], findings: Sequence[Finding], left: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "corrections": [one._asdict() for repaired in planned for one in repaired.corrections],
        "toggles": sum(repaired.toggles for repaired in planned),
        "acknowledged": [{"check": check, "finding": row} for check, row in findings],
        "left": left,
    }


def _show(planned: Sequence[Repaired], findings: Sequence[Finding]) -> None:
    if not planned and not findings:
        console.print("Nothing to repair.")
        return
    currencies = _currencies({one.brand_id for repaired in planned for one in repaired.corrections})
    for repaired in planned:
        for one in repaired.corrections[:SHOWN]:
            console.print(escape(sentence(one, currencies.get(one.brand_id, ""))), highlight=False)
        _say_more(len(repaired.corrections) - SHOWN)
        if repaired.toggles:
            plural = "" if repaired.toggles == 1 else "s"
            console.print(f"[bold]this toggles {repaired.toggles} campaign{plural}[/bold]")
    for check, row in findings[:SHOWN]:
        said = ", ".join(f"{name} {value}" for name, value in row.items())
        console.print(f"[yellow]to be acknowledged[/yellow] {escape(f'{check}: {said}')}", highlight=False)
    _say_more(len(findings) - SHOWN)


def _say_more(hidden: int) -> None:
    if hidden > 0:
        console.print(f"… and {hidden} more; --json lists them")


def _currencies(brand_ids: set[int | None]) -> Mapping[int | None, str]:
    with snapshot() as connection:
        return {
            brand_id: recount.currency_of(connection, brand_id) or "" for brand_id in brand_ids if brand_id is not None
        }


def sentence(one: Correction, currency: str) -> str:
    """What is corrected, in words and in the brand's money."""
    whose, what = f"brand {one.brand_id}", one.subject
    campaign = f"{whose}, campaign {what['campaign_id']}" if what.get("campaign_id") is not None else whose
    old, new = dict(one.old or {}), dict(one.new or {})
    match one.kind:
        case "campaign_day" | "brand_day":
            change = _change(old, new, "spent_micros", currency)
            return f"{campaign}, {what['day']}: the counter says {change}, by the ledger"
        case "reported_total":
            change = _change(old, new, "total_micros", currency)
            return f"{campaign}, {what['day']}: the total of {what['source']} is {change}, by the ledger"
        case "limit_history":
            change = _change(old, new, "limit_micros", currency)
            return f"{campaign}: the history of its {what['period']} limit goes on: {change}"
        case "history":
            return f"{campaign}: its histories go on from {_holds(old)} to {_holds(new)}, which its row says"
        case "holds":
            return f"{campaign}: {_holds(old)} becomes {_holds(new)}, by the rules"
        case _:
            return f"{campaign}: spend looks at the budgets of its campaigns again"


def _change(old: Mapping[str, Any], new: Mapping[str, Any], name: str, currency: str) -> str:
    before, after = (money(values.get(name), currency) if currency else values.get(name) for values in (old, new))
    return f"{before} → {after}"


def _holds(values: Mapping[str, Any]) -> str:
    holds = values.get("holds")
    return "an unknown state" if holds is None else f"held by {', '.join(holds)}" if holds else "active"


def _tell(done: Sequence[Repaired], findings: Sequence[Finding], left: Sequence[Mapping[str, Any]]) -> None:
    corrected = sum(len(repaired.corrections) for repaired in done)
    console.print(
        f"{corrected} corrected, {sum(repaired.toggles for repaired in done)} toggled, {len(findings)} acknowledged"
    )
    if left:
        console.print(f"[red]{len(left)} left that repair cannot set right[/red]: see `spendgate verify`")
