"""The pause before a retry: capped exponential backoff with jitter."""

import random
from typing import Final

LEAST_FACTOR: Final = 0.5
"""Least random factor of a pause; the largest is 1. Processes that failed together then do not retry together."""


def pause_seconds(failures: int, first: float, longest: float) -> float:
    """The seconds to wait after this many failures in a row: `first`, doubled by each further one, at most `longest`.

    The jitter shortens a pause to between a half and the whole of it. `failures` counts from 1.
    """
    doublings = min(failures - 1, 32)
    pause = min(first * float(2**doublings), longest)
    return pause * random.uniform(LEAST_FACTOR, 1)  # noqa: S311 - jitter, no secret
