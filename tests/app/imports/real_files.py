"""Files in the layouts of real platforms, with the totals that each must come to or the reason that it must not."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.imports.answers import ReadOptions
from app.imports.reading import read_file
from domain import platforms
from tests.world import UNIT, World

FOLDER = Path(__file__).parent / "exports"
AT = "2026-12-01T12:00:00Z"
"""After the days of every file."""

ZONES = {
    "m01_microsoft_api.csv": "America/Los_Angeles",
    "ap01_apple_ui.csv": "America/Los_Angeles",
    "c01_cm360.csv": "America/New_York",
}
"""The zones that files name for their days; the others name UTC, or none."""

NEEDS_CONSENT = frozenset({"v05b_hour_11.csv"})
"""One hour of a day whose other hour is known with a greater total."""

DOUBTFUL = frozenset({"v05a_hour_10.csv", "v05b_hour_11.csv"})
"""One hour of a day each, which a program must not import unless it is told to."""

REFUSED_IN_DOLLARS = frozenset({"v10_currency_symbol_against_brand.csv"})
TABLES = (
    *("spend_events", "campaign_days", "brand_days", "reported_totals", "campaigns", "brands"),
    *("imports", "import_days", "import_skipped_rows", "status_changes", "audit_entries"),
)


@dataclass(frozen=True)
class RealFile:
    """A file, what is expected of it, and the brand that it goes to."""

    name: str
    platform: str
    must: str
    totals: dict[tuple[str, str], int]

    @property
    def path(self) -> Path:
        """Where it lies."""
        return FOLDER / self.name

    @property
    def canonical(self) -> str:
        """Its platform's canonical name."""
        return platforms.canonical_or_lower(self.platform)

    @property
    def names_are_ids(self) -> bool:
        """Whether it has no ids."""
        return "--name-as-id" in self.must

    @property
    def zone(self) -> str:
        """The time zone of its days."""
        return ZONES.get(self.name, "UTC")

    @property
    def currency(self) -> str:
        """The currency of its amounts, dollars where it says none."""
        if self.name in REFUSED_IN_DOLLARS:
            return "USD"
        reading = self.read()
        return "USD" if reading is None else reading.currency or "USD"

    def read(self) -> Any:
        """Its reading; None where it is refused."""
        options = ReadOptions(platform=self.platform, name_as_id=self.names_are_ids)
        try:
            return read_file(self.path, self.name, options, datetime(2026, 11, 28, tzinfo=UTC))
        except ValueError:
            return None

    @property
    def is_taken(self) -> bool:
        """Whether it is imported when nobody is asked."""
        return bool(self.totals) and self.name not in NEEDS_CONSENT | REFUSED_IN_DOLLARS

    @property
    def is_taken_unseen(self) -> bool:
        """Whether it is imported when nobody reads its warnings."""
        return self.is_taken and self.name not in DOUBTFUL


def _real_file(told: dict[str, Any]) -> RealFile:
    totals = {(campaign, day): int(Decimal(units) * UNIT) for campaign, day, units in told["totals_units"] or () if day}
    found = RealFile(told["file"], told["platform"], told["must"], totals)
    reading = found.read()
    if "exact" in told["must"] and reading is not None:
        return found
    read = {} if reading is None else {(one, str(day)): micros for (one, day), micros in reading.totals.items()}
    return RealFile(found.name, found.platform, found.must, read)


def real_files() -> list[RealFile]:
    """Every file, in the order of its name, so that one hour of a day comes before the next."""
    told = json.loads((FOLDER / "expected.json").read_text())
    return sorted(map(_real_file, told), key=lambda one: one.name)


def state(world: World) -> dict[str, list[dict[str, Any]]]:
    """Every row of the tables that imports write."""
    rows = {table: world.rows(f"SELECT * FROM {table}") for table in TABLES}  # noqa: S608 - names of ours
    return {table: sorted(found, key=repr) for table, found in rows.items()}


def counters(world: World, platform: str) -> dict[tuple[str, str], int]:
    """The micros of each campaign's day on a platform, by external id and day."""
    rows = world.rows(
        "SELECT external_id, day, spent_micros FROM campaign_days"
        " JOIN campaigns ON campaigns.brand_id = campaign_days.brand_id AND id = campaign_id WHERE platform = %s",
        platform,
    )
    return {(row["external_id"], str(row["day"])): row["spent_micros"] for row in rows}
