"""The health check of the image finds the processes of its container and asks each."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from runtime import healthcheck
from runtime.healthcheck import KINDS, Process, address_of, problems, processes
from runtime.settings import Settings
from tests.cli.shell import REPOSITORY
from tests.ports import free_port

PORTS = ("PORT", "SPENDGATE_WORKER_METRICS_PORT", "SPENDGATE_SCHEDULER_METRICS_PORT")
MODULES = ("web", "workers", "workers.scheduler")
UP = Process(["/opt/spendgate/bin/python", "/opt/spendgate/bin/spendgate", "up", ""], {})


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that answers /healthz with the status; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def process(number: int, port: int) -> Process:
    return Process(["python", "-m", MODULES[number], ""], {PORTS[number]: str(port)})


@pytest.mark.parametrize("number", range(3))
def test_process_that_answers_is_healthy_and_others_are_named(number: int) -> None:
    with answering(200) as port:
        assert problems([process(number, port)]) == []
    with answering(503) as port:
        assert problems([process(number, port)]) == [f"{MODULES[number]}: answered 503 on 127.0.0.1:{port}"]
    port = free_port()
    expected = f"{MODULES[number]}: no answer on 127.0.0.1:{port} (ConnectionRefusedError)"
    assert problems([process(number, port)]) == [expected]


def test_all_in_one_is_unhealthy_while_one_of_its_processes_does_not_run() -> None:
    with answering(200) as port:
        running = [UP, *(process(number, port) for number in range(3))]
        assert problems(running) == []
        assert problems(running[:-1]) == ["workers.scheduler: does not run"]


def test_container_of_a_migration_or_without_ports_is_healthy() -> None:
    migration = Process(["python", "/opt/spendgate/bin/spendgate", "migrate", ""], {})
    assert problems([migration, process(1, 0)]) == []


def test_address_is_that_of_the_process() -> None:
    web, workers, _ = KINDS
    argv = ["python", "-m", "web", "--host", "0.0.0.0", ""]  # noqa: S104 - not listened on
    assert address_of(web, Process(argv, {"PORT": "80"})) == ("127.0.0.1", 80)
    assert address_of(web, Process(argv[:3], {"SPENDGATE_HOST": "::"})) == ("::1", 8000)
    assert address_of(workers, Process([], {"SPENDGATE_METRICS_HOST": "10.0.0.7"})) == ("10.0.0.7", 9191)


def test_defaults_are_those_of_the_settings() -> None:
    defaults = {
        str(field.validation_alias.choices[0]): field.default  # type: ignore[union-attr]
        for field in Settings.model_fields.values()
    }
    for kind in KINDS:
        assert defaults[kind.host[0]] == kind.host[1]
        assert defaults[kind.port[0]] == kind.port[1]


def test_own_process_is_found_in_proc() -> None:
    own = Path(f"/proc/{os.getpid()}/cmdline").read_text(errors="replace").split("\0")
    assert own in [one.argv for one in processes(Path("/proc"))]


def test_process_that_ended_meanwhile_is_left_out(tmp_path: Path) -> None:
    for number, name in ((9, "workers"), (10, "web")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_text(f"python\0-m\0{name}\0")
    (tmp_path / "self").mkdir()
    (tmp_path / "9" / "environ").write_text("A=1=2\0\0")
    assert list(processes(tmp_path)) == [Process(["python", "-m", "workers", ""], {"A": "1=2"})]


def test_check_prints_each_problem_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(healthcheck, "processes", lambda _: iter([UP]))
    assert healthcheck.main() == 1
    assert capsys.readouterr().out.splitlines() == [f"{module}: does not run" for module in MODULES]
    monkeypatch.setattr(healthcheck, "processes", lambda _: iter([]))
    assert healthcheck.main() == 0


def test_check_imports_the_standard_library_alone() -> None:
    code = "import sys, runtime.healthcheck; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    top = {name.partition(".")[0] for name in done.stdout.split()}
    assert not top & {"dramatiq", "pydantic", "sqlalchemy", "structlog"}
