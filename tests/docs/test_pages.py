"""Rules for every page: links lead somewhere, README stays short, the changelog names this version."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from app.proof.verification import CHECKS
from docs.reference.source import PACKAGES
from tests.cli.shell import REPOSITORY
from tests.docs.markdown import anchors, blocks, code_spans, links, pages, slug
from tests.releases import present_version, releases

README_BYTES = 8 * 1024
KEPT_IN_GIT = (*PACKAGES, "alembic", "benchmarks", "docs", "examples", "ops", "tests")
PICTURE_BYTES = 300 * 1024
PATH = rf"({'|'.join([*PACKAGES, 'alembic', 'benchmarks', 'docs', 'examples', 'tests'])})/[\w./-]*"


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_relative_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    broken = []
    for address in links(path.read_text()):
        where = urlsplit(address)
        if where.scheme:
            continue
        target = path if not where.path else (path.parent / unquote(where.path)).resolve()
        if not target.exists() or (where.fragment and where.fragment not in anchors(target.read_text())):
            broken.append(address)
    assert broken == []


def test_a_link_to_a_missing_heading_is_noticed() -> None:
    page = "# One two\n\n## `code` & more!\n\n## One two\n\n[here](#one-two-1)\n"
    assert anchors(page) == {"one-two", "code--more", "one-two-1"}
    assert links(page) == ["#one-two-1"]
    assert slug("What holds, and when?") == "what-holds-and-when"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [(page.parent / urlsplit(address).path).resolve() for address in links(page.read_text())]
        waiting += [target for target in targets if target.suffix == ".md" and target.exists()]
    assert [str(page.relative_to(REPOSITORY)) for page in pages() if page not in reached] == []


def test_page_of_verify_describes_each_check_in_order() -> None:
    section = (REPOSITORY / "docs/operations/verify-and-repair.md").read_text().split("\n## ")[1]
    described = re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE)
    assert described[1:] == [name for name, _, _ in CHECKS]


def table_of_changes() -> list[tuple[str, str]]:
    """The rows of the table in CONTRIBUTING.md: a change, and the files to change; its headings too."""
    page = (REPOSITORY / "CONTRIBUTING.md").read_text()
    section = page.split("\n## Where to change things\n")[1].split("\n## ")[0]
    return re.findall(r"^\| ([^|]+?) \| (.+) \|$", section, re.MULTILINE)


def test_table_of_changes_names_files_that_exist_and_each_change_once() -> None:
    page = (REPOSITORY / "CONTRIBUTING.md").read_text()
    names = set(re.findall(r"`([\w./-]+\.(?:py|html|js|css|yml|md|json))`", page))
    files = [path.relative_to(REPOSITORY) for folder in KEPT_IN_GIT for path in (REPOSITORY / folder).rglob("*.*")]
    tails = {"/".join(path.parts[start:]) for path in files for start in range(len(path.parts))}
    tails |= {path.name for path in REPOSITORY.glob("*.*")}
    assert sorted(names - tails) == []
    changes = [change for change, files in table_of_changes() if files != "change"]
    assert sorted(change for change in set(changes) if changes.count(change) > 1) == []


def test_table_of_changes_names_constants_that_a_file_of_their_row_has() -> None:
    files = [path for folder in KEPT_IN_GIT for path in (REPOSITORY / folder).rglob("*.py")]
    unknown = {}
    for change, cell in table_of_changes():
        places = re.findall(r"`([\w./-]+\.py)`", cell)
        named = [path for path in files if any(f"/{path}".endswith(f"/{place}") for place in places)]
        words = {word for path in named for word in re.findall(r"\b[A-Z][A-Z_]+\b", path.read_text())}
        lost = set(re.findall(r"`([A-Z][A-Z_]+)`", cell)) - words
        if lost:
            unknown[change] = lost
    assert unknown == {}


def test_readme_has_at_most_8_kb() -> None:
    assert len((REPOSITORY / "README.md").read_bytes()) <= README_BYTES


def test_pictures_are_small() -> None:
    sizes = {picture.name: picture.stat().st_size for picture in (REPOSITORY / "docs/pictures").glob("*.png")}
    assert sizes
    assert {name: size for name, size in sizes.items() if size > PICTURE_BYTES} == {}


def test_changelog_names_this_version_above_all_others() -> None:
    version = present_version()
    headings = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", version]
    assert headings[1:] == sorted(headings[1:], reverse=True)


def test_changelog_has_every_version_of_the_history() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert [release.version for release in releases() if release.version not in headings] == []


def test_every_decision_is_in_the_index_with_its_context_alternatives_and_cost() -> None:
    folder = REPOSITORY / "docs/adr"
    records = sorted(folder.glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    indexed = [address for address in links((folder / "README.md").read_text()) if re.match(r"\d{4}-", address)]
    assert indexed == [path.name for path in records]
    for path in records:
        headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Alternatives", "Cost"], path.name


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_path_that_a_page_names_exists(path: Path) -> None:
    named = {span for span in code_spans(path.read_text()) if re.fullmatch(PATH, span)}
    assert sorted(span for span in named if not (REPOSITORY / span).exists()) == []


def test_every_block_of_code_says_its_language() -> None:
    unnamed = [f"{path.name}:{block.line}" for path in pages() for block in blocks(path.read_text()) if not block.info]
    assert unnamed == []
