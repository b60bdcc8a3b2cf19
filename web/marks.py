"""Marks (hashes) of the values that people edit on a row, to detect that somebody else edited it meanwhile.

Values that enforcement changes are left out, so enforcement never makes a person's edit stale.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any


def digest(values: Mapping[str, Any]) -> str:
    """A hash of the values, 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True, default=str).encode()).hexdigest()[:16]


def edit_mark(values: Mapping[str, Any], set_by_people: Collection[str]) -> str:
    """The hash of the values whose names are in `set_by_people`."""
    return digest({name: value for name, value in values.items() if name in set_by_people})
