"""Compares a reading with known campaigns and totals: the changes of an import, and those that need consent."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from app.imports.answers import Reading, Refused, Warned
from app.imports.intake.brand_checks import check_brands
from app.imports.intake.comparison import Compared, Tally
from app.imports.intake.lookups import Lookup, campaigns_of, known_of, named_days
from app.imports.intake.vanishing import Vanishing, vanishing
from app.imports.zones import zone_names
from db.engine import snapshot
from db.repository.catalog import catalog
from db.repository.imports import brands as brand_rows
from db.repository.imports import days as day_rows
from db.repository.imports import history
from db.repository.imports.brands import BrandFacts
from db.repository.imports.days import SetDay
from db.repository.imports.history import Earlier
from domain import platforms
from domain.edits.fields import checked_currency, checked_name
from domain.errors import InvalidValue
from domain.inputs.campaign_names import is_owned_now
from domain.zones import time_zone
from runtime import clock

MAX_PLATFORM: Final = 150


@dataclass(frozen=True)
class Target:
    """The brand and account that a person names for a file.

    `brand`: the name of the brand in which unknown campaigns are created; None: they are not created. `time_zone` and
    `currency`: used if the brand is created; None: those of the file. `account`: the platform's id of the account;
    None: the one that the file names.
    """

    brand: str | None = None
    time_zone: str | None = None
    currency: str | None = None
    account: str | None = None


@dataclass(frozen=True)
class Plan:
    """The changes that an import would make. `tally` counts the file's totals by kind of change.

    `sources`: the names under which this platform's totals are stored, by spelling; the first is used for days that no
    source of them has reported. `account`: the account in which campaigns are looked up; None: any. `brands`: the
    brands whose campaigns the file has. `missing`: names of unknown campaigns, by external id. `new_brand`: the brand
    in which they would be created, its id None if it does not exist yet; None: none would be. `vanished`: campaigns'
    days that earlier files of the account set and that this complete file lacks. `earlier`: imports of the same
    content, newest first. `sum_micros`: the file's sum by currency, "" if that is unknown.
    """

    reading: Reading
    file_name: str
    target: Target
    sources: tuple[str, ...]
    account: str | None
    as_of: datetime
    as_of_source: str
    brands: tuple[BrandFacts, ...]
    new_brand: BrandFacts | None
    known_campaigns: int
    missing: Mapping[str, str]
    tally: Tally
    vanished: tuple[SetDay, ...]
    earlier: tuple[Earlier, ...]
    warned: tuple[Warned, ...] = ()
    sum_micros: Mapping[str, int] = field(default_factory=dict)

    @property
    def platform(self) -> str:
        """The canonical name of the platform, or its lower-case name if it is unknown."""
        return self.reading.platform

    @property
    def source(self) -> str:
        """The source of totals for days that no source of this platform has reported."""
        return self.sources[0]

    @property
    def changes_nothing(self) -> bool:
        """Whether the import would store nothing: no new or changed total, and no 0 for a day that vanished.

        Totals of unknown campaigns that are not created are left out, so they do not count.
        """
        return not (self.tally.changes or self.vanished)

    @property
    def is_kept(self) -> bool:
        """Whether the history gets a row for this import.

        It does if the import changes something, or if it leaves out rows or totals of unknown campaigns and the file
        was never imported before.
        """
        leaves_out = bool(self.reading.bad_rows) or self.tally.unknown.count > 0
        return not self.changes_nothing or (leaves_out and not self.earlier)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The sentences to show before anything is written."""
        return tuple(one.sentence for one in self.warned)

    @property
    def doubts(self) -> tuple[Warned, ...]:
        """The warnings by which the file may mean other figures or days, so that a person must accept them."""
        return tuple(one for one in self.warned if one.is_doubt)

    @property
    def needs_consent(self) -> bool:
        """Whether totals fall by more than a tenth, days vanish, or days have spend from elsewhere already."""
        return bool(self.tally.fallen.count or self.tally.elsewhere.count or self.vanished)

    @property
    def token(self) -> str:
        """A hash (24 hex digits) of the file, its options and its changes; sent back to consent to this import."""
        told = (self.reading.sha256, self.reading.options, self.target, self.tally.facts(), self.vanished)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:24]


def plan(reading: Reading, file_name: str, target: Target, modified_at: datetime) -> Plan:
    """The plan to import a reading, compared with the known campaigns and totals; writes nothing.

    Raises Refused if the file's currency or time zone is not its brand's, if its account is not the one in `target`, or
    if it contradicts figures known as of the same moment. Raises InvalidValue if several brands have the name in
    `target`, or if a new brand of that name cannot be created.
    """
    with snapshot() as connection:
        return plan_in(connection, reading, file_name, target, modified_at)


def plan_in(connection: Connection, reading: Reading, file_name: str, target: Target, modified_at: datetime) -> Plan:
    """The plan to import a reading, compared in the transaction of `connection`; writes nothing.

    Raises Refused if the file's currency or time zone is not its brand's, if its account is not the one in `target`, or
    if it contradicts figures known as of the same moment. Raises InvalidValue if several brands have the name in
    `target`, or if a new brand of that name cannot be created.
    """
    earlier = tuple(history.of_content(connection, reading.sha256))
    as_of, as_of_source = _as_of(reading, modified_at, earlier)
    account = _account(connection, reading, target)
    sources = _sources(connection, reading, earlier)
    compared = Compared(as_of, reading.is_delta)
    lookup = Lookup(connection, reading.platform, account)
    missed = vanishing(connection, reading, as_of, sources, target.account or reading.account)
    found = _find(reading, target, lookup, sources, compared, missed)
    brands = tuple(brand_rows.brands(connection, found.brand_ids))
    new_brand = _new_brand(connection, reading, target) if found.missing and target.brand is not None else None
    into = brands if new_brand is None else (*brands, new_brand)
    zones = check_brands(reading, into)
    compared.refuse_contradictions(earlier)
    return Plan(
        reading=reading,
        file_name=file_name,
        target=target,
        sources=sources,
        account=account,
        as_of=as_of,
        as_of_source=as_of_source,
        brands=brands,
        new_brand=new_brand,
        known_campaigns=found.known_campaigns,
        missing=found.missing,
        tally=compared.tally,
        vanished=missed.left(reading, lookup),
        earlier=earlier,
        warned=(*reading.warned, *zones),
        sum_micros={_currency(reading, into): reading.totals.sum_micros},
    )


@dataclass
class _Found:
    """The campaigns of a file: the number of known ones, the names of unknown ones by external id, and brand ids."""

    known_campaigns: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    brand_ids: set[int] = field(default_factory=set)


def _find(
    reading: Reading, target: Target, lookup: Lookup, sources: tuple[str, ...], compared: Compared, missed: Vanishing
) -> _Found:
    """Looks up the file's campaigns, some at a time, and returns them.

    Counts their totals in `compared`, against the present figures, and takes the file's days out of `missed`.
    """
    found = _Found()
    for some in campaigns_of(reading):
        matches = lookup.find(some)
        for external_id in some:
            if is_owned_now(matches.get(lookup.key(external_id))):
                found.known_campaigns += 1
            else:
                found.missing[external_id] = reading.names.get(external_id, external_id)
                totals = reading.totals.campaigns[external_id]
                compared.add_missing(external_id, totals, is_made=target.brand is not None)
        named = list(named_days(reading, some, lookup))
        missed.keep(named)
        found.brand_ids.update(one.account.brand_id for one in named)
        compared.add(named, known_of(lookup.connection, sources, named))
    return found


def _sources(connection: Connection, reading: Reading, earlier: tuple[Earlier, ...]) -> tuple[str, ...]:
    """The sources of a file's totals: its platform's canonical name, then other stored spellings of it.

    Earlier versions of Spendgate stored platforms as typed, one source for each spelling; those totals keep their
    source. A delta has one source, made from the file's hash.
    """
    if reading.is_delta:
        end = f" delta {reading.sha256[:20]}"
        before = (one.source for one in earlier if one.source.endswith(end))
        return (next(before, f"{reading.platform[:MAX_PLATFORM]}{end}"),)
    spelt = [one for one in day_rows.sources(connection) if platforms.canonical_or_lower(one) == reading.platform]
    return tuple(dict.fromkeys((reading.platform, *spelt)))


def _as_of(reading: Reading, modified_at: datetime, earlier: tuple[Earlier, ...]) -> tuple[datetime, str]:
    """The moment when the figures were true, and its source in words; never later than now.

    If it is the file's modification time, never later than the `as_of` of an earlier import of the same content.
    """
    moment, why = reading.as_of, reading.as_of_source
    if reading.options.as_of is None and moment == modified_at and earlier:
        first = min(earlier, key=lambda one: one.as_of)
        if first.as_of < moment:
            moment, why = first.as_of, f"import {first.id} of the same file"
    now = clock.now()
    return (moment, why) if moment <= now else (now, f"{why}, which is ahead of our clock")


def _account(connection: Connection, reading: Reading, target: Target) -> str | None:
    if target.account is not None:
        if reading.account not in {None, target.account}:
            raise Refused(f"is of account {reading.account}, not of {target.account}")
        return target.account
    named = reading.account
    return named if named and brand_rows.has_account(connection, reading.platform, named) else None


def _new_brand(connection: Connection, reading: Reading, target: Target) -> BrandFacts:
    """The brand in which campaigns are to be created: the one with the target's name, else a new one (id None).

    Creates nothing. Raises InvalidValue if several brands have the name, if the name, zone or currency of a new brand
    is missing or not valid, or if its currency is not the file's.
    """
    name = target.brand or ""
    brand_id = catalog.brand_named(connection, name)
    if brand_id is not None:
        return brand_rows.brands(connection, [brand_id])[0]
    zone = target.time_zone or zone_names(reading.time_zone)
    currency = target.currency or reading.currency
    told = f"say which one the new brand {name!r} has: its first spend fixes it"
    if zone is None:
        raise InvalidValue("--time-zone", told)
    if currency is None:
        raise InvalidValue("--currency", told)
    if reading.currency not in {None, currency}:
        raise InvalidValue("--currency", f"the file is in {reading.currency}, not {currency}")
    return BrandFacts(None, checked_name(name), time_zone(zone).key, checked_currency(currency))


def _currency(reading: Reading, brands: tuple[BrandFacts, ...]) -> str:
    """The currency of the file's sum: its own, else the one of its brands; empty if they have several or none."""
    found = {brand.currency for brand in brands}
    return reading.currency or (next(iter(found)) if len(found) == 1 else "")
