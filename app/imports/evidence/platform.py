"""The platform that a file is of: as chosen by a person, by a column that names it, or by marks of one platform."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from app.imports.answers import Choice, Question, ReadOptions, Refused
from app.imports.cells import NOTHING
from app.imports.evidence.gathered import Evidence
from app.imports.headings.layout import Layout
from app.imports.headings.platform_marks import platform_of
from app.imports.tables import Row
from domain import platforms


@dataclass(frozen=True)
class Filter:
    """The rows to read. `currency`, `platform`: only rows of these; None: all.

    `platforms`: by the text of a cell, the platform that it names.
    """

    currency: str | None = None
    platform: str | None = None
    platforms: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Known:
    """The platform by its canonical name (None: nothing says it), and why.

    `has_marks`: headings or lines of the file are this platform's own. `scores`: the sum of marks by platform.
    `in_column`: the platforms that a column names.
    """

    name: str | None
    why: str = ""
    warnings: tuple[str, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    in_column: frozenset[str] = frozenset()
    has_marks: bool = False

    def choices(self) -> list[Choice]:
        """The platforms that the file can be of, the likeliest first; all of them if no marks identify one."""
        likely = sorted(
            (name for name, score in self.scores.items() if score >= 0.5), key=lambda name: -self.scores[name]
        )
        return [Choice(platforms.label(name), {"platform": name}) for name in (likely or platforms.PLATFORMS)]


def resolve(
    layout: Layout,
    options: ReadOptions,
    file_name: str,
    evidence: Evidence | None = None,
    around: Iterable[Row] | None = None,
) -> Known:
    """The platform, by the options, the file's content, or else the file's name; its name is None if these do not tell.

    `evidence` None: the rows were not read yet, so no column is considered. `around`: the rows outside of the table;
    None: those above the headings. Raises Question if a column names several platforms and none was chosen,
    Refused if no row is of the chosen one.
    """
    found, scores = platform_of(layout.headings, layout.above if around is None else around)
    in_column = _in_column(evidence)
    if options.platform is not None:
        name = platforms.canonical_or_lower(options.platform)
        if in_column and name not in in_column:
            raise Refused(f"no row is of {platforms.label(name)}: they are of {_labels(in_column)}")
        warnings: tuple[str, ...] = ()
        if found is not None and found.name != name and scores[found.name] >= 2 and name in platforms.PLATFORMS:
            looks = f"it looks like a file of {platforms.label(found.name)} ({found.why})"
            warnings = (f"{looks}, not of {platforms.label(name)}",)
        has_marks = found is not None and found.name == name
        return Known(name, "as chosen", warnings, scores, in_column, has_marks)
    if len(in_column) > 1:
        choices = [Choice(f"rows of {platforms.label(name)} alone", {"platform": name}) for name in sorted(in_column)]
        raise Question("rows of platforms", choices, f"its rows are of {_labels(in_column)}")
    if in_column:
        return Known(next(iter(in_column)), "a column names it", scores=scores, in_column=in_column)
    if found is None:
        of_headings = {one.platform for one in layout.headings if one.platform}
        if len(of_headings) == 1:
            name = next(iter(of_headings))
            return Known(name, f"heading {next(one.text for one in layout.headings if one.platform)}", scores=scores)
        named = platforms_named(file_name)
        if len(named) == 1:
            return Known(next(iter(named)), f"the file's name, {file_name}", scores=scores)
        return Known(None, scores=scores)
    return Known(found.name, found.why, scores=scores, has_marks=True)


def platforms_named(text: str) -> set[str]:
    """The platforms that a file's name names by one word, or two words in a row, of at least four letters together."""
    words = [word for word in re.split(r"[\W_\d]+", text) if word]
    found = {
        platforms.canonical("".join(words[start:end]))
        for start in range(len(words))
        for end in (start + 1, start + 2)
        if len("".join(words[start:end])) >= 4
    }
    return {name for name in found if name}


def _labels(names: Iterable[str]) -> str:
    return ", ".join(map(platforms.label, sorted(names)))


def _in_column(evidence: Evidence | None) -> frozenset[str]:
    if evidence is None:
        return frozenset()
    cells = [cell for cell in evidence.platforms if cell not in NOTHING]
    return frozenset(map(platforms.canonical_or_lower, cells)) if any(map(platforms.canonical, cells)) else frozenset()


def filter_of(evidence: Evidence, known: Known, currency: str | None) -> Filter:
    """The currency and the platform of the rows to read; no platform unless a column names several.

    A `currency` of None: rows of every currency.
    """
    if len(known.in_column) < 2:
        return Filter(currency)
    return Filter(currency, known.name, {cell: platforms.canonical_or_lower(cell) for cell in evidence.platforms})
