"""Questions of `spendgate import`: asks on a terminal for facts that a file does not prove."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn

from app.imports.answers import Choice, Question, Reading, ReadOptions
from app.imports.intake import words
from app.imports.intake.settled import offered
from app.imports.reading import read_file
from cli.output import console, print_json, progress
from domain.errors import InvalidValue


class Asking:
    """Reads a file, and asks on a terminal for the facts that the file does not prove."""

    def __init__(self, file: Path, *, can_ask: bool, as_json: bool) -> None:
        self._file = file
        self._can_ask = can_ask
        self._as_json = as_json
        self.modified_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)

    def reading(self, options: ReadOptions) -> Reading:
        """Reads the file, asks until all questions are answered, and returns the reading.

        Raises Refused for a file that cannot be imported, InvalidValue for one that cannot be opened, and a Question
        if nobody can be asked (`can_ask` False); with `as_json` it prints the Question first.
        """
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

            with readable(self._file):
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
def readable(file: Path) -> Iterator[None]:
    """Raises an OSError of the block as InvalidValue that names the file."""
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
