"""A process writes few lines of one repeated warning, then the number it left out; all other lines are written."""

import json
from collections import Counter
from typing import Any

from runtime.repeats import BURST
from tests.cli.shell import run

CONFIGURED = """
import logging, structlog
from runtime import logs
logs.configure()
log = structlog.get_logger()
(filter,) = logging.getLogger().handlers[0].filters
windows_end = filter.end_windows
"""


def written(script: str) -> list[dict[str, Any]]:
    result = run("-c", CONFIGURED + script + "\nwindows_end()")
    assert (result.code, result.err) == (0, "")
    return [json.loads(line) for line in result.out.splitlines()]


def test_repeated_warning_is_written_few_times_and_the_rest_is_counted() -> None:
    lines = written("for n in range(1000): log.warning('spend.rejected', reason='malformed', inputs=3)")
    assert Counter(line["event"] for line in lines) == {"spend.rejected": BURST, "log.repeated": 1}
    summary = lines[-1]
    assert {name: summary[name] for name in ("of", "left_out", "inputs")} == {
        "of": "spend.rejected",
        "left_out": 1000 - BURST,
        "inputs": 3 * (1000 - BURST),
    }


def test_each_event_has_its_own_bound_and_a_new_window_begins_afterwards() -> None:
    script = """
for _ in range(2):
    for n in range(100):
        log.error('one.failed')
        log.warning('two.failed')
    windows_end()
"""
    counts = Counter(line["event"] for line in written(script))
    assert counts == {"one.failed": 2 * BURST, "two.failed": 2 * BURST, "log.repeated": 4}


def test_lines_of_libraries_are_bounded_too_and_keep_no_traceback_of_those_left_out() -> None:
    script = """
library = logging.getLogger('dramatiq.worker.WorkerThread')
for n in range(100):
    library.info('Retrying message %d', n)
    try: 1 / 0
    except ZeroDivisionError: logging.getLogger('other').exception('failed')
"""
    counts = Counter(line["event"] for line in written(script))
    assert counts == {"library.dramatiq": BURST, "library.other": BURST, "log.repeated": 2}


def test_lines_at_level_info_and_critical_are_all_written() -> None:
    lines = written(
        "for n in range(100): log.info('campaign.paused', campaign_id=n); log.critical('worker.thread_died')"
    )
    assert Counter(line["event"] for line in lines) == {"campaign.paused": 100, "worker.thread_died": 100}


def test_child_process_counts_its_own_lines() -> None:
    script = """
import os
for n in range(50): log.warning('one.failed')
if os.fork() == 0:
    for n in range(50): log.warning('one.failed')
    windows_end()
    os._exit(0)
os.wait()
"""
    lines = [line for line in written(script) if not line["event"].startswith("library.")]  # Python warns of the fork
    assert Counter(line["event"] for line in lines) == {"one.failed": 2 * BURST, "log.repeated": 2}
    assert {line["left_out"] for line in lines if line["event"] == "log.repeated"} == {50 - BURST}


def test_summary_comes_by_itself_at_the_end_of_the_window() -> None:
    script = """
filter._seconds = 0.2
import threading
for n in range(100): log.warning('one.failed')
for one in threading.enumerate():
    if isinstance(one, threading.Timer): one.join()
filter._windows.clear()
"""
    counts = Counter(line["event"] for line in written(script))
    assert counts["log.repeated"] > 0
    assert counts["one.failed"] < 100


def test_few_warnings_start_no_thread_and_later_ones_have_a_window_of_their_own() -> None:
    script = """
import threading, time
filter._seconds = 0.2
for n in range(20): log.warning('one.failed')
assert threading.active_count() == 1, threading.enumerate()
until = time.monotonic() + 0.3
while time.monotonic() < until: pass
for n in range(20): log.warning('one.failed')
assert threading.active_count() == 1, threading.enumerate()
"""
    assert Counter(line["event"] for line in written(script)) == {"one.failed": 2 * BURST}
