"""Ids of platforms whose ids are numbers of 64 bits, which are put into paths and URLs."""

import re
from typing import Final

from app.platforms.protocol import Refused

DIGITS: Final = re.compile(r"[0-9]{1,19}")
LARGEST: Final = 2**63 - 1


def is_id(text: str) -> bool:
    """Whether the text has digits only and is at most 2**63 - 1, as ids of these platforms are.

    Anything else could change a path, or make a platform refuse a whole request.
    """
    return DIGITS.fullmatch(text) is not None and int(text) <= LARGEST


def not_an_id(platform: str) -> Refused:
    """The error, not raised, of a campaign whose external id cannot be an id of the platform."""
    return Refused(f"its external id is not an id of {platform}, which has digits only")
