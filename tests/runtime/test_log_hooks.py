"""The function that SPENDGATE_LOG_HOOK names gets every line, and can neither change a line nor stop the work."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.shell import run

HOOK = """
import structlog
calls = []
def note(logger, method, event):
    calls.append({name: str(value) for name, value in event.items()})
    event["event"] = "changed"
def fail(logger, method, event):
    raise ValueError("no")
def log(logger, method, event):
    structlog.get_logger().info("hook.sent")
not_callable = 7
"""
CONFIGURED = """
import logging, structlog
from runtime import logs
logs.configure()
log = structlog.get_logger()
"""


def written(folder: Path, hook: str, script: str) -> list[dict[str, Any]]:
    (folder / "reports.py").write_text(HOOK)
    result = run("-c", CONFIGURED + script, env={"SPENDGATE_LOG_HOOK": hook, "PYTHONPATH": str(folder)})
    assert (result.code, result.err) == (0, "")
    return [json.loads(line) for line in result.out.splitlines()]


def test_hook_gets_lines_of_this_program_and_of_libraries_with_their_errors(tmp_path: Path) -> None:
    script = """
log.warning('one.failed', brand_id=7)
try: 1 / 0
except ZeroDivisionError: logging.getLogger('library').exception('failed')
logs.info_each('campaign.paused', 'campaign_id', [({}, range(30))])
import json, reports
print(json.dumps(reports.calls))
"""
    *lines, calls = written(tmp_path, "reports:note", script)
    assert [line["event"] for line in lines] == ["one.failed", "library.library", *["campaign.paused"] * 30]
    assert (calls[0]["event"], calls[0]["brand_id"], calls[0]["level"]) == ("one.failed", "7", "warning")  # type: ignore[index]
    assert "ZeroDivisionError" in calls[1]["exc_info"]  # type: ignore[index]
    assert len(calls) == 32


def test_hook_that_fails_is_named_in_the_line(tmp_path: Path) -> None:
    (line,) = written(tmp_path, "reports:fail", "log.warning('one.failed')")
    assert (line["event"], line["log_hook_error"]) == ("one.failed", "ValueError")


def test_lines_of_the_hook_itself_do_not_reach_it(tmp_path: Path) -> None:
    lines = written(tmp_path, "reports:log", "log.warning('one.failed')")
    assert [line["event"] for line in lines] == ["hook.sent", "one.failed"]


@pytest.mark.parametrize("hook", ["reports:missing", "no_such_module:report", "reports:not_callable", "reports"])
@pytest.mark.parametrize("module", ["web", "workers"])
def test_hook_that_cannot_be_used_ends_a_process_with_one_line(module: str, hook: str, tmp_path: Path) -> None:
    (tmp_path / "reports.py").write_text(HOOK)
    ended = run("-m", module, env={"SPENDGATE_LOG_HOOK": hook, "PYTHONPATH": str(tmp_path)})
    assert ended.code == 2
    assert ended.err.startswith("SPENDGATE_LOG_HOOK: ")
    assert ended.err.count("\n") == 1
