"""What the demo's days came to, brand by brand: spent, limits, how often campaigns stopped and why, overspend."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from rich.markup import escape
from sqlalchemy import Connection

from app.reports.content import content_of_month
from cli.output import console, money
from db.engine import snapshot
from db.repository.catalog import catalog
from db.repository.reading import overview
from domain.holds import in_words
from domain.periods import ONE_DAY, Period, local_day, time_zone, window_of
from runtime import clock

PERIOD_WORDS = {"daily": "a day", "weekly": "a week", "monthly": "a month", "yearly": "a year", "lifetime": "in all"}


class BrandSummary(NamedTuple):
    """What one brand's days came to, in micros; overspend by window, of the brand and of its campaigns."""

    name: str
    currency: str
    time_zone: str
    spent_by_day: dict[str, int]
    limits: Sequence[dict[str, Any]]
    stops: Sequence[dict[str, Any]]
    overspends: Sequence[int]

    def lines(self) -> Iterator[str]:
        """The summary for people, within 80 columns."""
        days = sorted(self.spent_by_day)
        yield f"{self.name}, {days[0]} to {days[-1]} ({self.time_zone})" if days else f"{self.name}, nothing spent"
        yield f"  spent      {money(sum(self.spent_by_day.values()), self.currency)}"
        for limit in self.limits:
            whose = "all campaigns" if limit["campaign"] is None else limit["campaign"]
            amount = money(limit["limit_micros"], self.currency)
            yield f"  limit      {amount} {PERIOD_WORDS[limit['period']]}, {whose}"
        yield f"  stopped    {sum(stop['times'] for stop in self.stops)} times"
        for stop in self.stops:
            yield f"  {stop['times']:>9}× {in_words(stop['holds_after'])}"
        if not self.overspends:
            yield "  overspent  never"
            return
        total, most = money(sum(self.overspends), self.currency), money(max(self.overspends), self.currency)
        windows = "one window" if len(self.overspends) == 1 else f"{len(self.overspends)} windows"
        yield f"  overspent  {total} in {windows} of limits, {most} at most in one"


def tell() -> None:
    """Prints what every brand's days came to so far."""
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
    names = {one["campaign_id"]: one["name"] for content in contents for one in content["campaigns"]}
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
    )


def _months(connection: Connection, brand: dict[str, Any], at: datetime) -> Iterator[dict[str, Any]]:
    """The reports of this month and the one before, as of now: the demo's days may lie in both."""
    this = window_of(Period.MONTHLY, local_day(at, time_zone(brand["time_zone"])))
    for month in (window_of(Period.MONTHLY, this.first_day - ONE_DAY), this):
        yield content_of_month(connection, brand, month, at)
