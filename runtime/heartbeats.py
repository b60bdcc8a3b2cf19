"""Heartbeats of a master and its processes, in memory that they share with the process that answers /healthz."""

import mmap
import struct
import time
from typing import Final

_TIME: Final = struct.Struct("d")


class Heartbeats:
    """The time of the last heartbeat of each place, in memory that processes forked later share."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._memory = mmap.mmap(-1, places * _TIME.size)

    def beat(self, place: int) -> None:
        """Records that the process of this place runs now."""
        _TIME.pack_into(self._memory, place * _TIME.size, time.monotonic())

    def end(self, place: int) -> None:
        """Forgets the place, because its process has ended."""
        _TIME.pack_into(self._memory, place * _TIME.size, 0.0)

    def are_recent(self, longest_seconds: float) -> bool:
        """Whether each place with a process had a heartbeat within so many seconds."""
        oldest = time.monotonic() - longest_seconds
        lasts = (_TIME.unpack_from(self._memory, place * _TIME.size)[0] for place in range(self._places))
        return all(last == 0 or last >= oldest for last in lasts)
