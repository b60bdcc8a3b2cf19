"""`make audit`: asks pip-audit about every locked dependency, and says which of three things came out.

Exit codes: 0 every one was asked about and none is known to be weak; 1 a weakness is known; 0 too, with a warning that
nobody can overlook, where no service could be asked (`--strict` makes that 3). What was not asked about is not clean.
"""

import argparse
import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

SERVICES = ("pypi", "osv")
PATIENCE_SECONDS = 300
WEAK_EXIT, UNASKED_EXIT = 1, 3


class Audit(NamedTuple):
    """What one service said: packages it knows, packages it does not, and the weak ones with what is known of them."""

    asked: int
    unknown: list[str]
    weak: list[str]


def main() -> int:
    options = argparse.ArgumentParser(description="Audit the locked dependencies for known weaknesses.")
    options.add_argument("files", nargs="+", help="hashed requirements files")
    options.add_argument(
        "--strict", action="store_true", help="fail, too, where not every package could be asked about"
    )
    options.add_argument("--service", choices=SERVICES, action="append", help="whom to ask, both if not given")
    options.add_argument("--osv-url", help="another address of the OSV service")
    given = options.parse_args()
    said: list[str] = []
    for service in given.service or SERVICES:
        audit = ask(service, given.files, given.osv_url)
        if isinstance(audit, str):
            said.append(f"{service}: {audit}")
            continue
        for line in audit.weak:
            print(f"WEAK: {line}")
        if audit.weak:
            return WEAK_EXIT
        if not audit.unknown:
            print(f"audited: {audit.asked} packages, by {service}: no known weakness")
            return 0
        said.append(f"{service}: knows {audit.asked} of {audit.asked + len(audit.unknown)} packages")
    warn(f"NOT AUDITED: no service could be asked about every package ({'; '.join(said)})")
    return UNASKED_EXIT if given.strict else 0


def ask(service: str, files: list[str], osv_url: str | None) -> Audit | str:
    """What the service says, or in a few words why it says nothing."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner=off"]
    command += ["--format=json", f"--vulnerability-service={service}"]
    command += [part for file in files for part in ("-r", file)]
    if osv_url and service == "osv":
        command.append(f"--osv-url={osv_url}")
    try:
        # The command is ours, the files are the Makefile's.
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return f"no answer within {PATIENCE_SECONDS} s"
    try:
        return read(json.loads(done.stdout)["dependencies"])
    except (ValueError, KeyError, TypeError):
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        return lines[-1][:200]


def read(dependencies: list[dict[str, Any]]) -> Audit:
    """pip-audit's JSON: a package that its service does not know has a `skip_reason`."""
    unknown = [package["name"] for package in dependencies if "skip_reason" in package]
    weak = [
        f"{package['name']} {package['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'none'}"
        for package in dependencies
        for fault in package.get("vulns", [])
    ]
    return Audit(len(dependencies) - len(unknown), unknown, weak)


def warn(text: str) -> None:
    """A line that stands out, in the summary of GitHub's too."""
    print(f"::warning title=Dependencies::{text}" if os.environ.get("GITHUB_ACTIONS") else f"*** {text} ***")


if __name__ == "__main__":
    sys.exit(main())
