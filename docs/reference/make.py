"""`python -m docs.reference.make`: brings the pages of docs/reference up to the code."""

import sys
from functools import lru_cache
from pathlib import Path

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


@lru_cache(maxsize=1)
def made() -> dict[Path, str]:
    """Each page of the reference as it should be, by its path."""
    log_page, settings_page, errors_page, cli_page, holds_page, metrics_page = (
        FOLDER / name for name in ("log-events.md", "settings.md", "errors.md", "cli.md", "holds.md", "metrics.md")
    )
    return {
        log_page: refreshed(log_page.read_text(), log_events.log_events(), log_events.cells),
        settings_page: refreshed(settings_page.read_text(), variables.variables(), variables.cells),
        metrics_page: refreshed(metrics_page.read_text(), metric_names.metrics(), metric_names.cells),
        errors_page: refreshed(errors_page.read_text(), errors_of.names(), errors_of.cells),
        holds_page: between(
            between(holds_page.read_text(), "holds", hold_kinds.holds()), "causes", hold_kinds.causes()
        ),
        cli_page: between(cli_page.read_text(), "commands", commands.page()),
        FOLDER / "asyncapi.yaml": messages.document(),
        FOLDER / "webhooks.yaml": webhook_messages.document(),
    }


def main() -> int:
    """Writes the pages; returns 1 where a person has to describe something new in them."""
    undescribed = 0
    for path, page in made().items():
        path.write_text(page)
        lines = [line for line in page.splitlines() if UNDESCRIBED in line]
        undescribed += len(lines)
        for line in lines:
            sys.stdout.write(f"{path.name}: describe this: {line}\n")
    return 1 if undescribed else 0


if __name__ == "__main__":
    sys.exit(main())
