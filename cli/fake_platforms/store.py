"""Keeps the fake platform's campaigns in a file, so that the next run of the demo continues with them."""

import json
from datetime import date
from pathlib import Path
from typing import Any

from cli.fake_platforms.state import FakePlatform


def save(platform: FakePlatform, path: Path) -> None:
    """Writes each campaign's status and spend by day to the file, atomically."""
    with platform.lock:
        kept = {
            campaign.id: {
                "status": campaign.status,
                "spend": {day.isoformat(): micros for day, micros in campaign.spend.items()},
            }
            for campaign in platform.campaigns.values()
        }
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(kept))
    new.replace(path)


def load(platform: FakePlatform, path: Path) -> bool:
    """Restores the status and spend by day of all campaigns.

    Returns False, and restores none, if the file is missing or damaged, or lacks a campaign.
    """
    try:
        kept = json.loads(path.read_text())
        restored = {name: _read(kept[name]) for name in platform.campaigns}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
    for name, (status, spend) in restored.items():
        platform.campaigns[name].status, platform.campaigns[name].spend = status, spend
    return True


def _read(kept: dict[str, Any]) -> tuple[str, dict[date, int]]:
    return kept["status"], {date.fromisoformat(day): int(micros) for day, micros in kept["spend"].items()}
