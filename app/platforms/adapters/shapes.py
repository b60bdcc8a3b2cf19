"""Parts of decoded JSON whose form is not trusted: missing and null parts are empty."""

from typing import Any


def object_in(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """The object of this name; empty if there is none, or something else."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def objects_in(fields: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The list of objects under this name, with {} for an element that is no object; empty if there is no list."""
    value = fields.get(name)
    return [one if isinstance(one, dict) else {} for one in value] if isinstance(value, list) else []


def text_in(fields: dict[str, Any], name: str) -> str:
    """The text, or the whole number as a text, of this name; empty if there is none, or something else."""
    value = fields.get(name)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
