"""`spendgate import`: previews a report of an ad platform, asks for confirmation and counts its spend."""

import csv
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from babel.numbers import is_currency
from sqlalchemy.exc import DBAPIError

from app.imports.answers import Meaning, Reading, ReadOptions
from app.imports.intake import words
from app.imports.intake.commit import Outcome, commit
from app.imports.intake.plans import Plan, Target, plan
from cli.catalog.consent import Yes
from cli.catalog.options import edit
from cli.imports.output import show, tell_import
from cli.imports.questions import Asking, readable
from cli.moments import moment_of
from cli.output import FOUND_EXIT, AsJson, console, counted_progress
from domain.errors import InvalidValue
from domain.platforms import PLATFORMS
from runtime.settings import SettingsError

FileArgument = Annotated[
    Path,
    typer.Argument(
        exists=True, dir_okay=False, help="A report of spend by campaign and day: CSV, XLSX, JSON lines, zip, gz."
    ),
]


def import_file(
    file: FileArgument,
    platform: Annotated[
        str | None,
        typer.Option(help=f"The ad platform: {', '.join(PLATFORMS)}, or any other name. Default: by the file."),
    ] = None,
    campaign_column: Annotated[str | None, typer.Option(help="The heading of the platform's campaign id.")] = None,
    name_column: Annotated[str | None, typer.Option(help="The heading of the campaign's name.")] = None,
    day_column: Annotated[
        str | None, typer.Option("--day-column", "--date-column", help="The heading of the day.")
    ] = None,
    spend_column: Annotated[str | None, typer.Option(help="The heading of the spend.")] = None,
    currency_column: Annotated[str | None, typer.Option(help="The heading of the currency.")] = None,
    account_column: Annotated[str | None, typer.Option(help="The heading of the platform's account id.")] = None,
    unit: Annotated[str | None, typer.Option(help="The unit of the spend: currency, cents or micros.")] = None,
    decimal: Annotated[str | None, typer.Option(help="The decimal sign: point or comma.")] = None,
    day_order: Annotated[
        str | None, typer.Option(help="The order of dates: day_first as 25/11, or month_first as 11/25.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="The text's encoding, such as cp1252. Default: by the file.")
    ] = None,
    sheet: Annotated[str | None, typer.Option(help="The name of the workbook's sheet.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="When the figures were true, ISO 8601 with zone. Default: by the file, else its time of change."
        ),
    ] = None,
    name_as_id: Annotated[
        bool, typer.Option("--name-as-id", help="The file has no campaign ids: use names as ids.")
    ] = False,
    delta: Annotated[
        bool,
        typer.Option(
            "--delta", help="Add the amounts to the known totals instead of replacing them; each file counts once."
        ),
    ] = False,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Count a campaign's day twice if the file repeats its rows.")
    ] = False,
    complete: Annotated[
        bool | None,
        typer.Option(
            "--complete/--incomplete",
            help="The file has every campaign's day of its account and range: set missing days to zero.",
        ),
    ] = None,
    create_campaigns: Annotated[bool, typer.Option("--create-campaigns", help="Create unknown campaigns.")] = False,
    brand: Annotated[
        str | None,
        typer.Option(help="With --create-campaigns: the brand's name. The brand is created if there is none."),
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="The IANA time zone of a created brand. Default: the file's, if it names one.")
    ] = None,
    currency: Annotated[
        str | None,
        typer.Option(help="Import only rows in this currency; a created brand gets it too. Default: the file's."),
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="The platform's id of the account that the file reports. Default: the file's.")
    ] = None,
    skipped: Annotated[
        Path | None, typer.Option(help="The file to write the rows left out to. Default: beside the report.")
    ] = None,
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what the file holds and would change; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import a platform's report: day totals become spend events for what changed since the last figures.

    Shows how each column is read and the changes, and asks before anything is written; programs add --yes. Rows of one
    campaign and day are added up to one total. Importing a file again changes nothing. Exit code 1 when a row
    was left out or a total rejected, each with its reason in a file that the output names, and for a file without
    rows; 2 when the file is refused.
    """
    if create_campaigns and brand is None:
        raise InvalidValue("--brand", "say in which brand --create-campaigns makes them")
    columns: dict[Meaning, str | None] = {
        "campaign": campaign_column, "name": name_column, "day": day_column, "spend": spend_column,
        "currency": currency_column, "account": account_column,
    }  # fmt: skip
    options = ReadOptions(
        platform=platform,
        columns={meaning: heading for meaning, heading in columns.items() if heading is not None},
        unit=_one_of("--unit", unit, ("currency", "cents", "micros")),
        decimal=_one_of("--decimal", decimal, ("point", "comma")),
        day_order=_one_of("--day-order", day_order, ("day_first", "month_first")),
        as_of=None if as_of is None else moment_of("--as-of", as_of),
        name_as_id=name_as_id,
        delta=delta,
        currency=_currency(currency),
        keep_duplicates=keep_duplicates,
        complete=complete,
        encoding=encoding,
        sheet=sheet,
    )
    target = Target(brand if create_campaigns else None, time_zone, _currency(currency), account)
    asking = Asking(file, can_ask=sys.stdin.isatty() and not as_json, as_json=as_json)
    reading = asking.reading(options)
    planned = _planned(reading, file, target, asking.modified_at, may_be_away=dry_run)
    if not as_json:
        show(reading, planned)
    outcome = Outcome()
    if not dry_run:
        assert planned is not None  # noqa: S101 - only a dry run goes without
        _agree(planned, yes=yes)
        outcome = _commit(planned)
    left_out = [(row.line, row.cell, row.reason) for row in reading.bad_rows]
    left_out += [(0, key, reason) for key, reason in outcome.rejections]
    into = skipped or (_beside(file) if left_out and not dry_run else None)
    named = _written(left_out, into)
    tell_import(reading, planned, outcome, named, left_out, dry_run=dry_run, as_json=as_json)
    if left_out or not reading.totals:
        raise typer.Exit(FOUND_EXIT)


def _one_of(option: str, text: str | None, allowed: Sequence[str]) -> Any:
    if text is not None and text not in allowed:
        raise InvalidValue(option, f"{text!r} is none of {', '.join(allowed)}")
    return text


def _currency(code: str | None) -> str | None:
    if code is not None and not is_currency(code.upper()):
        raise InvalidValue("--currency", f"{code!r} is not an ISO 4217 code such as USD")
    return code and code.upper()


def _planned(reading: Reading, file: Path, target: Target, modified_at: datetime, *, may_be_away: bool) -> Plan | None:
    """Returns the plan; None if no database answers and `may_be_away`. Raises InvalidValue and SettingsError."""
    try:
        return plan(reading, file.name, target, modified_at)
    except (SettingsError, DBAPIError):
        if not may_be_away:
            raise
        return None


def _agree(planned: Plan, *, yes: bool) -> None:
    """Asks on a terminal; on "no" exits with 1. Raises InvalidValue if consent is needed and nobody can be asked."""
    if yes or planned.changes_nothing:
        return
    if sys.stdin.isatty():
        if not typer.confirm("Import it?"):
            console.print("Nothing was changed.")
            raise typer.Exit(FOUND_EXIT)
    elif planned.needs_consent:
        reasons = "; ".join(words.concerns(planned))
        raise InvalidValue("--yes", f"required, since standard input is not a terminal. {reasons}. Nothing was changed")


def _commit(planned: Plan) -> Outcome:
    with counted_progress() as shown:
        task = shown.add_task("Counting", total=len(planned.reading.totals) + len(planned.vanished))
        return commit(planned, edit(), lambda more: shown.advance(task, more))


def _beside(file: Path) -> Path:
    """Returns the path for the rows left out: beside `file`, or if nobody can write there, among temporary files."""
    name = f"{file.name}.skipped.csv"
    here = file.resolve().parent / name
    try:
        with here.open("ab"):
            return here
    except OSError:
        return Path(tempfile.gettempdir()) / name


def _written(rows: Sequence[tuple[int, str, str]], into: Path | None) -> Path | None:
    """Writes (line, cell, reason) of rows left out to a CSV file; returns its path.

    None if there are no rows or no path. Raises InvalidValue for a file that cannot be written.
    """
    if not rows or into is None:
        return None
    with readable(into), into.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("line", "cell", "reason"))
        writer.writerows(rows)
    return into
