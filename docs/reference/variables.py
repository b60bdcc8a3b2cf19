"""Settings as `runtime.settings` declares them: variable, default and range."""

from functools import lru_cache
from typing import Any, get_args

from pydantic.fields import FieldInfo

from cli.roles import password_variable, url_variable
from cli.service.commands import REDIS_URLS
from db.repository.access.privileges import DatabaseRole
from docs.reference.tables import UNDESCRIBED, Cells
from runtime.settings import Settings

SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


@lru_cache(maxsize=1)
def variables() -> dict[str, FieldInfo | None]:
    """All environment variables that processes read, by name, each with its field of `Settings`; None: it has none."""
    declared = {_variable(field): field for field in Settings.model_fields.values()}
    roles = [variable(role) for variable in (url_variable, password_variable) for role in DatabaseRole]
    return {**dict.fromkeys([*roles, *REDIS_URLS.values()]), **declared}


def _variable(field: FieldInfo) -> str:
    alias: Any = field.validation_alias
    return str(alias.choices[0])


def cells(name: str, written: Cells) -> Cells:
    """The cells of a variable's row: default, range and meaning. `written`: the present cells, empty for a new row.

    Keeps from `written` the meaning, and the default and range that the code does not declare.
    """
    default, allowed, meaning = written or ["", "", UNDESCRIBED]
    field = variables()[name]
    if field is None:
        return [default or UNDESCRIBED, allowed, meaning]
    value = field.default
    if value is not None and value != "":
        default = f"`{str(value).lower() if isinstance(value, bool) else value}`"
    return [default or "none", _range(field) or allowed, meaning]


def _range(field: FieldInfo) -> str:
    choices = [str(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
    bounds = [
        f"{sign} {int(bound):,}"
        for part in field.metadata
        for name, sign in SIGNS.items()
        if (bound := getattr(part, name, None)) is not None
    ]
    lengths = [f"≥ {part.min_length} characters" for part in field.metadata if hasattr(part, "min_length")]
    return ", ".join(choices or bounds or lengths)
