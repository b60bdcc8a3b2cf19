"""Facts that are read from the source text, without running it."""

import ast
from functools import lru_cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("app", "cli", "db", "delivery", "domain", "runtime", "web", "workers")


@lru_cache(maxsize=1)
def trees() -> tuple[ast.Module, ...]:
    """The syntax tree of every module in PACKAGES."""
    paths = (path for package in PACKAGES for path in sorted((REPOSITORY / package).rglob("*.py")))
    return tuple(ast.parse(path.read_text()) for path in paths)


@lru_cache(maxsize=1)
def nodes() -> tuple[ast.AST, ...]:
    """The syntax nodes of all calls and constants in the modules of PACKAGES."""
    kinds = (ast.Call, ast.Constant)
    return tuple(node for tree in trees() for node in ast.walk(tree) if isinstance(node, kinds))


@lru_cache(maxsize=1)
def texts() -> frozenset[str]:
    """All string constants in the modules of PACKAGES."""
    return frozenset(node.value for node in nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str))


def called(node: ast.AST) -> tuple[str, ast.Call] | None:
    """The last part of the name of the function that `node` calls, and the node itself; None if it is no such call."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr, node
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id, node
    return None


def constants(node: ast.expr) -> list[str]:
    """The strings that an expression may be: a constant, or either side of a condition."""
    if isinstance(node, ast.IfExp):
        return constants(node.body) + constants(node.orelse)
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
