"""Prints, at the end of the demo, a summary of each brand: spend, limits, pauses by their reasons, overspend."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from rich.markup import escape
from sqlalchemy import Connection

from app.reports.content import content_of_month
from cli.output import console, money
from db.engine import snapshot
from db.repository.catalog import catalog
from db.repository.platforms.confirmations import ConfirmedPauses, confirmed_pauses
from db.repository.reading import overview
from domain.holds import in_words
from domain.periods import ONE_DAY, Period, local_day, window_of
from domain.zones import time_zone
from runtime import clock
from runtime.formats import duration

PERIOD_WORDS = {"daily": "a day", "weekly": "a week", "monthly": "a month", "yearly": "a year", "lifetime": "in all"}


class BrandSummary(NamedTuple):
    """The figures of one brand; amounts are in micros.

    `spent_by_day`: the spend of days of last month and this month, by day; days without spend are left out. `limits`:
    the present budgets. `stops`: for each set of holds, how often it has ever paused a campaign. `overspends`: the
    overspend of each budget period in these two months that had one. `confirmed`: number, longest delay and spend of
    all pauses that the ad platform has ever confirmed.
    """

    name: str
    currency: str
    time_zone: str
    spent_by_day: dict[str, int]
    limits: Sequence[dict[str, Any]]
    stops: Sequence[dict[str, Any]]
    overspends: Sequence[int]
    confirmed: ConfirmedPauses

    def lines(self) -> Iterator[str]:
        """Yields the summary as lines of text."""
        days = sorted(self.spent_by_day)
        yield f"{self.name}, {days[0]} to {days[-1]} ({self.time_zone})" if days else f"{self.name}, nothing spent"
        yield f"  spent      {money(sum(self.spent_by_day.values()), self.currency)}"
        for limit in self.limits:
            whose = "all campaigns" if limit["campaign"] is None else limit["campaign"]
            amount = money(limit["limit_micros"], self.currency)
            yield f"  limit      {amount} {PERIOD_WORDS[limit['period']]}, {whose}"
        yield f"  paused     {sum(stop['times'] for stop in self.stops)} times"
        for stop in self.stops:
            yield f"  {stop['times']:>9}× {in_words(stop['holds_after'])}"
        if self.confirmed.pauses:
            served, longest = (
                money(self.confirmed.delayed_micros, self.currency),
                duration(self.confirmed.longest_seconds),
            )
            yield f"  confirmed  {self.confirmed.pauses} pauses by the ad platform, each within {longest}"
            yield f"  served     {served} there between these decisions and their confirmations"
        if not self.overspends:
            yield "  overspent  never"
            return
        total, most = money(sum(self.overspends), self.currency), money(max(self.overspends), self.currency)
        windows = "one budget period" if len(self.overspends) == 1 else f"{len(self.overspends)} budget periods"
        yield f"  overspent  {total} in {windows}, at most {most} in one"


def print_summaries() -> None:
    """Prints a summary of every brand in the database, up to now."""
    at = clock.now()
    with snapshot() as connection:
        summaries = [_summary(connection, row["id"], at) for row in overview.brands(connection, at)]
    for summary in summaries:
        first, *others = summary.lines()
        console.print(f"\n[bold]{escape(first)}[/bold]", highlight=False)
        for line in others:
            console.print(escape(line), highlight=False)


def _summary(connection: Connection, brand_id: int, at: datetime) -> BrandSummary:
    brand = catalog.brand(connection, brand_id)
    contents = list(_months(connection, brand, at))
    names = {row["campaign_id"]: row["name"] for content in contents for row in content["campaigns"]}
    windows = {
        (limit["campaign_id"], limit["period"], limit["first_day"]): limit["overspend_micros"]
        for content in contents
        for limit in content["limits"]
    }
    return BrandSummary(
        name=brand["name"],
        currency=brand["currency"],
        time_zone=brand["time_zone"],
        spent_by_day={day: micros for content in contents for day, micros in content["by_day"].items() if micros},
        limits=[
            {**row, "campaign": names.get(row["campaign_id"])}
            for row in overview.budgets(connection, at, brand_id=brand_id)
        ],
        stops=overview.stops(connection, brand_id),
        overspends=[micros for micros in windows.values() if micros],
        confirmed=confirmed_pauses(connection, brand_id),
    )


def _months(connection: Connection, brand: dict[str, Any], at: datetime) -> Iterator[dict[str, Any]]:
    """Yields the report contents of last month and this month up to now, because the demo may span both."""
    this = window_of(Period.MONTHLY, local_day(at, time_zone(brand["time_zone"])))
    for month in (window_of(Period.MONTHLY, this.first_day - ONE_DAY), this):
        yield content_of_month(connection, brand, month, at)
