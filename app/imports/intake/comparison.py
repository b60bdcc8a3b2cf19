"""Compares the totals of a file with the known ones: counts them by kind of change, with samples to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, NamedTuple

from app.imports.answers import Refused
from db.repository.imports.days import KnownDay
from db.repository.imports.history import Earlier
from domain.inputs.campaign_names import KnownCampaign
from domain.money import format_units

SAMPLES: Final = 5
LARGE_FALL: Final = 10
"""A total that falls by more than 1/LARGE_FALL of itself needs consent, because campaigns may serve again."""


class Named(NamedTuple):
    """A total of the file, and the campaign that had the external id on the day."""

    external_id: str
    day: date
    micros: int
    account: KnownCampaign


class Change(NamedTuple):
    """A campaign's day with its figure before and after, in micros."""

    external_id: str
    day: date
    before_micros: int
    after_micros: int


@dataclass
class Sample:
    """The number of changes of one kind, their sums in micros before and after, and the first SAMPLES of them."""

    count: int = 0
    before_micros: int = 0
    after_micros: int = 0
    first: list[Change] = field(default_factory=list)

    def add(self, change: Change) -> None:
        """Counts one more change, with its micros before and after; keeps the first SAMPLES changes."""
        self.count += 1
        self.before_micros += change.before_micros
        self.after_micros += change.after_micros
        if len(self.first) < SAMPLES:
            self.first.append(change)


@dataclass
class Tally:
    """A file's totals by kind of change.

    `new`: totals of campaign-days for which the platform's sources have no figure. `changed`: totals that differ from
    the sources' figure; `fallen`: the ones among `changed` that fall by more than a tenth. `elsewhere`: the ones among
    `new` whose days have spend from live events or other sources already (`before_micros`). `unknown`: totals of
    unknown campaigns that the import does not create. `same`: the number of totals that equal the known figure;
    `older`: the number for which a figure of a later moment is known. Neither changes anything.
    """

    new: Sample = field(default_factory=Sample)
    changed: Sample = field(default_factory=Sample)
    fallen: Sample = field(default_factory=Sample)
    elsewhere: Sample = field(default_factory=Sample)
    unknown: Sample = field(default_factory=Sample)
    same: int = 0
    older: int = 0

    @property
    def changes(self) -> int:
        """The number of the file's totals that the import would store; zeros for vanished days are not among them."""
        return self.new.count + self.changed.count

    def facts(self) -> tuple[object, ...]:
        """The figures that a person agrees to: of each kind, the number of changes and their sums before and after."""
        kinds = (self.new, self.changed, self.fallen, self.elsewhere, self.unknown)
        return tuple((one.count, one.before_micros, one.after_micros) for one in kinds)


@dataclass
class Compared:
    """Counts the totals of a file, true as of a moment, by how they differ from the known ones.

    `is_delta`: the file's amounts are added to what is known, so none counts as `elsewhere`. `contradicting`: totals
    that differ from a figure known as of the same moment.
    """

    as_of: datetime
    is_delta: bool = False
    tally: Tally = field(default_factory=Tally)
    contradicting: Sample = field(default_factory=Sample)

    def add(self, named: Sequence[Named], known: Mapping[tuple[int, date], KnownDay]) -> None:
        """Counts totals of known campaigns. `known` must have each campaign id and day."""
        for one in named:
            self._add(one, known[one.account.campaign_id, one.day])

    def add_missing(self, external_id: str, totals: Mapping[date, int], *, is_made: bool) -> None:
        """Counts the totals of a campaign that is not known, as new if the import creates it, else as unknown."""
        kind = self.tally.new if is_made else self.tally.unknown
        for day, micros in totals.items():
            kind.add(Change(external_id, day, 0, micros))

    def _add(self, one: Named, known: KnownDay) -> None:
        change = Change(one.external_id, one.day, known.own_micros or 0, one.micros)
        if known.own_micros is None:
            self.tally.new.add(change)
            if known.spent_micros and not self.is_delta:
                self.tally.elsewhere.add(change._replace(before_micros=known.spent_micros))
        elif known.true_as_of is not None and known.true_as_of > self.as_of:
            self.tally.older += 1
        elif known.own_micros == one.micros:
            self.tally.same += 1
        elif known.true_as_of == self.as_of:
            self.contradicting.add(change)
        else:
            self.tally.changed.add(change)
            if (change.before_micros - change.after_micros) * LARGE_FALL > abs(change.before_micros):
                self.tally.fallen.add(change)

    def refuse_contradictions(self, earlier: Sequence[Earlier]) -> None:
        """Raises Refused if the file has other figures than the known ones of the same moment.

        `earlier`: imports of the same content, newest first; the error proposes to undo one of them.
        """
        if not self.contradicting.count:
            return
        one = self.contradicting.first[0]
        undo = next((f"undo import {one.id} first, or " for one in earlier if one.status != "undone"), "")
        found, known = format_units(one.after_micros), format_units(one.before_micros)
        raise Refused(
            f"{self.contradicting.count} totals differ from those known of the same moment, {self.as_of.isoformat()}: "
            f"campaign {one.external_id} on {one.day} has {found}, and {known} is known",
            f"{undo}say with --as-of when these figures were true",
        )
