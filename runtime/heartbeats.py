"""Heartbeats of a master process and its worker processes, in memory that they share with the one serving /healthz."""

import mmap
import struct
import time
from typing import Final

_TIME: Final = struct.Struct("d")


class Heartbeats:
    """The times of the last heartbeats of processes, in memory that processes forked later share.

    Each process has a place, a number from 0 to below `places`, and a process that replaces it takes it over.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._memory = mmap.mmap(-1, places * _TIME.size)

    def beat(self, place: int) -> None:
        """Records a heartbeat, now, of the process with this place."""
        _TIME.pack_into(self._memory, place * _TIME.size, time.monotonic())

    def end(self, place: int) -> None:
        """Clears the heartbeat of the process with this place, because it has ended."""
        _TIME.pack_into(self._memory, place * _TIME.size, 0.0)

    def are_recent(self, longest_seconds: float) -> bool:
        """Whether each process that has begun and not ended had a heartbeat within the last `longest_seconds`."""
        oldest = time.monotonic() - longest_seconds
        lasts = (_TIME.unpack_from(self._memory, place * _TIME.size)[0] for place in range(self._places))
        return all(last == 0 or last >= oldest for last in lasts)
