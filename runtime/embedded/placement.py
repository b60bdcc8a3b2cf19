"""Where the embedded servers' binaries and data may lie, and as whom Postgres runs there."""

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

if sys.platform != "win32":
    import pwd

OWN_SERVERS = "set DATABASE_URL and REDIS_URL to servers of your own"
PLACE_PREFIX = "spendgate-"


class EmbeddedError(Exception):
    """The servers cannot run here; the message is one line that says what to do."""


def server_account() -> tuple[int, int] | None:
    """The (uid, gid) of Postgres, which refuses to run as root; None for an ordinary user."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedError(f"Postgres cannot run as root, and there is no user `nobody`: {OWN_SERVERS}") from None
    return nobody.pw_uid, nobody.pw_gid


def installed(package: str, pattern: str) -> Path:
    """The file of an installed package that matches `pattern`. Raises EmbeddedError where there is none."""
    spec = importlib.util.find_spec(package)
    found = list(Path(spec.origin).resolve().parent.glob(pattern)) if spec and spec.origin else []
    if not found:
        raise EmbeddedError(f"{package} is not installed, or not made for this machine: {OWN_SERVERS}")
    return found[0]


def _reachable(folder: Path) -> bool:
    """Whether every user may enter `folder`."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))


def reachable_place(home: Path) -> Path:
    """Where `nobody` can reach its data: `home`, or a directory made elsewhere, into which `home/postgres` links."""
    link = home / "postgres"
    if link.is_symlink() and link.resolve().parent.is_dir():
        return link.resolve().parent
    if _reachable(home):
        return home
    bases = [path for path in (Path("/var/lib"), Path(tempfile.gettempdir())) if os.access(path, os.W_OK)]
    base = next(filter(_reachable, bases), None)
    if base is None:
        raise EmbeddedError(f"the user `nobody`, who runs Postgres, cannot reach {home}: set SPENDGATE_HOME")
    link.unlink(missing_ok=True)
    place = Path(tempfile.mkdtemp(prefix=PLACE_PREFIX, dir=base))
    place.chmod(0o711)
    link.symlink_to(place / "postgres")
    return place


def runnable(binaries: Path, place: Path) -> Path:
    """Return `binaries`, or a copy of them below `place` when `nobody` cannot run them where they are installed."""
    if _reachable(binaries) and (binaries / "postgres").stat().st_mode & 0o005 == 0o005:
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
