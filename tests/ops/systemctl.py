"""A stand-in for systemctl on a machine without systemd: does what a unit says, with Debian's Python alone."""

import configparser
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

UNITS = Path("/etc/systemd/system")
STATE = Path("/var/lib")
NOBODY = 65534
SECONDS = 60

LOG = Path("/var/log/systemctl.log")
REDIS_PID = Path("/run/redis/redis-server.pid")


def main(verb: str, *arguments: str) -> None:
    """Runs `systemctl VERB ARGUMENTS`. `boot` starts Debian's services, as their packages do."""
    if verb == "boot":
        start_postgres()
        start_redis()
        run("nginx")
    elif (verb, arguments) == ("restart", ("redis-server",)):
        stop_redis()
        start_redis()
    elif (verb, arguments) == ("reload", ("nginx",)):
        run("nginx", "-s", "reload")
    elif (verb, arguments[:1]) == ("enable", ("--now",)):
        for name in arguments[1:]:
            start(name)
    elif verb != "daemon-reload":
        sys.exit(f"the stand-in for systemctl has no {verb} {' '.join(arguments)}")


def run(*argv: str) -> None:
    """Runs a command to its end, with its output in a file that daemons may keep open. Exits if it fails."""
    with LOG.open("ab") as log:
        code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode
    if code:
        sys.exit(f"{' '.join(argv)} failed: {LOG.read_text()}")


def start_postgres() -> None:
    """Starts the cluster `main`, which the package makes at its installation."""
    version = max(Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name)).name
    if not Path(f"/etc/postgresql/{version}/main").exists():
        run("pg_createcluster", version, "main")
    run("pg_ctlcluster", version, "main", "start")


def start_redis() -> None:
    """Starts Redis as Debian's unit does; returns once it listens."""
    REDIS_PID.parent.mkdir(exist_ok=True)
    run("chown", "redis:redis", str(REDIS_PID.parent))
    command = "exec /usr/bin/redis-server /etc/redis/redis.conf --daemonize yes --supervised no"
    run("su", "redis", "--shell", "/bin/sh", "--command", command)
    wait_for(lambda: REDIS_PID.exists() and is_answering())


def is_answering() -> bool:
    """Whether Redis answers, be it that it wants a login."""
    return subprocess.run(["redis-cli", "ping"], capture_output=True, check=False).returncode == 0


def stop_redis() -> None:
    """Stops Redis as Debian's unit does."""
    pid = int(REDIS_PID.read_text())
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not REDIS_PID.exists())


def start(name: str) -> None:
    """Starts a unit of ours as a user without rights: to its end if it is `oneshot`."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case
    unit.read(UNITS / f"{name}.service")
    run("systemd-analyze", "verify", str(UNITS / f"{name}.service"))
    service = unit["Service"]
    state = STATE / service["StateDirectory"]
    state.mkdir(exist_ok=True)
    os.chown(state, NOBODY, NOBODY)
    env = {"PATH": os.environ["PATH"], "HOME": str(state)}
    lines = Path(service["EnvironmentFile"]).read_text().splitlines()
    for variable in [*service["Environment"].replace("%S", str(STATE)).split(), *lines]:
        key, _, value = variable.partition("=")
        env[key] = value
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
    with Path(f"/var/log/{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*as_nobody, *service["ExecStart"].split()],
            cwd=state,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    if service.get("Type") == "oneshot" and process.wait() != 0:
        sys.exit(f"{name} failed: {Path(f'/var/log/{name}.log').read_text()}")


def wait_for(is_so: Callable[[], bool]) -> None:
    """Polls until it is so; raises TimeoutError after SECONDS."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
