"""`make audit`: pip-audit against a service of vulnerabilities that answers as told, as OSV does over HTTP."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.shell import REPOSITORY, Told, run
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
    """OSV's query, to which one package is vulnerable; its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told = {"vulns": [FAULT]} if asked["package"]["name"] == vulnerable else {}
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    (tmp_path / "requirements.txt").write_text(LOCKED)
    return tmp_path / "requirements.txt"


def audit(url: str, file: Path, *options: str) -> Told:
    return run(str(REPOSITORY / ".ci/audit.py"), "--service", "osv", "--osv-url", url, *options, str(file))


def test_a_known_weakness_fails_and_is_named(locked: Path) -> None:
    with osv("weak") as url:
        told = audit(url, locked)
    assert (told.code, told.out) == (1, "WEAK: weak 1.0: OSV-1, mended in 1.1\n")


def test_sound_packages_pass_and_are_counted(locked: Path) -> None:
    with osv("another") as url:
        told = audit(url, locked)
    assert (told.code, told.out) == (0, "audited: 2 packages, by osv: no known weakness\n")


@pytest.mark.parametrize("status", [None, 404, 500])
def test_a_service_that_cannot_be_asked_passes_aloud_or_fails_where_that_is_wanted(
    locked: Path, status: int | None
) -> None:
    with osv("weak", status or 200) as answering:
        url = answering if status else f"http://127.0.0.1:{free_port()}/v1/query"
        loose, strict = audit(url, locked), audit(url, locked, "--strict")
    assert (loose.code, strict.code) == (0, 3)
    assert "NOT AUDITED" in loose.out
    assert "NOT AUDITED" in strict.out
    assert "no known weakness" not in loose.out
