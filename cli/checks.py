"""`spendgate verify|check-campaign-statuses|reset-*`: checks the stored data, and runs daily and monthly resets."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import typer
from rich.markup import escape
from rich.progress import SpinnerColumn, TextColumn

from app import jobs
from app.enforcement import enforce_brands
from app.proof import verification
from cli.output import FOUND_EXIT, AsJson, console, print_json, print_result, print_rows, progress
from db.engine import snapshot
from domain.causes import Cause
from domain.periods import Period
from runtime import clock

SHOWN_ROWS = 20
NEXT_CHANGE = ("next_change_at", "next_change_should_be")


def verify(as_json: AsJson = False) -> None:
    """Compare counters and totals with the ledger, holds with the rules, and statuses and limits with their histories.

    Also look for altered or deleted rows, and for other contradictions between tables.
    Exit code 1 on a mismatch. Reads the database as of one moment and changes nothing: safe while workers run.
    """
    with progress(SpinnerColumn(), TextColumn("{task.description}")) as shown:
        task = shown.add_task("Verifying", total=None)
        checks = verification.verify(lambda name: shown.update(task, description=name))
    if as_json:
        print_json([vars(check) for check in checks])
    else:
        for check in checks:
            _print_check(check)
    if any(check.wrong for check in checks):
        raise typer.Exit(FOUND_EXIT)


def _print_check(check: verification.Check) -> None:
    verdict = f"[red]{len(check.wrong)} wrong[/red]" if check.wrong else "[green]correct[/green]"
    console.print(f"{verdict}  {check.name} [dim]({check.compared} rows compared)[/dim]")
    for row in check.wrong[:SHOWN_ROWS]:
        console.print(f"   {_line(row)}", highlight=False)
    for row in check.notices[:SHOWN_ROWS]:
        console.print(f"   [yellow]notice[/yellow] {_line(row)}", highlight=False)
    hidden = sum(max(0, len(rows) - SHOWN_ROWS) for rows in (check.wrong, check.notices))
    if hidden:
        console.print(f"   … and {hidden} more; --json lists them")


def _line(row: dict[str, Any]) -> str:
    return escape(", ".join(f"{name} {value}" for name, value in row.items()))


def check_campaign_statuses(
    fix: Annotated[
        bool, typer.Option("--fix", help="Correct the campaigns that differ, which may pause or release them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List campaigns whose stored holds differ from the rules, or whose next change is stored too late or not at all.

    Exit code 1 if some differ and are not fixed.
    """
    differences = _differences()
    rows = differences.rows
    toggles = enforce_brands(differences.brand_ids, Cause.CHECK) if fix else 0
    if as_json:
        print_json({"differing": differences.campaigns, "differences": rows, "fixed": fix, "toggles": toggles})
    else:
        empty = "Every campaign has the holds and the next change that the rules ask for."
        print_rows("Campaigns that differ", _shown(rows), empty=empty)
        if differences.campaigns > len(rows):
            console.print(f"… and {differences.campaigns - len(rows):,} more")
        if fix and rows:
            console.print(f"{differences.campaigns} campaigns enforced, {toggles} toggled")
    if rows and not fix:
        raise typer.Exit(FOUND_EXIT)


def _shown(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows for people: both times of the next change are empty if they are equal, and left out if all are."""
    differ = [row["next_change_at"] != row["next_change_should_be"] for row in rows]
    names = ("campaign_id", "holds", "should_be", *(NEXT_CHANGE if any(differ) else ()), "due_at_next_tick")
    return [
        {name: "" if name in NEXT_CHANGE and not differs else row[name] for name in names}
        for row, differs in zip(rows, differ, strict=True)
    ]


class _Differences(NamedTuple):
    """How many campaigns differ, rows about at most NAMED_ROWS of them, and the ids of the brands of all of them."""

    campaigns: int
    rows: list[dict[str, Any]]
    brand_ids: set[int]


def _differences() -> _Differences:
    campaigns, rows, brand_ids = 0, list[dict[str, Any]](), set[int]()
    with snapshot() as connection:
        for difference in verification.differences(connection, clock.now()):
            campaigns += 1
            brand_ids.add(difference.standing.row.brand_id)
            if len(rows) < verification.NAMED_ROWS:
                rows.append(difference.row() | {"due_at_next_tick": difference.is_due})
    return _Differences(campaigns, rows, brand_ids)


Everything = Annotated[bool, typer.Option("--all", help="Re-evaluate every brand, also without a new day or month.")]


def reset_daily_budgets(everything: Everything = False, as_json: AsJson = False) -> None:
    """Re-evaluate campaigns of brands whose local day began since the last reset, and pause or release them.

    Safe at any time: it changes no counter.
    """
    _print_reset(jobs.reset(Period.DAILY, everything=everything), as_json=as_json)


def reset_monthly_budgets(everything: Everything = False, as_json: AsJson = False) -> None:
    """Re-evaluate campaigns of brands whose local month began since the last reset, and pause or release them.

    Safe at any time: it changes no counter.
    """
    _print_reset(jobs.reset(Period.MONTHLY, everything=everything), as_json=as_json)


def _print_reset(brand_ids: list[int], *, as_json: bool) -> None:
    print_result({"brand_ids": brand_ids}, f"{len(brand_ids)} brands re-evaluated", as_json=as_json)
