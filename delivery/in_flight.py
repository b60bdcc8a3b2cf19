"""The messages in flight in a worker process, in shared memory that its master can read after the process has died."""

import mmap
import threading
from collections.abc import Sequence
from typing import Final

KILL_AFTER_SECONDS: Final = 2.0
"""Seconds from the end of the shutdown timeout until a worker process that still runs is killed."""

SLOT_BYTES: Final = 4_096
"""Bytes of a thread's slot.

The ids of the largest bundle must fit into it: MAX_MESSAGES of MAX_ID_LENGTH in `delivery/bundles.py`.
"""

LENGTH_BYTES: Final = 2
"""Bytes at the beginning of a slot that hold the length of its text; the text is ids of messages, one per line."""


class InFlightBoard:
    """Message ids in memory shared by a master and its forked worker, with one slot for each thread."""

    def __init__(self, threads: int) -> None:
        self._memory = mmap.mmap(-1, threads * SLOT_BYTES)
        self._free = list(range(threads))
        self._mine = threading.local()

    def write(self, message_ids: Sequence[str]) -> None:
        """Records the ids of the messages that the calling thread works on now; an empty sequence: it works on none.

        Does nothing if all slots belong to other threads. Ids beyond SLOT_BYTES are cut off.
        """
        slot = self._slot()
        if slot is None:
            return
        text = "\n".join(message_ids).encode()[: SLOT_BYTES - LENGTH_BYTES]
        start = slot * SLOT_BYTES
        record = len(text).to_bytes(LENGTH_BYTES, "big") + text
        self._memory[start : start + len(record)] = record

    def read(self) -> list[str]:
        """Returns the ids of the messages that all threads work on."""
        slots = (self._memory[start : start + SLOT_BYTES] for start in range(0, len(self._memory), SLOT_BYTES))
        return [message_id for slot in slots for message_id in _ids_in(slot)]

    def close(self) -> None:
        """Frees the memory."""
        self._memory.close()

    def _slot(self) -> int | None:
        if not hasattr(self._mine, "slot"):
            self._mine.slot = self._free.pop() if self._free else None
        slot: int | None = self._mine.slot
        return slot


def _ids_in(slot: bytes) -> list[str]:
    length = int.from_bytes(slot[:LENGTH_BYTES], "big")
    return slot[LENGTH_BYTES : LENGTH_BYTES + length].decode("utf-8", "replace").split("\n") if length else []
