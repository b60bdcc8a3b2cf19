"""`spendgate import|imports`: files of ad platforms, previewed, confirmed and counted; their history and undo."""

import csv
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from babel.numbers import is_currency
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from app.imports.answers import Choice, Meaning, Question, Reading, ReadOptions
from app.imports.intake import words
from app.imports.intake.commit import Outcome, commit
from app.imports.intake.plans import Plan, Target, plan
from app.imports.intake.settled import offered
from app.imports.reading import read_file
from cli.catalog import edit
from cli.consent import Yes
from cli.output import FOUND_EXIT, AsJson, console, counted_progress, errors, print_json, progress
from domain.errors import InvalidValue
from domain.platforms import PLATFORMS
from runtime.settings import SettingsError

SHOWN_SKIPPED: Final = 20

FileArgument = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, help="A report of campaigns' days: CSV, XLSX, JSON lines, zip, gz."),
]


def import_file(
    file: FileArgument,
    platform: Annotated[
        str | None,
        typer.Option(help=f"Default: what the file says. {', '.join(PLATFORMS)}; any other name will do too."),
    ] = None,
    campaign_column: Annotated[str | None, typer.Option(help="The heading of the platform's campaign id.")] = None,
    name_column: Annotated[str | None, typer.Option(help="The heading of the campaign's name.")] = None,
    day_column: Annotated[
        str | None, typer.Option("--day-column", "--date-column", help="The heading of the day.")
    ] = None,
    spend_column: Annotated[str | None, typer.Option(help="The heading of the money.")] = None,
    currency_column: Annotated[str | None, typer.Option(help="The heading of the currency.")] = None,
    account_column: Annotated[str | None, typer.Option(help="The heading of the platform's account id.")] = None,
    unit: Annotated[str | None, typer.Option(help="The money is in currency, cents or micros.")] = None,
    decimal: Annotated[str | None, typer.Option(help="The decimal sign is a point or a comma.")] = None,
    day_order: Annotated[str | None, typer.Option(help="25/11 is day_first, 11/25 month_first.")] = None,
    encoding: Annotated[str | None, typer.Option(help="The text's encoding, such as cp1252. Default: found.")] = None,
    sheet: Annotated[str | None, typer.Option(help="The workbook's sheet, by name.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            help="When the figures were true, ISO 8601 with zone. Default: by the file, else its time of change."
        ),
    ] = None,
    name_as_id: Annotated[
        bool, typer.Option("--name-as-id", help="The file has no ids: names stand for them.")
    ] = False,
    delta: Annotated[
        bool, typer.Option("--delta", help="The amounts add to what is known, once a file, and replace nothing.")
    ] = False,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Count a campaign's day that is there twice, twice.")
    ] = False,
    complete: Annotated[
        bool | None,
        typer.Option(
            "--complete/--incomplete",
            help="The file has every campaign's day of its account and range: what it has no more becomes zero.",
        ),
    ] = None,
    create_campaigns: Annotated[
        bool, typer.Option("--create-campaigns", help="Make campaigns that are not known.")
    ] = False,
    brand: Annotated[
        str | None, typer.Option(help="The brand to make them in, by name; made too if there is none.")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="The IANA zone of a brand that is made. Default: the file's, where it names one.")
    ] = None,
    currency: Annotated[
        str | None,
        typer.Option(help="Only rows in this currency; also that of a brand that is made. Default: the file's."),
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="The platform's id of the account that the file is of. Default: the file's.")
    ] = None,
    skipped: Annotated[
        Path | None, typer.Option(help="Where to write the rows left out. Default: beside the file.")
    ] = None,
    yes: Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what the file holds and would change; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import a platform's report: day totals become spend events for what changed since the last figures.

    Shows what each column was taken for and what would change, and asks before anything is written; programs say --yes.
    Rows of one campaign and day are parts of one total. Importing a file again changes nothing. Exit code 1 when a row
    was left out or a total rejected, each with its reason in a file that the output names; 2 when the file is refused.
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
        as_of=None if as_of is None else _moment(as_of),
        name_as_id=name_as_id,
        delta=delta,
        currency=_currency(currency),
        keep_duplicates=keep_duplicates,
        complete=complete,
        encoding=encoding,
        sheet=sheet,
    )
    target = Target(brand if create_campaigns else None, time_zone, _currency(currency), account)
    asking = _Asking(file, can_ask=sys.stdin.isatty() and not as_json, as_json=as_json)
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
    named = _written(left_out, skipped or (None if dry_run else _beside(file)))
    _tell(reading, planned, outcome, named, left_out, dry_run=dry_run, as_json=as_json)
    if left_out:
        raise typer.Exit(FOUND_EXIT)


def _one_of(option: str, text: str | None, allowed: Sequence[str]) -> Any:
    if text is not None and text not in allowed:
        raise InvalidValue(option, f"{text!r} is none of {', '.join(allowed)}")
    return text


def _currency(code: str | None) -> str | None:
    if code is not None and not is_currency(code.upper()):
        raise InvalidValue("--currency", f"{code!r} is not an ISO 4217 code such as USD")
    return code and code.upper()


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValue("--as-of", f"{text!r} is not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise InvalidValue("--as-of", f"{text!r} lacks its distance from UTC, such as Z")
    return moment.astimezone(UTC)


class _Asking:
    """Reads a file, and asks on a terminal what it does not prove."""

    def __init__(self, file: Path, *, can_ask: bool, as_json: bool) -> None:
        self._file = file
        self._can_ask = can_ask
        self._as_json = as_json
        self.modified_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)

    def reading(self, options: ReadOptions) -> Reading:
        """The reading, once all questions are answered. Raises Refused, or the Question where nobody can be asked."""
        while True:
            try:
                return self._read(options)
            except Question as question:
                options = self._answered(question, options)

    def _read(self, options: ReadOptions) -> Reading:
        with progress(TextColumn("Reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn()) as shown:
            task = shown.add_task("Reading", total=None)

            def advance(done: int, total: int) -> None:
                shown.update(task, completed=done, total=total)

            with _readable(self._file):
                return read_file(self._file, self._file.name, options, self.modified_at, advance)

    def _answered(self, question: Question, options: ReadOptions) -> ReadOptions:
        remembered = offered(question, lambda choice: self._read(choice.apply(options)))
        if not self._can_ask:
            if self._as_json:
                print_json(_question_json(question))
            raise question if remembered is None else remembered.named_in(question)
        console.print(f"[bold]{escape(question.why)}[/bold]", highlight=False)
        choices = list(question.readings)
        for number, choice in enumerate(choices, start=1):
            console.print(f"  [bold]{number}[/bold]  {escape(_choice_line(choice))}", highlight=False)
        usual = None
        if remembered is not None:
            usual = choices.index(remembered.choice) + 1
            console.print(f"  [dim]{escape(remembered.sentence)}[/dim]", highlight=False)
        answer = 0
        while not 1 <= answer <= len(choices):
            answer = typer.prompt(f"Which one, 1 to {len(choices)}?", type=int, default=usual)
        return choices[answer - 1].apply(options)


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidValue("file", f"{file}: {error.strerror}") from None


def _choice_line(choice: Choice) -> str:
    facts = [] if choice.sum_micros is None else [words.sums(choice.sum_micros)]
    if choice.first_day is not None:
        facts.append(f"{choice.first_day} to {choice.last_day}")
    return f"{choice.label}: {', '.join(facts)}  ({choice.flags})"


def _question_json(question: Question) -> dict[str, Any]:
    return {
        "question": question.about,
        "why": question.why,
        "readings": [
            {
                "label": one.label,
                "options": one.flags,
                "sum_micros": one.sum_micros,
                "first_day": one.first_day,
                "last_day": one.last_day,
            }
            for one in question.readings
        ],
    }


def _planned(reading: Reading, file: Path, target: Target, modified_at: datetime, *, may_be_away: bool) -> Plan | None:
    """The plan; None for a dry run without a database, which shows the file alone."""
    try:
        return plan(reading, file.name, target, modified_at)
    except (SettingsError, DBAPIError):
        if not may_be_away:
            raise
        return None


def show(reading: Reading, planned: Plan | None) -> None:
    """Prints the preview of an import."""
    columns = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("Column", "Taken for", "Why"):
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
        console.print("[dim]No database answers here: the file is not compared with what is known.[/dim]")
    for warning in reading.warnings if planned is None else planned.warnings:
        console.print(f"[yellow]Warning[/yellow] {escape(warning)}", highlight=False)
    for concern in () if planned is None else words.concerns(planned):
        console.print(f"[yellow]Look[/yellow] {escape(concern)}", highlight=False)


def _agree(planned: Plan, *, yes: bool) -> None:
    """Asks on a terminal. Raises InvalidValue where consent is needed and nobody can be asked."""
    if yes or planned.changes_nothing:
        return
    if sys.stdin.isatty():
        if not typer.confirm("Import it?"):
            console.print("Nothing was changed.")
            raise typer.Exit(FOUND_EXIT)
    elif planned.needs_consent:
        told = "; ".join(words.concerns(planned))
        raise InvalidValue("--yes", f"missing, and nobody can be asked here. {told}. Nothing was changed")


def _commit(planned: Plan) -> Outcome:
    with counted_progress() as shown:
        task = shown.add_task("Counting", total=len(planned.reading.totals) + len(planned.vanished))
        return commit(planned, edit(), lambda more: shown.advance(task, more))


def _beside(file: Path) -> Path:
    """Where skipped rows are written: beside the file, or where temporary files are if that cannot be."""
    name = f"{file.name}.skipped.csv"
    here = file.resolve().parent / name
    try:
        with here.open("ab"):
            return here
    except OSError:
        return Path(tempfile.gettempdir()) / name


def _written(rows: Sequence[tuple[int, str, str]], into: Path | None) -> Path | None:
    """Writes the rows left out to a CSV file; returns its path, None where there is nothing to write."""
    if not rows or into is None:
        return None
    with _readable(into), into.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("line", "cell", "reason"))
        writer.writerows(rows)
    return into


def _tell(
    reading: Reading,
    planned: Plan | None,
    outcome: Outcome,
    named: Path | None,
    left_out: Sequence[tuple[int, str, str]],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    if as_json:
        print_json(_told(reading, planned, outcome, named, dry_run=dry_run))
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
            f"{number}{outcome.campaigns_made} campaigns made, {outcome.taken} totals taken, "
            f"{outcome.nothing_new} with nothing new, {len(outcome.rejections)} rejected"
        )
    for line, cell, reason in left_out[:SHOWN_SKIPPED]:
        where = f"line {line}" if line else cell
        errors.print(f"[red]{escape(where)}[/red] {escape(reason)}", highlight=False, soft_wrap=True)
    if len(left_out) > SHOWN_SKIPPED:
        errors.print(f"… and {len(left_out) - SHOWN_SKIPPED} more")
    if named is not None:
        errors.print(
            f"All {len(left_out)} left out, each with line, cell and reason: {escape(str(named))}", soft_wrap=True
        )


def _sums(reading: Reading, planned: Plan | None) -> Mapping[str, int]:
    return {reading.currency or "": reading.totals.sum_micros} if planned is None else planned.sum_micros


def _told(
    reading: Reading, planned: Plan | None, outcome: Outcome, named: Path | None, *, dry_run: bool
) -> dict[str, Any]:
    told: dict[str, Any] = {
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
        "skipped_in": named,
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
        "totals_rows": reading.totals_told,
        "identical_rows": reading.identical_rows,
        "warnings": reading.warnings if planned is None else planned.warnings,
        "sha256": reading.sha256,
    }
    return told | ({} if planned is None else _told_of_plan(planned))


def _told_of_plan(planned: Plan) -> dict[str, Any]:
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
