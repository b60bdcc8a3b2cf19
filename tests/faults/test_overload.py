"""Overload: many messages wait for locked brands or are rejected, and the log stays short."""

import time
from collections import Counter

import psycopg

from runtime.repeats import BURST, WINDOW_SECONDS
from tests.faults.kit import FaultStage, is_ready, size, until

PROCESSES = 2
MESSAGES = size(3_000, 30_000)
A_MESSAGE = 2
TRIES = 3
"""Tries of each locked brand's spend that the test waits for."""


def test_log_stays_short_while_brands_are_locked_and_inputs_are_rejected(stage: FaultStage) -> None:
    load = stage.load(A_MESSAGE)
    began = time.monotonic()
    with stage.workers(processes=PROCESSES) as master:
        until(lambda: is_ready(master, PROCESSES), "the workers are ready")
        with psycopg.connect(stage.world.url) as stranger:
            for brand in sorted(load.brands):  # one by one: a statement cannot lock rows of several shards
                stranger.execute("SELECT FROM brands WHERE id = %s FOR UPDATE", [brand])
            stage.send(
                [[*batch, {"event_id": f"rubbish {number}"}] for number, batch in enumerate(load.batches(MESSAGES))]
            )
            until(lambda: len(master.logged("brand.locked")) >= TRIES * len(load.brands), "the brands are tried again")
        stage.wait_for_recovery()
    windows = 1 + (time.monotonic() - began) // WINDOW_SECONDS
    lines = Counter(line["event"] for line in master.logged())
    bounded = {line["event"] for line in master.logged() if line["level"] in {"warning", "error"}}
    assert "log.repeated" in bounded
    assert sum(lines.values()) < MESSAGES / 4, lines
    for event in bounded - {"log.repeated"}:
        assert lines[event] <= PROCESSES * BURST * windows, lines
    figures = stage.checked(load, rejected=MESSAGES)
    stage.add_to_table("overload: every brand locked, and an input of each message rejected", 1, figures)
