"""`make audit`: looks up the vendored scripts of web/static/vendor/vendored.json at OSV and reports vulnerabilities.

Exit codes as those of audit.py: 1 when a package is vulnerable; when OSV does not answer, 0 with a warning, or 3 with
`--strict`.
"""

import argparse
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from audit import NOT_AUDITED_EXIT, VULNERABLE_EXIT, warn

LIST = Path(__file__).parents[1] / "web/static/vendor/vendored.json"
OSV = "https://api.osv.dev/v1/query"
PATIENCE_SECONDS = 30


def main() -> int:
    options = argparse.ArgumentParser(description="Look up known vulnerabilities of the vendored scripts.")
    options.add_argument("--strict", action="store_true", help="fail when OSV does not answer")
    options.add_argument("--osv-url", default=OSV, help="the address of another OSV service's query")
    given = options.parse_args()
    packages = json.loads(LIST.read_text())["packages"]
    try:
        found = [line for package in packages for line in vulnerabilities(package, given.osv_url)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        warn(f"NOT AUDITED: vendored scripts: {error}")
        return NOT_AUDITED_EXIT if given.strict else 0
    for line in found:
        print(f"VULNERABLE: {line}")
    if not found:
        print(f"audited: {len(packages)} vendored packages, by osv: no known vulnerability")
    return VULNERABLE_EXIT if found else 0


def vulnerabilities(package: dict[str, Any], url: str) -> list[str]:
    """Asks OSV about one version; returns a line for each vulnerability. Raises OSError, or ValueError for no JSON."""
    name, version = package["name"], package["version"]
    query = {"package": {"name": name, "ecosystem": package["ecosystem"]}, "version": version}
    request = urllib.request.Request(  # noqa: S310 - an address of the operator
        url, json.dumps(query).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
        return [f"{name} {version}: {one['id']}" for one in json.load(answer).get("vulns", [])]


if __name__ == "__main__":
    sys.exit(main())
