"""A RabbitMQ of the tests' own: on loopback alone, in a folder that goes with it, and asked in its own language."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pika.exceptions

from tests.folders import new_folder
from tests.ports import free_port, listens

STARTED_WITHIN_SECONDS = 120
EMPTY_WITHIN_SECONDS = 10
CONFIG = """
listeners.tcp.default = 127.0.0.1:{port}
disk_free_limit.absolute = 1MB
log.console = false
"""
LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"
ASK = """
Ask = fun(Line) ->
    {ok, Tokens, _} = erl_scan:string(Line),
    {ok, Parsed} = erl_parse:parse_exprs(Tokens),
    case rpc:call('NODE', erl_eval, exprs, [Parsed, []]) of {value, Value, _} -> Value; Failed -> Failed end
end,
Loop = fun Again() ->
    case io:get_line("") of
        eof -> halt();
        Line -> io:format("~0tp~n", [Ask(Line)]), Again()
    end
end,
Loop().
"""
LENGTHS = (
    'lists:flatten([io_lib:format("~s=~b ", [element(4, proplists:get_value(name, Queue)), '
    'proplists:get_value(messages, Queue)]) || Queue <- rabbit_amqqueue:info_all(<<"/">>, [name, messages])])'
)
PURGE = '[rabbit_amqqueue:purge(Queue) || Queue <- rabbit_amqqueue:list(<<"/">>)]'
DELETE = '[rabbit_amqqueue:delete(Queue, false, false, <<"test">>) || Queue <- rabbit_amqqueue:list(<<"/">>)]'
CLOSE = '[rabbit_networking:close_connection(Pid, "for a test") || Pid <- rabbit_networking:connections()]'


class RabbitMQ:
    """A server that can be stopped, killed and started again with what it has on disk."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port, distribution, epmd = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"
        self._program = program
        self._folder = folder
        self._node = f"spendgate-{self.port}@localhost"
        (folder / "rabbitmq.conf").write_text(CONFIG.format(port=self.port))
        (folder / "enabled_plugins").write_text("[].")
        self._env = {
            **os.environ,
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd),
            "RABBITMQ_ALLOW_INPUT": "1",  # the server is then the process that we start, and no child of a shell's
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "no-such-file"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-noinput {LOOPBACK}",
        }
        self._epmd = self._started("epmd", "-address", "127.0.0.1", "-port", str(epmd))
        self.start()
        name, ask = f"asking-{self.port}@localhost", ASK.replace("NODE", self._node)
        self._asking = self._started("erl", *LOOPBACK.split(), "-noshell", "-hidden", "-sname", name, "-eval", ask)

    def start(self) -> None:
        """Returns once it takes connections."""
        self._server = self._started(self._program)
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS
        while not self._answers():
            assert self._server.poll() is None, (self._folder / "output").read_text()
            assert time.monotonic() < deadline, "RabbitMQ did not start"
            time.sleep(0.1)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends it, by SIGKILL without a chance to write anything down."""
        self._server.send_signal(number)
        self._server.wait(60)

    def start_again(self) -> None:
        """Starts it if it does not run."""
        if self._server.poll() is not None:
            self.start()

    def close(self) -> None:
        """Kills all processes of the server."""
        for process in (self._asking, self._server, self._epmd):
            process.kill()
            process.communicate()

    def ask(self, expression: str) -> str:
        """Evaluates an Erlang expression in the server and returns the result as text."""
        assert self._asking.stdin
        assert self._asking.stdout
        self._asking.stdin.write(f"{expression}.\n".encode())
        self._asking.stdin.flush()
        return self._asking.stdout.readline().decode().strip()

    def lengths(self) -> dict[str, int]:
        """How many messages each queue has, with those that consumers hold: a client cannot ask for these."""
        answer = self.ask(LENGTHS).strip('"[]')
        lengths = (one.rpartition("=") for one in answer.split())
        # a queue that is just being deleted has no length any more
        return {name: int(count) for name, _, count in lengths if count.isdigit()}

    def flush(self) -> None:
        """Empties every queue, also of messages that return to it when a connection is lost."""
        deadline = time.monotonic() + EMPTY_WITHIN_SECONDS
        while any(self.lengths().values()):
            self.ask(PURGE)
            if time.monotonic() > deadline - EMPTY_WITHIN_SECONDS / 2:
                self.close_connections()
            assert time.monotonic() < deadline, self.lengths()

    def delete_queues(self) -> None:
        """There is no queue any more, and nothing that was in one."""
        self.ask(DELETE)

    def close_connections(self) -> None:
        """Every client loses its connection."""
        self.ask(CLOSE)

    @contextmanager
    def without_memory(self) -> Iterator[None]:
        """Meanwhile RabbitMQ finds that it has no memory left, and blocks who sends."""
        self.ask("vm_memory_monitor:set_vm_memory_high_watermark({absolute, 1})")
        try:
            yield
        finally:
            self.ask("vm_memory_monitor:set_vm_memory_high_watermark(0.4)")

    def _answers(self) -> bool:
        if not listens(self.port):
            return False
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True

    def _started(self, *argv: str) -> subprocess.Popen[bytes]:
        pipe: Any = subprocess.PIPE if argv[0] == "erl" else subprocess.DEVNULL
        with (self._folder / "output").open("ab") as output:
            return subprocess.Popen(
                argv,
                cwd=self._folder,
                env=self._env,
                stdin=pipe,
                stdout=pipe if argv[0] == "erl" else output,
                stderr=output,
            )


servers: list[RabbitMQ] = []
"""The one that carries the messages of the tests, where SPENDGATE_TEST_RABBITMQ asks for it."""


@contextmanager
def running(program: str) -> Iterator[RabbitMQ]:
    """A server of the program `rabbitmq-server`, and afterwards nothing of it."""
    folder = new_folder("spendgate-rabbitmq-")
    server = RabbitMQ(program, folder)
    try:
        yield server
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)
