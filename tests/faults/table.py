"""`python -m tests.faults.table [tests or options of pytest]`: runs every fault in its long form, prints the results.

SPENDGATE_FAULTS_SEED repeats the random choices of a run; SPENDGATE_FAULTS_TABLE names a file that collects the lines
of several runs.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tests.cli.shell import REPOSITORY

LONG_FORMS = {
    "SPENDGATE_TEST_FAULTS": "long",
    "SPENDGATE_TEST_INTERLEAVINGS": "100000",
    "SPENDGATE_TEST_MODEL_RUNS": "500",
    "SPENDGATE_TEST_MODEL_STEPS": "200",
    "SPENDGATE_TEST_ORDERS": "1000",
    "SPENDGATE_TEST_NIGHTS": "100",
}
LONGEST_SECONDS = 7_200
HEAD = ("fault", "how often", "events", "lost", "doubled", "time to recover: median", "worst")


def main(arguments: list[str]) -> int:
    """Runs the tests one after the other and prints the table; returns pytest's exit code."""
    chosen = [] if any(not argument.startswith("-") for argument in arguments) else ["tests/faults"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(os.environ.get("SPENDGATE_FAULTS_TABLE", f"{folder}/table.jsonl"))
        command = ["-m", "pytest", "-s", "-q", f"--timeout={LONGEST_SECONDS}", *chosen, *arguments]
        ended = subprocess.run(
            [sys.executable, *command],
            cwd=REPOSITORY,
            env={**LONG_FORMS, **os.environ, "SPENDGATE_FAULTS_TABLE": str(path)},
            check=False,
        )
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    sys.stdout.write(f"\n{table([json.loads(line) for line in lines])}\n")
    return ended.returncode


def add_line(line: dict[str, Any]) -> None:
    """Appends the result of one fault to the file that SPENDGATE_FAULTS_TABLE names, if it names one."""
    path = os.environ.get("SPENDGATE_FAULTS_TABLE")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def table(faults: list[dict[str, Any]]) -> str:
    """The results as a Markdown table; of several results of one fault, the last."""
    latest = {fault["fault"]: fault for fault in faults}
    rows = [HEAD, *(row(fault) for fault in latest.values())]
    widths = [max(len(cells[place]) for cells in rows) for place in range(len(HEAD))]
    ruled = [rows[0], tuple("-" * width for width in widths), *rows[1:]]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |" for cells in ruled
    )


def row(fault: dict[str, Any]) -> tuple[str, ...]:
    """The cells of one fault."""
    counts = (f"{fault[name]:,}" for name in ("times", "events", "lost", "doubled"))
    given = fault["recovery_seconds"] or []
    seconds = given if isinstance(given, list) else [given]
    times = (f"{median(seconds):.1f} s", f"{max(seconds):.1f} s") if seconds else ("", "")
    return (fault["fault"], *counts, *times)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
