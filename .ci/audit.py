"""`make audit`: looks up every locked dependency with pip-audit and reports known vulnerabilities.

Exit codes: 0 when a service knew every package and none is vulnerable; 1 when a package is vulnerable; when no service
could answer for every package, 0 with a warning, or 3 with `--strict`.
"""

import argparse
import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

SERVICES = ("pypi", "osv")
PATIENCE_SECONDS = 300
VULNERABLE_EXIT, NOT_AUDITED_EXIT = 1, 3


class Audit(NamedTuple):
    """One service's answer: how many packages it knows, the names it does not know, a line for each vulnerability."""

    known: int
    unknown: list[str]
    vulnerabilities: list[str]


def main() -> int:
    options = argparse.ArgumentParser(description="Look up known vulnerabilities of the locked dependencies.")
    options.add_argument("files", nargs="+", help="hashed requirements files")
    options.add_argument("--strict", action="store_true", help="fail when no service can answer for every package")
    options.add_argument("--service", choices=SERVICES, action="append", help="the service to ask; default: both")
    options.add_argument("--osv-url", help="the address of another OSV service")
    given = options.parse_args()
    failures: list[str] = []
    for service in given.service or SERVICES:
        audit = ask(service, given.files, given.osv_url)
        if isinstance(audit, str):
            failures.append(f"{service}: {audit}")
            continue
        for line in audit.vulnerabilities:
            print(f"VULNERABLE: {line}")
        if audit.vulnerabilities:
            return VULNERABLE_EXIT
        if not audit.unknown:
            print(f"audited: {audit.known} packages, by {service}: no known vulnerability")
            return 0
        failures.append(f"{service}: knows {audit.known} of {audit.known + len(audit.unknown)} packages")
    warn(f"NOT AUDITED: no service could answer for every package ({'; '.join(failures)})")
    return NOT_AUDITED_EXIT if given.strict else 0


def ask(service: str, files: list[str], osv_url: str | None) -> Audit | str:
    """Returns the service's answer, or a short reason why it gave none."""
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
        lines = done.stderr.strip().splitlines() or ["it printed nothing"]
        return lines[-1][:200]


def read(dependencies: list[dict[str, Any]]) -> Audit:
    """Reads pip-audit's JSON, which gives a `skip_reason` to each package that its service does not know."""
    unknown = [package["name"] for package in dependencies if "skip_reason" in package]
    vulnerabilities = [
        f"{package['name']} {package['version']}: {fault['id']}, fixed in {', '.join(fault['fix_versions']) or 'none'}"
        for package in dependencies
        for fault in package.get("vulns", [])
    ]
    return Audit(len(dependencies) - len(unknown), unknown, vulnerabilities)


def warn(text: str) -> None:
    """Prints a warning; on GitHub Actions it also appears in the summary of the run."""
    print(f"::warning title=Dependencies::{text}" if os.environ.get("GITHUB_ACTIONS") else f"*** {text} ***")


if __name__ == "__main__":
    sys.exit(main())
