"""Fixtures that run `spendgate` in the test's process, through the function of the console script."""

import io
import logging
import signal
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog

from db.repository.access.privileges import DatabaseRole
from tests.cli.shell import COLOURS, CommandResult
from tests.fake_platforms.fixtures import credentials_file, fake

__all__ = ["credentials_file", "fake"]

Spendgate = Callable[..., CommandResult]


@pytest.fixture
def login() -> DatabaseRole:
    """The tests' commands use the database role of the web processes."""
    return DatabaseRole.WEB


@pytest.fixture
def spendgate(
    database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Spendgate]:
    """Runs `spendgate ...` on the test's database; restores logging and signal handlers at the end."""
    from cli import output  # noqa: PLC0415 - after the environment is set
    from cli.main import run  # noqa: PLC0415

    for colours in COLOURS:
        monkeypatch.delenv(colours, raising=False)
    for console in (output.console, output.errors):
        monkeypatch.setattr(console, "width", 200)

    def run_command(*argv: str, stdin: str = "") -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["spendgate", *argv])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run()
        assert isinstance(ended.value.code, int | None)
        return CommandResult(ended.value.code or 0, *capsys.readouterr())

    with _restored():
        yield run_command


class _restored:  # noqa: N801 - a context manager
    """Saves the configuration of structlog, logging and signal handlers on entry and restores it on exit."""

    def __enter__(self) -> None:
        self.was_configured, self.config = structlog.is_configured(), structlog.get_config()
        self.handlers, self.level = logging.root.handlers[:], logging.root.level
        self.signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def __exit__(self, *_: object) -> None:
        structlog.configure(**self.config) if self.was_configured else structlog.reset_defaults()
        logging.root.handlers[:] = self.handlers
        logging.root.setLevel(self.level)
        logging.captureWarnings(capture=False)
        for number, handler in self.signals.items():
            signal.signal(number, handler)
