"""Takes the tests of another module to run them once more."""

from types import ModuleType
from typing import Any


def again(module: ModuleType, *left_out: str) -> dict[str, Any]:
    """The names of the module for `globals()`, without the tests that are left out and names of modules."""
    return {name: value for name, value in vars(module).items() if not name.startswith("__") and name not in left_out}
