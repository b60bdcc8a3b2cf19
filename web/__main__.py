"""`python -m web`: uvicorn, with its lines in our format."""

import sys

import uvicorn

from runtime import logs
from runtime.settings import BAD_SETTINGS_EXIT, SettingsError, settings


def main() -> int:
    """Serves until SIGTERM or SIGINT; returns 2 for a bad setting."""
    try:
        read = settings()
        read.required_database_url()
        read.required_redis_url()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_SETTINGS_EXIT
    logs.configure()
    uvicorn.run("web.app:app", host=read.host, port=read.port, log_config=None, access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
