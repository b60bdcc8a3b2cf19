"""Measures how long a limit that spend reached is not found, with 1,000 accounts and 15,000 operations a day.

Google Ads allows that many operations. `make bench-platforms` simulates 30 hours on a driven clock and measures the
last 24. ARGS="--accounts N --operations N --campaigns N --hours N" changes the accounts, their common quota, the
campaigns of each and the hours.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import pytest

from runtime.embedded import servers as embedded

STARTS_AT: Final = datetime(2026, 6, 17, tzinfo=UTC)
WARM_HOURS: Final = 6
FAST: Final = {"fsync": "off", "synchronous_commit": "off"}
"""Settings of Postgres without waits for the disk: the simulation measures no speed."""


def main() -> None:
    """Starts embedded servers, simulates, and prints the figures."""
    options = argparse.ArgumentParser("python -m benchmarks.platforms")
    options.add_argument("--accounts", type=int, default=1_000)
    options.add_argument("--operations", type=int, default=15_000)
    options.add_argument("--campaigns", type=int, default=3)
    options.add_argument("--hours", type=int, default=30)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded.running(Path(folder), postgres_settings=FAST) as servers:
        urls = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url, "SPENDGATE_HOME": folder}
        os.environ.update(urls, LOG_LEVEL="ERROR", SIMULATED_LOGIN="{}")
        subprocess.run([sys.executable, "-m", "cli", "migrate"], check=True, stdout=subprocess.DEVNULL)
        simulate(given, servers.database_url)


def simulate(given: argparse.Namespace, url: str) -> None:
    """Simulates the hours, and prints figures of the hours after WARM_HOURS.

    The delays of pauses and the most operations in 24 hours are figures of all hours.
    """
    from app.platforms import registry  # noqa: PLC0415 - after the environment is set
    from benchmarks.platform_day import PlatformDay, SimulatedPlatform, most_in_a_day  # noqa: PLC0415
    from runtime import logs  # noqa: PLC0415
    from tests.world import World  # noqa: PLC0415
    from workers.actors import platforms, schedule  # noqa: F401, PLC0415 - declares the actors

    logs.configure()
    platform = SimulatedPlatform(given.accounts, given.campaigns, given.operations, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.ADAPTERS, "google_ads", platform)
        day = PlatformDay(platform, url, World(url, patch).set_clock)
        World(url, patch).set_clock(STARTS_AT)
        day.fill()
        at = STARTS_AT
        for minute in range(given.hours * 60):
            if minute == WARM_HOURS * 60:
                platform.forget_figures()
            if minute % 60 == 0:
                sys.stderr.write(f"\r\x1b[Khour {minute // 60}, {len(platform.found)} limits found")
            at = day.pass_time(at, 1)
        at = day.pass_time(at, 1)
    sys.stderr.write("\r\x1b[K")
    found = sorted(one.total_seconds() / 60 for one in platform.found)
    if len(found) < 2:
        sys.exit("fewer than two limits were reached: simulate more hours or accounts")
    waiting = platform.not_found(at)
    places = quantiles(found, n=100)
    print(f"{given.accounts:,} accounts of {given.campaigns} campaigns, {given.operations:,} operations a day")
    print(f"limits reached and found: {len(found)}; not found at the end: {len(waiting)}")
    print(
        f"minutes until found: median {median(found):.1f}, p90 {places[89]:.1f}, p99 {places[98]:.1f}, {found[-1]:.1f}"
    )
    print(f"spend beyond the limit: median {median(platform.beyond):.2%}, most {max(platform.beyond):.2%}")
    delays = [one for one in day.pause_delays() if one is not None]
    print(f"pauses: {len(delays)}, the slowest {max(delays).total_seconds():.0f} s after its decision")
    print(f"operations by kind: {dict(platform.kinds)}")
    most = most_in_a_day(platform.used), most_in_a_day(platform.used_but_by_pauses)
    print(f"most operations in 24 hours: {most[0]:,}, without pauses {most[1]:,}")


if __name__ == "__main__":
    main()
