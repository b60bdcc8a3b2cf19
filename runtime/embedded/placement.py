"""The folders of the embedded servers' binaries and data, and the user that runs Postgres."""

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

if sys.platform != "win32":
    import pwd

OWN_SERVERS = "set DATABASE_URL and REDIS_URL to use other servers"
PLACE_PREFIX = "spendgate-"


class EmbeddedError(Exception):
    """The embedded servers cannot run on this machine; the message is one line that says what to do."""


def server_account() -> tuple[int, int] | None:
    """Returns the (uid, gid) of `nobody`, which runs Postgres if this process is root; None for an ordinary user.

    Raises EmbeddedError if there is no such user.
    """
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(f"Postgres refuses to run as root, and there is no user `nobody`: {OWN_SERVERS}") from None
    return nobody.pw_uid, nobody.pw_gid


def installed_file(package: str, pattern: str) -> Path:
    """Returns the first file of an installed package that matches `pattern`. Raises EmbeddedError if none does."""
    spec = importlib.util.find_spec(package)
    matches = list(Path(spec.origin).resolve().parent.glob(pattern)) if spec and spec.origin else []
    if not matches:
        raise EmbeddedError(f"{package} is not installed, or not built for this machine: {OWN_SERVERS}")
    return matches[0]


def _is_reachable(folder: Path) -> bool:
    """Returns whether every user may enter `folder`."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))


def reachable_folder(home: Path) -> Path:
    """Returns a folder for Postgres that `nobody` can enter: `home`, or a folder elsewhere that it makes once.

    In the second case `home/postgres` links to the data. Raises EmbeddedError if there is no such folder.
    """
    link = home / "postgres"
    if link.is_symlink() and link.resolve().parent.is_dir():
        return link.resolve().parent
    if _is_reachable(home):
        return home
    bases = [path for path in (Path("/var/lib"), Path(tempfile.gettempdir())) if os.access(path, os.W_OK)]
    base = next(filter(_is_reachable, bases), None)
    if base is None:
        raise EmbeddedError(f"the user `nobody`, which runs Postgres, cannot enter {home}: set SPENDGATE_HOME")
    link.unlink(missing_ok=True)
    place = Path(tempfile.mkdtemp(prefix=PLACE_PREFIX, dir=base))
    place.chmod(0o711)
    link.symlink_to(place / "postgres")
    return place


def runnable_binaries(binaries: Path, place: Path) -> Path:
    """Returns `binaries`; if `nobody` cannot run them, copies them to a folder below `place` and returns that."""
    if _is_reachable(binaries) and (binaries / "postgres").stat().st_mode & 0o005 == 0o005:
        return binaries
    package, copy, new = binaries.parents[1], place / "binaries", place / "binaries.new"
    shutil.rmtree(new, ignore_errors=True)
    for folder in (package, package.with_suffix(".libs")):
        if folder.exists():
            shutil.copytree(folder, new / folder.name)
    for path in (new, *new.rglob("*")):
        path.chmod(path.stat().st_mode | (path.stat().st_mode >> 6 & 0o005))
    shutil.rmtree(copy, ignore_errors=True)
    new.rename(copy)
    return copy / binaries.relative_to(package.parent)
