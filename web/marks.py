"""Marks of what people set of a thing: an edit is checked against edits alone.

Enforcement, which may act at any moment, never makes a person's edit stale.
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
