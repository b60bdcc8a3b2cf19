"""Validates webhook messages by the AsyncAPI document of docs/reference."""

from functools import lru_cache
from typing import Any

import jsonschema_rs

from docs.reference import webhook_messages


@lru_cache(maxsize=1)
def _validators() -> dict[str, jsonschema_rs.Draft7Validator]:
    schemas = webhook_messages.schemas()
    by_type = {
        one["properties"]["type"]["const"]: one for one in schemas.values() if "type" in one.get("properties", {})
    }
    return {
        message_type: jsonschema_rs.Draft7Validator(
            {**schema, "components": {"schemas": schemas}}, validate_formats=True
        )
        for message_type, schema in by_type.items()
    }


def is_webhook(message: dict[str, Any]) -> bool:
    """Whether the message is valid by the schema of its type."""
    return bool(_validators()[message["type"]].is_valid(message))
