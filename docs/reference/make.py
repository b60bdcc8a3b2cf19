"""`python -m docs.reference.make`: updates the pages of docs/reference from the code."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from docs.reference import (
    commands,
    errors_of,
    hold_kinds,
    log_events,
    messages,
    metric_names,
    variables,
    webhook_messages,
)
from docs.reference.tables import UNDESCRIBED, between, refreshed

FOLDER = Path(__file__).parent


def _between_all(page: str, parts: dict[str, Callable[[], str]]) -> str:
    for name, part in parts.items():
        page = between(page, name, part())
    return page


PAGES: Final[dict[str, Callable[[str], str]]] = {
    "log-events.md": lambda page: refreshed(page, log_events.log_events(), log_events.cells),
    "settings.md": lambda page: refreshed(page, variables.variables(), variables.cells),
    "metrics.md": lambda page: refreshed(page, metric_names.metrics(), metric_names.cells),
    "errors.md": lambda page: refreshed(page, errors_of.names(), errors_of.cells),
    "holds.md": lambda page: _between_all(page, {"holds": hold_kinds.holds, "causes": hold_kinds.causes}),
    "cli.md": lambda page: _between_all(page, {"commands": commands.page}),
    "asyncapi.yaml": lambda _page: messages.document(),
    "webhooks.yaml": lambda _page: webhook_messages.document(),
}
"""The functions that update the pages, by file name. Each takes the page's present text and returns the new one."""


def made(name: str) -> str:
    """The text of the page with this file name, updated from the code. Reads the file and does not write it."""
    path = FOLDER / name
    return PAGES[name](path.read_text() if path.exists() else "")


def main() -> int:
    """Writes the pages. Prints each row that a person has to describe; returns 1 if there is one, else 0."""
    undescribed = 0
    for name in PAGES:
        page = made(name)
        (FOLDER / name).write_text(page)
        lines = [line for line in page.splitlines() if UNDESCRIBED in line]
        undescribed += len(lines)
        for line in lines:
            sys.stdout.write(f"{name}: describe this: {line}\n")
    return 1 if undescribed else 0


if __name__ == "__main__":
    sys.exit(main())
