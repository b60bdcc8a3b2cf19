"""The page of faults in docs/evidence has a row or an item for each fault that tests/faults cause, and no other."""

import ast
import re
from collections.abc import Iterator

from tests.cli.shell import REPOSITORY

ADDS = frozenset({"add_to_table", "add_figures", "_add_line"})
"""Functions that add a line to the table, with the fault's name as their first argument."""

ROW = re.compile(r"^\| ([^|]+?)(?: \([^|]*\))? \| +[\d,]+ \|", re.MULTILINE)
ITEM = re.compile(r"^- (.+)$", re.MULTILINE)
"""A fault without figures of its long form."""


def patterns() -> Iterator[str]:
    """A regular expression for the name of each fault; a value in a name matches anything."""
    for path in sorted((REPOSITORY / "tests/faults").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and name_of(node.func) in ADDS:
                yield pattern_of(node.args[0])
            elif isinstance(node, ast.Dict):
                keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
                yield from (pattern_of(value) for key, value in zip(keys, node.values, strict=True) if key == "fault")


def name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def pattern_of(name: ast.expr) -> str:
    parts = name.values if isinstance(name, ast.JoinedStr) else [name]
    texts = [str(part.value) if isinstance(part, ast.Constant) else None for part in parts]
    return "".join(".+" if text is None else re.escape(without_remark(text)) for text in texts)


def without_remark(text: str) -> str:
    """The text without a last part in parentheses, which `ROW` leaves out too."""
    return re.sub(r" \([^)]*\)$", "", text)


def test_each_fault_has_a_row_and_each_row_a_fault() -> None:
    page = (REPOSITORY / "docs/evidence/faults.md").read_text(encoding="utf-8")
    rows = [*ROW.findall(page), *ITEM.findall(page)]
    known = set(patterns()) - {".+"}
    assert len(rows) > 30
    assert [pattern for pattern in sorted(known) if not any(re.fullmatch(pattern, row) for row in rows)] == []
    assert [row for row in rows if not any(re.fullmatch(pattern, row) for pattern in known)] == []
