"""Marks of the settings that people edit on a row: an edit is refused only after another edit.

Enforcement, which may run at any time, makes no person's edit stale.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any


def digest(values: Mapping[str, Any]) -> str:
    """A short text that differs where a value does."""
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True, default=str).encode()).hexdigest()[:16]


def edit_mark(values: Mapping[str, Any], set_by_people: Collection[str]) -> str:
    """The mark of those of the values that people set."""
    return digest({name: value for name, value in values.items() if name in set_by_people})
