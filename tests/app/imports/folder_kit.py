"""The spend folder in tests: files with their modification times, and looks at it by a clock that stands still."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from tests.world import World

HEADER = "campaign_id,date,spend\n"
LONG_AGO = datetime(2026, 6, 1, tzinfo=UTC)


class Folder:
    """The spend folder and the clock, which stands still between looks."""

    def __init__(self, world: World, path: Path, at: datetime) -> None:
        self.world, self.path, self.at = world, path, world.set_clock(at)

    def write(self, name: str, text: str, modified_at: datetime = LONG_AGO) -> Path:
        """Writes into the file in place."""
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text if text.startswith("campaign") else HEADER + text)
        os.utime(path, (modified_at.timestamp(),) * 2)
        return path

    def replace(self, name: str, text: str, modified_at: datetime = LONG_AGO) -> Path:
        """Writes another file and renames it into place."""
        self.write(f"{name}.new", text, modified_at)
        return (self.path / f"{name}.new").rename(self.path / name)

    def look(self, after_seconds: int = 0) -> list[Any]:
        """Imports what is complete so many seconds later; what was logged."""
        from workers.actors.schedule import import_exports  # noqa: PLC0415 - after the environment is set

        self.at += timedelta(seconds=after_seconds)
        self.world.set_clock(self.at)
        with structlog.testing.capture_logs() as logged:
            import_exports()
        return logged
