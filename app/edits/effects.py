"""The campaigns that an edit toggles, and the hash of its effect, which confirms it."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from db.repository.enforcement.changes import DecidedChange
from domain.campaigns import EffectiveStatus


class Toggled(NamedTuple):
    """The ids of campaigns that stop, and of campaigns that start."""

    stops: list[int]
    starts: list[int]


def toggled(changes: Iterable[DecidedChange]) -> Toggled:
    """The ids of the campaigns that the changes toggle, in order."""
    both = Toggled([], [])
    for change in changes:
        if change.is_toggle:
            both[change.to_status == EffectiveStatus.ACTIVE].extend(change.campaign_ids)
    return Toggled(*map(sorted, both))


def token_of(*facts: Any) -> str:
    """A hash (24 hex digits) of the facts of an effect, which are or contain only text, numbers and days."""
    seen = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(seen.encode()).hexdigest()[:24]
