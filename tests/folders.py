"""The folder of the files of the tests' own servers."""

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there has a name of its own
ROOM_BYTES = 4 * 2**30


def new_folder(prefix: str) -> Path:
    """A new folder that every user may enter: in memory, if there is room.

    A database for each test is hundreds of files, and a disk takes longer to make them than most tests last.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_memory()))
    folder.chmod(0o755)
    return folder


def _memory() -> Path | None:
    has_room = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    return MEMORY if has_room and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC else None
