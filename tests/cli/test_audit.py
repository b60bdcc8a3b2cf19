"""`make audit`: pip-audit against a local HTTP server that gives the answers of OSV, a service of vulnerabilities."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.shell import REPOSITORY, CommandResult, run
from tests.ports import free_port

LOCKED = "\n".join(f"{name}==1.0 --hash=sha256:{'0' * 64}" for name in ("sound", "weak"))
FAULT = {
    "id": "OSV-1",
    "affected": [
        {
            "package": {"name": "weak", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


@contextmanager
def osv(vulnerable: str, status: int = 200) -> Iterator[str]:
    """Serves OSV's query, which reports the package `vulnerable`; yields its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = {"vulns": [FAULT]} if asked["package"]["name"] == vulnerable else {}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    (tmp_path / "requirements.txt").write_text(LOCKED)
    return tmp_path / "requirements.txt"


def audit(url: str, file: Path, *options: str) -> CommandResult:
    return run(str(REPOSITORY / ".ci/audit.py"), "--service", "osv", "--osv-url", url, *options, str(file))


def test_audit_fails_and_names_a_vulnerable_package(locked: Path) -> None:
    with osv("weak") as url:
        result = audit(url, locked)
    assert (result.code, result.out) == (1, "VULNERABLE: weak 1.0: OSV-1, fixed in 1.1\n")


def test_audit_passes_and_counts_packages_without_vulnerabilities(locked: Path) -> None:
    with osv("another") as url:
        result = audit(url, locked)
    assert (result.code, result.out) == (0, "audited: 2 packages, by osv: no known vulnerability\n")


@pytest.mark.parametrize("status", [None, 404, 500])
def test_audit_warns_or_fails_with_strict_when_no_service_answers(locked: Path, status: int | None) -> None:
    with osv("weak", status or 200) as answering:
        url = answering if status else f"http://127.0.0.1:{free_port()}/v1/query"
        loose, strict = audit(url, locked), audit(url, locked, "--strict")
    assert (loose.code, strict.code) == (0, 3)
    assert "NOT AUDITED" in loose.out
    assert "NOT AUDITED" in strict.out
    assert "no known vulnerability" not in loose.out
