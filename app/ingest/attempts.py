"""One try of a transaction that counts spend: the brands that it writes, and the brands that it leaves to others."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, NamedTuple

from sqlalchemy import Connection

from db.local_settings import has_citus
from db.repository.ledger.counting import LockTimeouts
from db.repository.spread.shards import by_server, shards_of
from domain.inputs.columns import EventColumns

UNKNOWN_BRAND: Final = 0
"""Stands for the brand of inputs whose campaign is not found while one of several servers does not answer."""


class UncountedInput(NamedTuple):
    """A valid input that was not counted because its brand was left out.

    With UNKNOWN_BRAND it may be invalid, since its campaign was not found.
    """

    brand_id: int
    payload: object


@dataclass
class Attempt:
    """One try of a transaction: the brands it leaves out, its lock timeouts, and the brands and days it writes.

    `excluded`: the brands that the caller leaves out. `lock_timeouts` None: the connection's lock timeout. `later`: the
    brands that it leaves out because later transactions write them, a group for each: brands on other servers or shards
    of Citus. `servers_away`: servers that did not answer before; it leaves out their brands, `brands_away`. `server`:
    the id of the server that it writes; None without Citus, or if no server answers.
    """

    excluded: frozenset[int] = frozenset()
    lock_timeouts: LockTimeouts | None = None
    brand_ids: set[int] = field(default_factory=set)
    days: set[date] = field(default_factory=set)
    later: list[frozenset[int]] = field(default_factory=list)
    servers_away: Collection[int] = ()
    brands_away: frozenset[int] = frozenset()
    server: int | None = None

    @property
    def left_out(self) -> frozenset[int]:
        """All brands whose inputs the transaction leaves uncounted."""
        return self.excluded.union(self.brands_away, *self.later)

    @property
    def finds_everywhere(self) -> bool:
        """Whether to look for campaigns on all servers; false after one of them did not answer."""
        return UNKNOWN_BRAND not in self.excluded

    def choose_server(self, connection: Connection, brand_ids: Iterable[int]) -> None:
        """Leaves out the brands on all servers of Citus but the first that is not in `servers_away`.

        A transaction writes one server only.
        """
        if has_citus(connection):
            self._choose(by_server(connection, set(brand_ids) - self.excluded))

    def choose_shard(self, connection: Connection, brand_ids: Iterable[int]) -> None:
        """Leaves out the brands on all shards of Citus but the first whose server is not in `servers_away`."""
        if has_citus(connection):
            shards = shards_of(connection, set(brand_ids) - self.excluded)
            self._choose([(shard.server, brands) for shard, brands in shards])

    def _choose(self, groups: Sequence[tuple[int, frozenset[int]]]) -> None:
        """Leaves out the brands of all groups (server, brands) but the first whose server is not in `servers_away`."""
        away = [brands for server, brands in groups if server in self.servers_away]
        present = [(server, brands) for server, brands in groups if server not in self.servers_away]
        self.brands_away = frozenset[int]().union(*away)
        self.later = [brands for _, brands in present[1:]]
        self.server = present[0][0] if present else None

    def servers(self) -> set[int]:
        """The id of the server of Citus that it writes, in a set; empty without Citus."""
        return set() if self.server is None else {self.server}

    def without_left_out(self, events: EventColumns) -> tuple[EventColumns, tuple[UncountedInput, ...]]:
        """Returns the events of the brands that are not left out, and the inputs of brands that are left out.

        Notes the brands and days of the returned events, which will be written.
        """
        uncounted: tuple[UncountedInput, ...] = ()
        left_out = self.left_out
        if left_out and not left_out.isdisjoint(events.brand_ids):
            places = [place for place, brand_id in enumerate(events.brand_ids) if brand_id in left_out]
            uncounted = tuple(UncountedInput(events.brand_ids[place], events.payloads[place]) for place in places)
            events = events.without(*places)
        self.writes(events.brand_ids, events.days)
        return events, uncounted

    def writes(self, brand_ids: Iterable[int], days: Iterable[date]) -> None:
        """Notes the brands and days whose counters the transaction will write."""
        self.brand_ids.update(brand_ids)
        self.days.update(days)
