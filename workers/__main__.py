"""`python -m workers`: Dramatiq's worker processes, with every line they log in our format."""

import os
import sys

WORKER_TIMEOUT_MS = "50"


def main() -> int:
    """Runs until SIGTERM or SIGINT; returns Dramatiq's exit code, or 2 for a bad setting."""
    os.environ.setdefault("dramatiq_worker_timeout", WORKER_TIMEOUT_MS)
    from dramatiq import cli  # noqa: PLC0415 - reads its environment when it is imported

    import workers.main  # noqa: F401, PLC0415 - checks the settings and configures the logs before any fork
    from runtime.settings import settings  # noqa: PLC0415

    read = settings()
    arguments = [
        "workers.main",
        "--skip-logging",
        f"--processes={read.worker_processes}",
        f"--threads={read.worker_threads}",
        f"--worker-shutdown-timeout={read.shutdown_seconds * 1000}",
    ]
    parser = cli.make_argument_parser()  # type: ignore[no-untyped-call]
    return int(cli.main(parser.parse_args(arguments)))  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    sys.exit(main())
