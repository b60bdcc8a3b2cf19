"""Lists the files of the spend folder and of its directories, tells which are complete, and opens them.

Programs that write to the folder may send any figures, but must not stop the worker: links, pipes, devices and
directories are never read as files, whatever their names.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from app.imports.answers import Changed

OPTIONS_FILE: Final = "spendgate.toml"
UNFINISHED: Final = (
    ".part",
    ".partial",
    ".tmp",
    ".temp",
    ".crdownload",
    ".download",
    ".filepart",
    ".swp",
    ".lock",
    "~",
)
"""Ends of names under which programs write a file before they rename it."""

OURS: Final = ".skipped.csv"
"""The end of names of the lists of skipped rows, which imports write."""

MAX_OPTIONS_BYTES: Final = 65_536
"""Bytes read of an options file; the rest is ignored."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

NANOSECONDS: Final = 1_000_000_000
RENAMED_WITHIN_NS: Final = 5 * NANOSECONDS
"""Nanoseconds by which the times that a rename gives to the file and to its directory may differ."""


class Version(NamedTuple):
    """A file as it was at one scan: writing to it changes `changed_ns`, replacing it the inode."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int = 0

    def __str__(self) -> str:
        return " ".join(map(str, self))

    @classmethod
    def read(cls, text: str) -> "Version | None":
        """The version that `str` wrote as this text; None for any other text.

        For a name that is no file, the reason is stored in place of a version.
        """
        numbers = text.split()
        return cls(*map(int, numbers)) if all(map(str.isdecimal, numbers)) and 3 <= len(numbers) <= 4 else None

    @classmethod
    def of(cls, status: os.stat_result) -> "Version":
        """The version of a file with this result of `os.stat`."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @property
    def modified_at(self) -> datetime:
        """The modification time, cut to microseconds; the calendar's first or last instant for times beyond it."""
        seconds, nanoseconds = divmod(self.modified_ns, NANOSECONDS)
        try:
            return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=nanoseconds // 1_000)
        except (OverflowError, ValueError, OSError):
            return datetime.max.replace(tzinfo=UTC) if seconds > 0 else datetime.min.replace(tzinfo=UTC)


class LastScan(NamedTuple):
    """A file at the last scan: its version, and since when it has that version, by our own clock."""

    version: Version
    unchanged_since: datetime


class SpendFile(NamedTuple):
    """A regular file; `platform` is its directory's name, empty for one that lies in the folder itself.

    `is_renamed`: after the last write somebody renamed it into place, as far as its times and the directory's show.
    """

    platform: str
    name: str
    version: Version
    is_renamed: bool = False

    def shown(self, folder: Path) -> str:
        """The file's path as text for people and logs."""
        return printable(folder / self.platform / self.name)


class Skipped(NamedTuple):
    """A name that is not read, its directory, and the reason, such as `link`. Both names are printable."""

    platform: str
    name: str
    reason: str


def is_complete(file: SpendFile, last: LastScan | None, at: datetime, quiet: timedelta) -> bool:
    """Whether the file was unchanged for `quiet`, so that it counts as complete.

    `last`: its previous scan; None for a new file. `at`: the time of this scan. The time between scans counts, by our
    own clock: a file server's clock may be behind, and a program may set any time on a file that it still writes. A
    file that is new under its name and was renamed into place is also complete if it was modified `quiet` or longer
    before `at`.
    """
    version = file.version
    is_same = last is not None and last.version == version
    seen_since = last.unchanged_since if last is not None and is_same and last.unchanged_since <= at else at
    if at - seen_since >= quiet:
        return True
    is_new = last is None or last.version.inode != version.inode
    return is_new and file.is_renamed and at - version.modified_at >= quiet


def listed(folder: Path) -> Iterator[SpendFile | Skipped]:
    """Yields the files that may be reports, in the folder and its directories; `Skipped` for names that are not read.

    Leaves out hidden names, options files, and names that end as in UNFINISHED or OURS. Raises OSError if the folder
    itself cannot be read.
    """
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    directories = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
    with _directory(folder) as directory:
        names = [entry.name for entry in found if entry.name not in directories]
        yield from _reports(names, "", directory)
    for name in directories:
        if not name.startswith("."):
            yield from _listed_of(folder / name)


def _listed_of(platform: Path) -> Iterator[SpendFile | Skipped]:
    if not _is_unicode(platform.name):
        yield Skipped("", printable(platform.name), "name_is_not_utf8")
        return
    try:
        with _directory(platform) as directory:
            with os.scandir(directory) as entries:
                names = sorted((entry.name for entry in entries), key=os.fsencode)
            yield from _reports(names, platform.name, directory)
    except OSError as error:
        yield Skipped("", printable(platform.name), reason_of(error))


def _reports(names: Iterable[str], platform: str, directory: int) -> Iterator[SpendFile | Skipped]:
    changed_ns = os.fstat(directory).st_mtime_ns
    for name in names:
        if not (name.startswith(".") or name == OPTIONS_FILE or name.lower().endswith((*UNFINISHED, OURS))):
            found = _looked_at(platform, name, directory, changed_ns)
            if found is not None:
                yield found


def _looked_at(platform: str, name: str, directory: int, changed_ns: int) -> SpendFile | Skipped | None:
    """The file with this name; `Skipped` if it is not to be read, None if it is gone.

    `directory`: the open descriptor of its directory. `changed_ns`: when a name in that directory changed last, in
    nanoseconds since 1970.
    """
    shown = printable(name)
    if not _is_unicode(name):
        return Skipped(platform, shown, "name_is_not_utf8")
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Skipped(platform, shown, reason_of(error))
    if not stat.S_ISREG(status.st_mode):
        return Skipped(platform, shown, "link" if stat.S_ISLNK(status.st_mode) else "not_a_file")
    # A write gives a file one modification and change time; a later rename changes the second, and the directory.
    is_renamed = status.st_mtime_ns < status.st_ctime_ns <= changed_ns + RENAMED_WITHIN_NS
    return SpendFile(platform, name, Version.of(status), is_renamed)


@contextmanager
def opened(folder: Path, file: SpendFile) -> Iterator[BinaryIO]:
    """Opens the file for reading. Raises Changed if its version is not `file.version` at the start or end of the block.

    Raises OSError if it cannot be opened.
    """
    with _directory(folder / file.platform) as directory:
        descriptor = os.open(file.name, _FILE, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as stream:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode) or Version.of(before) != file.version:
            raise Changed
        yield stream
        if Version.of(os.fstat(descriptor)) != file.version:
            raise Changed


def options_text(folder: Path, platform: str) -> bytes:
    """Reads the options file in the directory `platform`, else the folder's own; returns no bytes if there is neither.

    Returns MAX_OPTIONS_BYTES at most. Raises OSError if the file cannot be read, or is a link.
    """
    for place in dict.fromkeys((folder / platform, folder)):
        try:
            with _directory(place) as directory:
                descriptor = os.open(OPTIONS_FILE, _FILE, dir_fd=directory)
        except FileNotFoundError:
            continue
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, f"{OPTIONS_FILE} is no file")
            return stream.read(MAX_OPTIONS_BYTES)
    return b""


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    descriptor = os.open(path, _DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def reason_of(error: OSError) -> str:
    """The name of the error's code, such as EACCES; the exception's name if it has no code."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


def printable(path: Path | str) -> str:
    """The path in one line of text, whatever bytes its name has."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
