"""`spendgate imports`: lists the imported files and their rows left out, and undoes an import."""

import sys
from typing import Annotated, Any

import typer
from rich.markup import escape

from app.imports.intake import undo as undoing
from app.imports.intake import words
from cli.catalog.consent import DryRun, Yes
from cli.catalog.options import edit
from cli.output import FOUND_EXIT, NOBODY_ASKED, AsJson, console, list_rows, print_json, print_rows
from db.engine import snapshot
from db.repository.imports import history
from domain.errors import InvalidValue
from domain.inputs.values import MAX_ID

imports_app = typer.Typer(
    no_args_is_help=True, help="Manage imported files: list them, show their rows left out, and undo an import."
)

ImportArgument = Annotated[int, typer.Argument(metavar="ID", help="The import's id.")]


@imports_app.command("list")
def list_imports(
    before: Annotated[int, typer.Option(help="List only imports with a smaller id, for the next page.")] = MAX_ID,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The largest number of imports to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List past imports, the newest first, with author, time and result."""
    with snapshot() as connection:
        rows = history.newest(connection, before=before, limit=limit)
    empty = "There are no imports yet." if before == MAX_ID else "There are no earlier imports."
    list_rows("Imports", rows, _row, empty=empty, as_json=as_json)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "file": row["file_name"],
        "platform": row["platform"],
        "by": row["imported_by"],
        "at": row["imported_at"],
        "rows": row["rows"],
        "sum": words.sums(row["sum_micros"]),
        "taken": row["taken"],
        "left out": row["rejected"] + row["skipped_rows"],
        "status": row["status"],
    }


@imports_app.command("show")
def show_import(import_id: ImportArgument, as_json: AsJson = False) -> None:
    """Show one import with its file's hash and the rows that were left out."""
    with snapshot() as connection:
        row = history.one(connection, import_id)
        left_out = history.left_out(connection, import_id)
    if as_json:
        print_json(row | {"skipped": left_out})
        return
    for name, value in (row | {"sum": words.sums(row.pop("sum_micros"))}).items():
        console.print(f"[bold]{name.replace('_', ' ')}[/bold]  {escape(str(value))}", highlight=False, soft_wrap=True)
    print_rows("Rows left out", left_out, empty="No row was left out.")


@imports_app.command("undo")
def undo_import(import_id: ImportArgument, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Restore the totals that were known before an import; totals that changed since stay. Writes an audit entry."""
    wanted = undoing.undoing(import_id)
    if not as_json:
        console.print(f"{escape(wanted.sentence())}.", highlight=False, soft_wrap=True)
        if wanted.kept:
            console.print(wanted.note)
    if not dry_run:
        _agree(yes=yes)
        wanted = undoing.undo(import_id, edit())
    if as_json:
        counts = {"restored": len(wanted.restored), "kept": wanted.kept, "rejected": wanted.rejected}
        print_json({"import_id": import_id, "dry_run": dry_run} | counts)
    elif dry_run:
        console.print("[dim]dry run: nothing was changed[/dim]")
    else:
        console.print(f"{escape(wanted.sentence(is_done=True))}.", highlight=False, soft_wrap=True)


def _agree(*, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidValue("--yes", f"add --yes to undo this import. {NOBODY_ASKED}")
    if not typer.confirm("Undo it?"):
        console.print("Nothing was changed.")
        raise typer.Exit(FOUND_EXIT)
