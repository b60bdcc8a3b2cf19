"""A program `spendgate` for the shells of tests, which runs the command line in a process that `tests.preloaded` forks.

The program itself imports almost nothing: it passes its arguments, environment, folder and standard streams to the test
and exits with the exit code of the forked process.
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from threading import Thread

from tests import preloaded
from tests.cli.shell import environment

PROGRAM = """#!{python} -IS
import json, os, socket, sys

request = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
with socket.socket(socket.AF_UNIX) as test:
    test.connect({address!r})
    socket.send_fds(test, [len(request).to_bytes(4, "big")], [0, 1, 2])
    test.sendall(request)
    sys.exit(test.recv(1)[0])
"""
SCRIPT = "import sys; sys.argv[0] = 'spendgate'; from cli.__main__ import main; main()"
"""Does the same as the installed program `spendgate`."""


@contextmanager
def spendgate_by_fork(folder: Path) -> Iterator[Path]:
    """Yields the folder of the program, made in `folder`; or that of the installed one, where a fork cannot replace it.

    The processes read the environment of whoever runs the program. None of it matters to a module's import, except the
    width of a terminal, and of the modules that use one none is imported before the fork.
    """
    if not preloaded.can_fork(("-c",), environment({})):
        yield Path(sys.executable).parent
        return
    program, address = folder / "bin/spendgate", str(folder / "bin/socket")
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable, address=address))
    program.chmod(0o755)
    with ThreadingUnixStreamServer(address, _Command) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield program.parent
        finally:
            server.shutdown()
            thread.join()


class _Command(StreamRequestHandler):
    """One run of the program."""

    def handle(self) -> None:
        """Forks the process, waits for its end and answers with its exit code as a shell gives it."""
        header, streams, _, _ = socket.recv_fds(self.request, preloaded.HEADER.size, 3)
        (length,) = preloaded.HEADER.unpack(header)
        arguments, env, folder = json.loads(self.request.recv(length, socket.MSG_WAITALL))
        try:
            process = preloaded.fork(["-c", SCRIPT, *arguments], env, Path(folder), streams, session=False)
        finally:
            for stream in streams:
                os.close(stream)
        code = process.wait()
        self.request.sendall(bytes([code if code >= 0 else 128 - code]))
