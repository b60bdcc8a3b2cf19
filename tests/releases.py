"""Released versions of Spendgate in this repository's history: by tag, else by the commit that set the version."""

import re
import subprocess
import tarfile
import tomllib
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

from tests.cli.shell import REPOSITORY

VERSION_LINE: Final = '^version = "'
TAG: Final = re.compile(r"v(\d+\.\d+\.\d+)")
MIGRATIONS: Final = "alembic/versions"


class Release(NamedTuple):
    """A version, and the tag or the commit that has its files."""

    version: str
    commit: str

    @property
    def revision(self) -> str:
        """The newest revision of its tables."""
        return _newest(git("ls-tree", "--name-only", self.commit, f"{MIGRATIONS}/").split())


def releases() -> list[Release]:
    """Every version in the history, the newest first; none if this checkout has no history."""
    found: dict[str, str] = {}
    for commit in git("log", "--format=%H", "-G", VERSION_LINE, "--", "pyproject.toml").split():
        found.setdefault(_version_at(commit), commit)
    for tag in git("tag", "--list", "--merged", "HEAD").split():
        if named := TAG.fullmatch(tag):
            assert _version_at(tag) == named[1], f"{tag} is not at a commit of its version"
            found[named[1]] = tag
    newest_first = sorted(found, key=lambda version: [int(part) for part in version.split(".")], reverse=True)
    return [Release(version, found[version]) for version in newest_first]


def present_version() -> str:
    """The version in pyproject.toml."""
    return _version_of((REPOSITORY / "pyproject.toml").read_text())


def last_release_with_other_tables() -> Release | None:
    """The newest version whose tables the present version migrates; None if the history has none."""
    present = _newest([path.name for path in (REPOSITORY / MIGRATIONS).glob("*.py")])
    return next((release for release in releases() if release.revision < present), None)


def unpack(commit: str, folder: Path) -> Path:
    """Writes the files of a commit or tag into a new folder and returns it."""
    archive = subprocess.run(["git", "archive", commit], cwd=REPOSITORY, capture_output=True, check=True)
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def git(*arguments: str) -> str:
    """The output of a git command in this repository; empty if it fails, or without git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout


def _version_at(commit: str) -> str:
    return _version_of(git("show", f"{commit}:pyproject.toml"))


def _version_of(project: str) -> str:
    return str(tomllib.loads(project)["project"]["version"])


def _newest(paths: list[str]) -> str:
    """The newest of revisions, which begin with four digits."""
    names = (path.rpartition("/")[2] for path in paths)
    return max((name[:4] for name in names if name[:4].isdigit()), default="")
