"""Pages of the documentation as their readers' programs see them: headings, links and blocks of code."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.cli.shell import REPOSITORY

_PARSER = MarkdownIt("commonmark").enable("table")


class Block(NamedTuple):
    """A fenced block of code: its info string, such as `sh background`, its text, and its first line's number."""

    info: str
    text: str
    line: int


def pages() -> list[Path]:
    """Every page in the repository."""
    folders = [REPOSITORY, REPOSITORY / "docs"]
    return sorted([*folders[0].glob("*.md"), *folders[1].rglob("*.md")])


def blocks(page: str) -> list[Block]:
    """The page's fenced blocks, in their order."""
    return [
        Block(token.info, token.content, (token.map or [0])[0] + 2)
        for token in _PARSER.parse(page)
        if token.type == "fence"
    ]


def links(page: str) -> list[str]:
    """Where the page's links and pictures lead."""
    found = [token.attrs.get("href") or token.attrs.get("src") for token in _inline(page)]
    return [str(address) for address in found if address]


def code_spans(page: str) -> list[str]:
    """The texts that the page shows as code within its sentences."""
    return [token.content for token in _inline(page) if token.type == "code_inline"]


def anchors(page: str) -> set[str]:
    """The names by which GitHub knows the page's headings."""
    tokens = _PARSER.parse(page)
    known: dict[str, int] = {}
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open":
            name = slug(
                "".join(part.content for part in content.children or [] if part.type in {"text", "code_inline"})
            )
            known[name] = known.get(name, -1) + 1
            if known[name]:
                known[f"{name}-{known[name]}"] = 0
    return set(known)


def slug(heading: str) -> str:
    """The name that GitHub gives a heading: lower case, hyphens for spaces, without punctuation."""
    kept = (one for one in heading.lower() if one in " -_" or unicodedata.category(one)[0] in "LN")
    return re.sub(r" ", "-", "".join(kept).strip())


def _inline(page: str) -> Iterator[Token]:
    for token in _PARSER.parse(page):
        yield from token.children or []
