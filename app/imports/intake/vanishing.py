"""Finds campaigns' days that earlier files of an account set, and that a later complete file of the account lacks."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime

from more_itertools import sliced
from sqlalchemy import Connection

from app.imports.answers import Reading
from app.imports.intake.comparison import Named
from app.imports.intake.lookups import KEYS_A_QUERY, Lookup
from db.repository.imports import days as day_rows
from db.repository.imports.days import SetDay


class Vanishing:
    """The campaign-days that earlier files set, until `keep` removes the ones that the new file has too.

    Days are compared by the campaign that had the external id on that day, not by external id, because a campaign that
    was moved to another brand has no external id now.
    """

    def __init__(self, earlier: Iterable[SetDay]) -> None:
        self._left: dict[tuple[int, date], list[SetDay]] = defaultdict(list)
        for one in earlier:
            self._left[one.campaign_id, one.day].append(one)

    def keep(self, named: Iterable[Named]) -> None:
        """Removes the campaign-days of `named`, which the file has."""
        for one in named:
            self._left.pop((one.account.campaign_id, one.day), None)

    def left(self, reading: Reading, lookup: Lookup) -> tuple[SetDay, ...]:
        """The days that vanished: the ones that earlier files set and that this file lacks.

        Leaves out days of a campaign of which the file has an unreadable row (`lookup` finds the campaign), and days
        that the file has under the campaign's present external id. Call it after `keep` has got all days of the file.
        """
        if not self._left:
            return ()
        unread: dict[str, list[date]] = defaultdict(list)
        for external_id, day in sorted(reading.incomplete):
            unread[external_id].append(day)
        for some in sliced(list(unread), KEYS_A_QUERY):
            lookup.find(some)
            for external_id in some:
                owners = ((lookup.on(external_id, day), day) for day in unread[external_id])
                for owner, day in owners:
                    if owner is not None:
                        self._left.pop((owner.campaign_id, day), None)
        return tuple(one for days in self._left.values() for one in days if not _is_in(reading, one))


def vanishing(
    connection: Connection, reading: Reading, as_of: datetime, sources: tuple[str, ...], account: str | None
) -> Vanishing:
    """The campaign-days that earlier files of the account set within this file's range of days.

    Only days whose total is not 0 and older than `as_of`. None of them unless the file is complete, has totals, is no
    delta, and `account` is known. `sources`: the sources of the file's totals.
    """
    if not reading.is_complete or reading.is_delta or account is None or reading.first_day is None:
        return Vanishing(())
    assert reading.last_day is not None  # noqa: S101 - there is a first
    days = reading.stated_days or (reading.first_day, reading.last_day)
    return Vanishing(day_rows.set_earlier(connection, account, sources, days, as_of))


def _is_in(reading: Reading, one: SetDay) -> bool:
    """Whether the file has the day under the campaign's present external id, even if another campaign had it then."""
    external_id = one.external_id or ""
    return one.day in reading.totals.campaigns.get(external_id, {}) or (external_id, one.day) in reading.incomplete
