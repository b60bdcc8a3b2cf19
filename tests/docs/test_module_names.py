"""Every module that a docstring, a comment or a page names exists."""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from docs.reference import log_events
from docs.reference.source import PACKAGES
from tests.cli.shell import REPOSITORY
from tests.docs.markdown import code_spans, pages

FOLDERS = (*PACKAGES, "alembic", "benchmarks", "docs", "tests")
DOTTED = re.compile(rf"(?<![\w./@-])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+(?![\w/(-])")
SLASHED = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})/[\w/-]+\.(?:py|sql|html|js|css)\b")


def prose_of(path: Path) -> Iterator[str]:
    """The docstrings and comments of a module, and the strings that stand alone below a constant."""
    text = path.read_text()
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    if not any(pattern.search(line) for line in text.splitlines() if "#" in line for pattern in (DOTTED, SLASHED)):
        return  # no comment can name a module, and splitting a module into tokens takes long
    with path.open("rb") as source:
        yield from (token.string for token in tokenize.tokenize(source.readline) if token.type == tokenize.COMMENT)


def missing(texts: Iterator[str] | list[str]) -> set[str]:
    """The names of modules, in either form, that lead nowhere."""
    found = {name for text in texts for pattern in (DOTTED, SLASHED) for name in pattern.findall(text)}
    return {name for name in found if not _exists(name)}


def _exists(name: str) -> bool:
    if "/" in name:
        return (REPOSITORY / name).exists()
    if name in log_events.log_events():
        return True
    place, *rest = name.split(".")
    path = REPOSITORY / place
    while rest and (path / rest[0]).is_dir():
        path /= rest.pop(0)
    if not rest:
        return True
    module = path / f"{rest.pop(0)}.py"
    return module.exists() and (not rest or re.search(rf"\b{rest[0]}\b", module.read_text()) is not None)


def test_every_module_that_a_docstring_or_a_comment_names_exists() -> None:
    modules = [path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py")]
    named = {path.relative_to(REPOSITORY): missing(prose_of(path)) for path in modules if path != Path(__file__)}
    assert {path: names for path, names in named.items() if names} == {}


def test_every_module_that_a_page_names_as_code_exists() -> None:
    named = {path.relative_to(REPOSITORY): missing(code_spans(path.read_text())) for path in pages()}
    assert {path: names for path, names in named.items() if names} == {}


def test_a_name_of_a_moved_module_is_noticed() -> None:
    moved = ["see `domain.spend.judge_event`", "in app/ingest/no_such_module.py", "`runtime.settings.no_such_name`"]
    right = ["`domain.inputs.spend.judge_event`", "`app.ingest`", "app/ingest/count.py", "`spend.ingested`"]
    assert len(missing(moved)) == len(moved)
    assert missing(right) == set()
