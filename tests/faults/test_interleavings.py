"""Several processes send events and refunds, edit, and run resets and ticks at the same time, a thousand times."""

import os
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.cli.shell import serving
from tests.faults.driver import CAMPAIGNS_A_BRAND, POOL, UNIT, pool
from tests.faults.stage import add_figures
from tests.world import World

BRANDS = 8
DRIVERS = 4
OPERATIONS = int(os.environ.get("SPENDGATE_TEST_INTERLEAVINGS", "1200")) // DRIVERS
DRIVER = ("-m", "tests.faults.driver", str(OPERATIONS))
UNMEASURED = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
"""Switches coverage off, since tracing would slow the drivers down."""

ZONES = ("UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham")


def test_concurrent_spend_edits_and_jobs_lose_no_spend_and_leave_no_wrong_status(world: World, tmp_path: Path) -> None:
    for number in range(BRANDS):
        brand = world.brand(ZONES[number % len(ZONES)], daily=100 * UNIT)
        for _ in range(CAMPAIGNS_A_BRAND):
            world.campaign(brand)
    with ExitStack() as drivers:
        running = [
            drivers.enter_context(serving(*DRIVER, str(seed), output=tmp_path / str(seed), env=UNMEASURED))
            for seed in range(DRIVERS)
        ]
        while any(driver.process.poll() is None for driver in running):
            assert_nothing_differs(world)
        for driver in running:
            assert driver.code() == 0, driver.lines()[-20:]

    events = pool(BRANDS)
    for start in range(0, POOL, 1_000):
        world.ingest(events[start : start + 1_000])
    world.verify()
    assert_nothing_differs(world)
    assert world.one("SELECT count(*) AS events FROM spend_events") == {"events": POOL}
    total = sum(event["amount_micros"] for event in events)
    assert world.one("SELECT sum(spent_micros)::bigint AS spent FROM brand_days") == {"spent": total}
    assert world.rejected() == []
    add_figures(
        f"spend, edits, resets and ticks by {DRIVERS} processes at once", DRIVERS * OPERATIONS, Counter(events=POOL)
    )


def assert_nothing_differs(world: World) -> None:
    """Checks, also while the drivers run, that each committed campaign follows the rules or is due for a tick."""
    from app.proof.verification import differences  # noqa: PLC0415
    from db.engine import snapshot  # noqa: PLC0415 - after the environment is set
    from runtime import clock  # noqa: PLC0415

    with snapshot() as connection:
        wrong = [found.row() for found in differences(connection, clock.now()) if not found.is_due]
    assert not wrong, wrong
