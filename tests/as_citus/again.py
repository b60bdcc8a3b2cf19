"""Takes the tests of another module to run them once more."""

from types import ModuleType
from typing import Any


def again(module: ModuleType, *parts: str) -> dict[str, Any]:
    """The names of the module for `globals()`; without names of modules, and tests whose name has none of the parts."""

    def is_taken(name: str) -> bool:
        if name.startswith("test_") and parts:
            return any(part in name for part in parts)
        return not name.startswith("__")

    return {name: value for name, value in vars(module).items() if is_taken(name)}
