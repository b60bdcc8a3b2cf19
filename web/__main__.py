"""`python -m web`: uvicorn, with its lines in our format."""

import socket
import sys
from argparse import ArgumentParser
from contextlib import suppress
from types import FrameType

import structlog
import uvicorn

from runtime import addresses, logs
from runtime.settings import BAD_SETTINGS_EXIT, SettingsError, settings

GRACE_SECONDS = 20
"""On SIGTERM, requests at work are given so long to end."""

NOT_STARTED_EXIT = 3


class Server(uvicorn.Server):
    """Ends the streams of open pages first, which would else be waited for; the pages connect again by themselves."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Asks for the end, however many signals come: uvicorn's own breaks off requests at the second SIGINT."""
        del sig, frame
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        from web.dashboard.changes import feed  # noqa: PLC0415 - after the settings are known to be good

        feed.end()
        await super().shutdown(sockets)


def main() -> int:
    """Serves until SIGTERM or SIGINT; returns 2 for a bad setting."""
    options = ArgumentParser("python -m web", description="The web process: dashboard, admin, API, probes.")
    options.add_argument("--host", help="the address to listen on, instead of SPENDGATE_HOST")
    option = options.parse_args().host
    try:
        read = settings()
        read.required_database_url()
        read.required_queue_url()
        host = option or read.host
        sockets = addresses.listening(host, read.port, "--host" if option else "SPENDGATE_HOST")
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_SETTINGS_EXIT
    logs.configure()
    config = uvicorn.Config(
        "web.app:create_app",
        factory=True,
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=read.trusted_proxies,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = Server(config)
    structlog.get_logger().info("web.listening", page=addresses.page(host, sockets[0].getsockname()[1]))
    with suppress(KeyboardInterrupt):
        server.run(sockets)
    return 0 if server.started else NOT_STARTED_EXIT


if __name__ == "__main__":
    sys.exit(main())
