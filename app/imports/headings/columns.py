"""The columns of a reading: which of a table's headings is campaign, day, spend, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.imports.answers import Choice, Column, Question, ReadOptions, Refused
from app.imports.headings.heading_reader import Heading
from app.imports.headings.layout import Layout, missing
from domain import platforms

BREAKDOWNS: Final = {
    "google_ads": "add the segment Day (Segment → Time → Day), or the column Day to the report",
    "meta_ads": "choose Breakdown → By time → Day and export again",
    "microsoft_ads": "choose Show (unit of time) → Day and export again",
    "tiktok_ads": "add the dimension By Day (stat_time_day) and export again",
    "linkedin_ads": "choose Time breakdown → Daily in the export and export again",
    "amazon_ads": "choose Time unit → Daily and export again",
    "amazon_dsp": "choose the dimension or time unit Daily and export again",
    "pinterest_ads": "choose Granularity → Day and export again",
    "snapchat_ads": "choose Granularity → Day and export again",
    "reddit_ads": "choose Break down by → Day (Date) and export again",
    "x_ads": "choose Time breakdown → By day in the export and export again",
    "apple_search_ads": "choose Granularity → Daily and export again",
    "dv360": "add the dimension Date (Day) to the report and run it again",
    "cm360": "add the dimension Date to the report and run it again",
    "the_trade_desk": "add the dimension Date to the report and run it again",
    "criteo": "choose the dimension Day and export again",
    "taboola": "choose By Day (campaign, day breakdown) and export again",
    "outbrain": "choose Breakdown → Daily and export again",
    "appsflyer": "group by Date and export again",
    "yahoo_japan": "add 日 (Day) to the report and export again",
}
"""By platform, the advice how to export a row for each day, in the platform's own words."""


def day_fix(platform: str | None) -> str:
    """The advice to export this platform's report by day; general advice for None or a platform without its own."""
    return BREAKDOWNS.get(platform or "", "export it by day: each row may cover one day only")


STANDS_IN: Final = 3
"""Rank from which a heading is another thing's id, such as a line item's; ranks are positions in `CAMPAIGN`."""


@dataclass(frozen=True)
class Columns:
    """The columns that a reading uses, by their headings."""

    campaign: Heading
    day: Heading
    spend: Heading
    name: Heading | None = None
    currency: Heading | None = None
    account: Heading | None = None
    hour: Heading | None = None
    end: Heading | None = None
    platform: Heading | None = None
    names_are_ids: bool = False
    """Whether names of campaigns stand for their ids, because a person chose that (`name_as_id`)."""

    end_counts: bool = False
    """Whether a row is refused if its end is another day than its day.

    True if the day's heading names a beginning, or if the end's heading names the end of a report or period.
    """

    def used(self) -> tuple[Column, ...]:
        """The used columns with the reason for each."""
        named = [
            ("campaign", self.campaign), ("name", self.name), ("day", self.day), ("end", self.end), ("hour", self.hour),
            ("spend", self.spend), ("currency", self.currency), ("account", self.account), ("platform", self.platform),
        ]  # fmt: skip
        return tuple(Column(one.text, one.place, meaning, self._why(meaning, one)) for meaning, one in named if one)

    def _why(self, meaning: str, one: Heading) -> str:
        if one.rank == -1:
            return "as chosen"
        if meaning == "campaign" and self.names_are_ids:
            return "names stand for ids, as chosen"
        if one.meaning == "ad":
            return "ads stand for campaigns: the file has no campaign id"
        return "its heading"


def columns_of(layout: Layout, options: ReadOptions, platform: str | None) -> Columns:
    """Chooses the columns. `platform`: the file's, None if unknown.

    Raises Refused if a needed column is missing, rows are of weeks or longer, or two columns of spend have one name.
    Raises Question if several headings can be meant, or if the file has names or ids of ads or line items in place of
    campaign ids.
    """
    day = _day(layout, platform)
    spend = _spend(layout, options, platform)
    name = next(iter(layout.of("name")), None)
    campaign, names_are_ids = _campaign(layout, options, platform, name)
    end = next(iter(layout.of("end")), None)
    strong = end is not None and any(
        word in end.text.lower() for word in ("report", "stop", "bericht", "rapport", "period")
    )
    return Columns(
        campaign=campaign,
        day=day,
        spend=spend,
        name=name,
        currency=_currency(layout, spend),
        account=next(iter(layout.of("account")), None),
        hour=next(iter(layout.of("hour")), None),
        end=end,
        platform=next(iter(layout.of("platform")), None),
        names_are_ids=names_are_ids,
        end_counts=end is not None and (day.rank > 0 or strong),
    )


def _day(layout: Layout, platform: str | None) -> Heading:
    found = layout.of("day")
    if found:
        return found[0]
    if not (layout.has("spend") or layout.has("revenue")):
        raise missing(layout)
    period = next(iter(layout.of("period")), None)
    said = f"its rows are by {period.text}" if period else "it has no column with the day"
    raise Refused(f"{said}, and each row must be of one day", day_fix(platform))


def _spend(layout: Layout, options: ReadOptions, platform: str | None) -> Heading:
    found = layout.of("spend")
    revenue = layout.of("revenue")
    if revenue and platform in {"dv360", None} and not (found and found[0].rank == -1):
        return revenue[0]
    of_platforms = [one for one in found if one.platform]
    if of_platforms and any(one.rank == -1 for one in found) is False:
        found = _of_platform(found, options, platform)
    if not found:
        raise missing(layout)
    best = [one for one in found if one.rank == found[0].rank]
    in_file_currency = [one for one in best if one.currency]
    if len(best) > 1 and len({one.text for one in best}) < len(best):
        raise Refused(f"two columns are called {best[0].text}", "export the report with one of them")
    if len(best) > 1 and len(in_file_currency) < len(best):
        choices = [Choice(f"{one.text} is the spend", {"columns": {"spend": one.text}}) for one in best]
        raise Question("spend", choices, f"{' and '.join(one.text for one in best)} can all be the spend")
    if len(best) > 1:
        choices = [Choice(f"{one.text} is the spend", {"columns": {"spend": one.text}}) for one in best]
        raise Question("spend", choices, "the file has its spend in several currencies")
    return best[0]


def _of_platform(found: Sequence[Heading], options: ReadOptions, platform: str | None) -> list[Heading]:
    """The spend columns whose heading names the platform; if none does, those whose heading names no platform.

    Raises Question without a platform, and if headings name several and none was chosen.
    """
    named = sorted({one.platform for one in found if one.platform})
    if platform is None or (options.platform is None and len(named) > 1):
        choices = [Choice(platforms.label(name), {"platform": name}) for name in named]
        raise Question("platform", choices, f"the file has the spend of {' and '.join(map(platforms.label, named))}")
    mine = [one for one in found if one.platform == platform]
    return mine or [one for one in found if not one.platform]


def _campaign(layout: Layout, options: ReadOptions, platform: str | None, name: Heading | None) -> tuple[Heading, bool]:
    found = layout.of("campaign")
    is_own = found and (found[0].rank < STANDS_IN or name is None or name.rank > 0)
    if is_own:
        return found[0], False
    if found and name is not None and not options.name_as_id:
        choices = [
            Choice(f"each {found[0].text} is a campaign", {"columns": {"campaign": found[0].text}}),
            Choice(f"the names in {name.text} stand for ids", {"name_as_id": True}),
        ]
        raise Question("campaign", choices, f"the file has {name.text} and {found[0].text}, and no campaign ids")
    if platform == "snapchat_ads" and name is None and (ads := layout.of("ad")):
        return ads[0], False
    if name is None and layout.has("ad"):
        choices = [Choice("each ad counts as a campaign", {"columns": {"campaign": layout.of("ad")[0].text}})]
        raise Question(
            "campaign", choices, "the file has ads and no campaigns: add the column Campaign ID to the report"
        )
    if name is None:
        raise missing(layout)
    if options.name_as_id:
        return name, True
    choices = [Choice(f"the names in {name.text} stand for ids", {"name_as_id": True})]
    raise Question("campaign", choices, "the file has no column of campaign ids: add Campaign ID to the report")


def _currency(layout: Layout, spend: Heading) -> Heading | None:
    """The currency column: the chosen one, else the surest; None if the spend's heading names a currency itself."""
    found = layout.of("currency")
    told = [one for one in found if one.rank == -1]
    if told:
        return told[0]
    return None if spend.currency or not found else found[0]
