"""Vendored scripts are those of their list, and an audit looks them up."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.cli.shell import REPOSITORY
from tests.ports import free_port

VENDOR = REPOSITORY / "web/static/vendor"
PACKAGES: list[dict[str, Any]] = json.loads((VENDOR / "vendored.json").read_text())["packages"]
FILES = {file["path"]: file["sha256"] for package in PACKAGES for file in package["files"]}


def test_each_vendored_file_is_the_one_of_the_list() -> None:
    served = {str(path.relative_to(VENDOR)): path for path in VENDOR.rglob("*") if path.suffix in {".js", ".css"}}
    assert {path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in served.items()} == FILES


def test_each_folder_has_a_licence_and_each_package_a_version() -> None:
    for folder in {path.partition("/")[0] for path in FILES}:
        assert (VENDOR / folder / "LICENSE").is_file()
    assert all(package["version"].count(".") == 2 and package["ecosystem"] == "npm" for package in PACKAGES)


@pytest.fixture
def osv() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An OSV service that knows one vulnerability, of htmx.org; gives its address and the queries it got."""
    queries: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            queries.append(query)
            vulnerable = query["package"]["name"] == known[0]
            answer = json.dumps({"vulns": [{"id": "GHSA-test"}]} if vulnerable else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query", queries
    server.shutdown()
    thread.join()
    server.server_close()


known = ["none"]


def audit(url: str, *more: str) -> tuple[int, str]:
    command = [sys.executable, ".ci/audit_vendored.py", "--osv-url", url, *more]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(("vulnerable", "code"), [("none", 0), ("uplot", 1)])
def test_audit_asks_for_each_package(
    osv: tuple[str, list[dict[str, Any]]], vulnerable: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "known", [vulnerable])
    url, queries = osv
    exit_code, out = audit(url)
    assert exit_code == code
    assert ("VULNERABLE: uplot 1.6.32: GHSA-test" in out) == (code == 1)
    asked = [(query["package"]["name"], query["version"]) for query in queries]
    assert asked == [(package["name"], package["version"]) for package in PACKAGES]


@pytest.mark.parametrize(("more", "code"), [((), 0), (("--strict",), 3)])
def test_audit_without_an_answer_warns_or_fails_if_strict(more: tuple[str, ...], code: int) -> None:
    exit_code, out = audit(f"http://127.0.0.1:{free_port()}/", *more)
    assert exit_code == code
    assert "NOT AUDITED" in out
