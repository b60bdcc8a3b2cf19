"""`spendgate import`: previews a report of an ad platform, asks for confirmation and counts its spend."""

import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from babel.numbers import is_currency
from sqlalchemy.exc import DBAPIError

from app.imports.answers import Meaning, Reading, ReadOptions
from app.imports.intake import words
from app.imports.intake.commit import Outcome, commit
from app.imports.intake.left_out import LeftOut, rows_left_out, write_csv
from app.imports.intake.plans import Plan, Target, plan
from cli.catalog.consent import Yes
from cli.catalog.options import edit
from cli.imports import options
from cli.imports.output import show, tell_import
from cli.imports.questions import Asking, readable
from cli.output import FOUND_EXIT, NOBODY_ASKED, AsJson, console, counted_progress
from domain.errors import InvalidValue
from domain.typed_moments import parse_moment
from runtime.settings import SettingsError


def import_file(
    file: options.File,
    platform: options.Platform = None,
    campaign_column: options.CampaignColumn = None,
    name_column: options.NameColumn = None,
    day_column: options.DayColumn = None,
    spend_column: options.SpendColumn = None,
    currency_column: options.CurrencyColumn = None,
    account_column: options.AccountColumn = None,
    unit: options.Unit = None,
    decimal: options.Decimal = None,
    day_order: options.DayOrder = None,
    sum_rows: options.SumRows = None,
    evening_times: options.EveningTimes = None,
    encoding: options.Encoding = None,
    sheet: options.Sheet = None,
    as_of: options.AsOf = None,
    name_as_id: options.NameAsId = False,
    delta: options.Delta = False,
    keep_duplicates: options.KeepDuplicates = False,
    complete: options.Complete = None,
    create_campaigns: options.CreateCampaigns = False,
    brand: options.Brand = None,
    time_zone: options.TimeZone = None,
    currency: options.Currency = None,
    account: options.Account = None,
    skipped: options.Skipped = None,
    yes: Yes = False,
    dry_run: options.DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Import a platform's report: each total of a campaign and day counts as its difference to the last known total.

    Shows how each column is read and the effect, and asks before it writes anything; programs add --yes. Rows of one
    campaign and day are added up to one total. Importing a file again changes nothing. Exit code 1 if a row was left
    out or a total rejected, each with its reason in a file that the output names, and for a file without rows; 2 if
    the file is refused.
    """
    if create_campaigns and brand is None:
        raise InvalidValue("--brand", "give the name of the brand in which --create-campaigns creates campaigns")
    columns: dict[Meaning, str | None] = {
        "campaign": campaign_column, "name": name_column, "day": day_column, "spend": spend_column,
        "currency": currency_column, "account": account_column,
    }  # fmt: skip
    read_options = ReadOptions(
        platform=platform,
        columns={meaning: heading for meaning, heading in columns.items() if heading is not None},
        unit=_one_of("--unit", unit, ("currency", "cents", "micros")),
        decimal=_one_of("--decimal", decimal, ("point", "comma")),
        day_order=_one_of("--day-order", day_order, ("day_first", "month_first")),
        as_of=None if as_of is None else parse_moment("--as-of", as_of),
        name_as_id=name_as_id,
        delta=delta,
        currency=_currency(currency),
        keep_duplicates=keep_duplicates,
        complete=complete,
        encoding=encoding,
        sheet=sheet,
        sum_rows=_one_of("--sum-rows", sum_rows, ("sums", "parts")),
        evening_times=_one_of("--evening-times", evening_times, ("same_day", "next_day")),
    )
    target = Target(brand if create_campaigns else None, time_zone, _currency(currency), account)
    _read_and_import(file, read_options, target, skipped, yes=yes, dry_run=dry_run, as_json=as_json)


def _read_and_import(
    file: Path,
    read_options: ReadOptions,
    target: Target,
    skipped: Path | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Reads the file, shows the effect, asks and imports; a dry run does not ask or import.

    Raises Exit with FOUND_EXIT if it left something out, or the file has no totals.
    """
    asking = Asking(file, can_ask=sys.stdin.isatty() and not as_json, as_json=as_json)
    reading = asking.reading(read_options)
    planned = _planned(reading, file, target, asking.modified_at, may_be_away=dry_run)
    if not as_json:
        show(reading, planned)
    outcome = Outcome()
    if not dry_run:
        assert planned is not None  # noqa: S101 - only a dry run goes without
        _agree(planned, yes=yes)
        outcome = _commit(planned)
    left_out = rows_left_out(reading, outcome.rejections)
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
    """Returns the plan of the import; None if no database answers and `may_be_away` is True.

    Raises InvalidValue for a reading that cannot be imported, and if `may_be_away` is False, SettingsError without a
    database URL and DBAPIError if the database does not answer.
    """
    try:
        return plan(reading, file.name, target, modified_at)
    except (SettingsError, DBAPIError):
        if not may_be_away:
            raise
        return None


def _agree(planned: Plan, *, yes: bool) -> None:
    """Asks whether to import, unless `yes` or nothing changes; on "no" exits with 1.

    Raises InvalidValue if standard input is no terminal and the import needs consent.
    """
    if yes or planned.changes_nothing:
        return
    if sys.stdin.isatty():
        if not typer.confirm("Import it?"):
            console.print("Nothing was changed.")
            raise typer.Exit(FOUND_EXIT)
    elif planned.needs_consent or planned.doubts:
        reasons = "; ".join((*words.concerns(planned), *(one.sentence for one in planned.doubts)))
        raise InvalidValue("--yes", f"add --yes to import it: {reasons}. {NOBODY_ASKED}")


def _commit(planned: Plan) -> Outcome:
    with counted_progress() as shown:
        task = shown.add_task("Counting", total=len(planned.reading.totals) + len(planned.vanished))
        return commit(planned, edit(), lambda more: shown.advance(task, more))


def _beside(file: Path) -> Path:
    """Returns the path of the file for rows left out: beside `file`, or if that is not writable, a temporary one."""
    name = f"{file.name}.skipped.csv"
    here = file.resolve().parent / name
    try:
        with here.open("ab"):
            return here
    except OSError:
        return Path(tempfile.gettempdir()) / name


def _written(rows: Sequence[LeftOut], into: Path | None) -> Path | None:
    """Writes (line, cell, reason) of rows left out to the CSV file `into`; returns its path.

    Returns None without rows or without `into`. Raises InvalidValue for a file that cannot be written.
    """
    if not rows or into is None:
        return None
    with readable(into), into.open("w", encoding="utf-8", newline="") as stream:
        write_csv(stream, rows)
    return into
