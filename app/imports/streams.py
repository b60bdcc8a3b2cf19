"""Reads a file only up to its size at opening, and shows by hash and size whether it changed meanwhile."""

import hashlib
import io
from typing import BinaryIO, Final

from app.imports.tables import Progress

PASSES: Final = 4
"""Readings of all bytes on which progress is based: for hash, evidence, sums, and hash again. Some files take more."""

_BLOCK_BYTES: Final = 1_000_000


class FixedSize(io.BufferedIOBase):
    """A binary stream that ends where it ended when it was opened, so that a growing file is not read for ever.

    After each read calls `progress` with the bytes read in all readings, and PASSES times the size, which the first
    figure never exceeds; None: reports no progress.
    """

    def __init__(self, stream: BinaryIO, progress: Progress | None) -> None:
        self._stream, self._progress = stream, progress
        self._size = stream.seek(0, io.SEEK_END)
        self._done = 0
        stream.seek(0)

    def sha256(self) -> str:
        """Reads all bytes from the start and returns their SHA-256, in hexadecimal."""
        self.seek(0)
        digest = hashlib.sha256()
        while block := self.read(_BLOCK_BYTES):
            digest.update(block)
        return digest.hexdigest()

    def has_other_size(self) -> bool:
        """Whether the stream is longer or shorter than at its opening; moves its position."""
        return self._stream.seek(0, io.SEEK_END) != self._size

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._size - self._stream.tell(), 0)
        data = self._stream.read(left if size is None or size < 0 else min(size, left))
        if self._progress is not None:
            self._done = min(self._done + len(data), self._size * PASSES)
            self._progress(self._done, self._size * PASSES)
        return data

    def read1(self, size: int = -1) -> bytes:
        return self.read(size)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            return self._stream.seek(max(self._size + offset, 0))
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
