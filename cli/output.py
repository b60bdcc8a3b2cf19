"""Output of commands: tables and colours for people, JSON for programs, exit codes for both."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

import typer
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Table

from domain.holds import stays_stopped
from domain.text import visible
from runtime.formats import exact_money, wall_clock

FOUND_EXIT: Final = 1
BAD_USE_EXIT: Final = 2
UNREACHABLE_EXIT: Final = 3

NOTHING: Final = "–"
NOBODY_ASKED: Final = "Nothing was changed, since nobody could be asked: standard input is not a terminal"
LEAST_TEXT_WIDTH: Final = 10
_FIGURE: Final = re.compile(r"\D{0,4}\d[\d.,-]*( ?[%h])?")


class _VisibleConsole(Console):
    """A console that prints control characters as visible escapes, so that a terminal does not obey them."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yields the segments of a renderable, their texts with control characters made visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


console = _VisibleConsole()
errors = _VisibleConsole(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table for people.")]


def print_json(value: object) -> None:
    """Prints one JSON document: times in ISO 8601, money in integer micros."""
    typer.echo(visible(json.dumps(value, default=_plain, ensure_ascii=False, indent=2)))


def _plain(value: object) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def print_rows(title: str, rows: Sequence[Mapping[str, Any]], *, empty: str) -> None:
    """Prints rows as a table, or the sentence `empty` if there are none. The first row's keys are the columns."""
    if not rows:
        console.print(f"[dim]{empty}[/dim]")
        return
    table = Table(title=title, title_justify="left", header_style="bold")
    columns = {name: [visible(cell(row[name])) for row in rows] for name in rows[0]}
    least = 1
    for name, cells in columns.items():
        figures = _figures_width(cells)
        justify: Literal["left", "right"] = "right" if name.endswith(("micros", "id")) else "left"
        table.add_column(_header(name, figures), justify=justify, overflow="fold", no_wrap=figures > 0)
        least += 3 + (figures or LEAST_TEXT_WIDTH)
    for line in zip(*columns.values(), strict=True):
        table.add_row(*map(escape, line))
    if least > console.width:
        table.width = least
    console.print(table, crop=False)


def _figures_width(cells: Sequence[str]) -> int:
    """Returns the width in terminal cells of a column that has figures only, and 0 for any other column.

    Such a column is never wrapped, because half of a number reads as another number.
    """
    figures = [text for text in cells if text not in {"", NOTHING}]
    return max(map(cell_len, figures)) if figures and all(map(_FIGURE.fullmatch, figures)) else 0


def _header(name: str, figures: int) -> str:
    """Returns the column's title, one word per line if the name is wider than the column's figures."""
    words = name.replace("_", " ")
    return words.replace(" ", "\n") if 0 < figures < len(words) else words


def print_result(data: object, line: str, *, as_json: bool) -> None:
    """Prints `data` as JSON for programs, or `line` for people."""
    if as_json:
        print_json(data)
    else:
        console.print(line)


def list_rows(
    title: str,
    rows: Sequence[dict[str, Any]],
    shape: Callable[[dict[str, Any]], Mapping[str, Any]],
    *,
    empty: str,
    as_json: bool,
) -> None:
    """Prints whole rows as JSON for programs, or for people a table of `shape(row)`, or `empty` if there are none."""
    if as_json:
        print_json(rows)
    else:
        print_rows(title, [shape(row) for row in rows], empty=empty)


def progress(*columns: ProgressColumn) -> Progress:
    """Returns a progress bar on stderr that disappears at the end; disabled if stderr is not a terminal."""
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)


def counted_progress() -> Progress:
    """Returns a progress bar with the count done, the total and the time left; disabled if stderr is not a terminal."""
    return progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


def cell(value: object) -> str:
    """Formats one value of a table for people."""
    if value is None:
        return NOTHING
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S %Z}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def money(micros: int | None, currency: str) -> str:
    """Formats micros exactly, in the usual form of the currency; None becomes a dash."""
    return NOTHING if micros is None else exact_money(micros, currency)


def release_text(moment: datetime | None, holds: Iterable[str], zone: ZoneInfo) -> str:
    """Returns `moment`, when the holds end, in the brand's local time; None: says what a person must do to end them."""
    return stays_stopped(holds) if moment is None else wall_clock(moment, zone)
