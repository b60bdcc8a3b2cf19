"""One attempt to read a table under given options: evidence, decisions, sums, and the checks between them."""

from collections.abc import Sequence
from dataclasses import replace

from app.imports.answers import (
    ABOUT_PLATFORM,
    MICROS_OF,
    Choice,
    Question,
    Reading,
    ReadOptions,
    Refused,
    Warned,
)
from app.imports.assemble import AddedUp, Interpreted, assemble
from app.imports.decided import Decisions, FileFacts, decide, decimals_of
from app.imports.evidence.amounts import AmountReader
from app.imports.evidence.days import Days
from app.imports.evidence.gathered import gather
from app.imports.evidence.ids import check_rounded
from app.imports.evidence.platform import Filter, filter_of, resolve
from app.imports.evidence.rows_by_day import check_evenings, check_one_day_each, hours_warning
from app.imports.headings.columns import columns_of
from app.imports.headings.layout import Layout
from app.imports.sums.adding import Adder, Sums, add_up
from app.imports.sums.cut_off import check_last_row
from app.imports.sums.part_sums import PartSums, find_part_sums
from app.imports.sums.repeats import Repeats, repeated
from app.imports.sums.scale import Scale
from app.imports.sums.sections import check_preambles, check_sections
from app.imports.sums.sum_names import drop_sum_names
from app.imports.sums.totals_rows import Check, Undated, check, sort_out, without_strays


def attempt(layout: Layout, options: ReadOptions, file: FileFacts) -> Reading:
    """Reads the table and returns the reading.

    Raises Refused, or Question, whose choices have sums and days only if it is about the platform.
    """
    table = _interpreted(layout, options, file)
    undated = sort_out(table.evidence, layout, table.columns, table.amounts, table.days)
    scale = Scale(table.amounts.decimals, MICROS_OF[table.decided.unit.value or "currency"])
    chosen = filter_of(table.evidence, table.decided.known, table.decided.currency.filtered)
    part_sums = find_part_sums(
        layout, table.columns, table.evidence, table.amounts, table.days, chosen, options.sum_rows, scale.shown
    )
    sums = _added(table, chosen, part_sums)
    undated = without_strays(undated, sums)
    for row in undated.bad:
        sums.note_unplaced(*row)
    stated_sums = [row.value for row in undated.sums if row.value is not None]
    dropped = drop_sum_names(sums, stated_sums, options.sum_rows, scale.shown) if table.columns.names_are_ids else []
    checked = _checked(table, undated, sums, scale)
    identical, warned = _repeats(table, sums)
    if undated.heading_lines:
        table = table._replace(decided=_of_several_exports(table, undated.heading_lines))
    warned += _warnings(table, len(undated.heading_lines), dropped)
    warned += _of_several_rows(layout, sums, identical)
    warned += [Warned("rows_of_sums", one) for one in part_sums.warnings]
    reading = assemble(table, AddedUp(sums, scale, checked, identical), warned)
    if table.decided.known.name is None:
        choices = [filled(choice, reading) for choice in table.decided.known.choices()]
        raise Question(ABOUT_PLATFORM, choices, "the file does not show its ad platform")
    return reading


def _interpreted(layout: Layout, options: ReadOptions, file: FileFacts) -> Interpreted:
    """The table with all that is decided about its columns and cells. Raises Refused or Question."""
    columns = columns_of(layout, options, resolve(layout, options, file.name).name)
    evidence = gather(layout, columns)
    decided = decide(layout, columns, evidence, options, file)
    amounts = AmountReader(decided.mark.value or "point", decimals_of(evidence, decided.mark.value))
    check_evenings(evidence, columns, options)
    days = Days(day_first=decided.order.value != "month_first", evenings_begin_next=options.evening_times == "next_day")
    check_last_row(layout, columns, evidence)
    check_one_day_each(evidence, columns, days, decided.known.name)
    return Interpreted(layout, options, file, columns, evidence, decided, amounts, days)


def _checked(table: Interpreted, undated: Undated, sums: Sums, scale: Scale) -> Check:
    """Compares the sums with the totals rows. Raises Refused if they differ.

    Compares nothing and returns a check without rows if rows of other currencies or platforms are left out.
    """
    if table.decided.currency.filtered is not None or sums.other_rows:
        return Check((), "totals rows not compared, because rows of other currencies or platforms are left out")
    return check(undated, sums, scale.micros, scale.shown)


def _of_several_exports(table: Interpreted, heading_lines: Sequence[int]) -> Decisions:
    """The decisions for a table of several exports, without the range of days, which only the first export states.

    `heading_lines`: the lines that repeat the headings. Unless the options keep duplicates, raises Refused if exports
    have the same campaign-day, or state different currencies or time zones.
    """
    decided = table.decided
    if not table.options.keep_duplicates:
        check_sections(table.layout, table.columns, table.days, heading_lines)
        check_preambles(table.evidence.undated, heading_lines, decided.stated)
    return replace(decided, stated=replace(decided.stated, range=None))


def _added(table: Interpreted, chosen: Filter, part_sums: PartSums) -> Sums:
    """Adds up all chosen rows with a campaign and a day, except rows that sum up others.

    Then adds the amounts by which stated sums exceed their parts. `chosen`: the currency and platform of the rows to
    read. Raises Refused for ids that a spreadsheet has rounded.
    """
    undated_lines = frozenset(row.line for row in table.evidence.undated)
    adder = Adder(table.columns, table.amounts)
    sums = add_up(adder, table.layout, table.columns, table.days, chosen, undated_lines, part_sums.sum_lines)
    for (campaign, day), amount in part_sums.rests.items():
        sums.add_rest(campaign, day, amount)
    check_rounded(sums.by_campaign)
    return sums


def filled(choice: Choice, reading: Reading) -> Choice:
    """A copy of the choice with the sum, the first and the last day of `reading`: the file, read under that choice."""
    sums = {reading.currency or "": reading.totals.sum_micros}
    return replace(choice, sum_micros=sums, first_day=reading.first_day, last_day=reading.last_day)


def _repeats(table: Interpreted, sums: Sums) -> tuple[int, list[Warned]]:
    """The number of rows identical to others, and a warning if there are any.

    Raises Refused if all rows of a campaign's day occur equally often, more than once, unless the options keep
    duplicates.
    """
    hashes = repeated(sums)
    if not hashes:
        return 0, []
    found = Repeats(table.layout, table.columns, table.days, hashes)
    if found.pasted is not None and not table.options.keep_duplicates:
        (campaign, day), lines = found.pasted
        raise Refused(
            f"{found.identical} identical rows: campaign {campaign} on {day} is there twice, "
            f"on lines {' and '.join(map(str, lines))}",
            "two exports were put together: import them one by one, or keep them with --keep-duplicates",
        )
    return found.identical, [Warned("identical_rows", f"{found.identical} identical rows, all of them counted")]


def _of_several_rows(layout: Layout, sums: Sums, identical: int) -> list[Warned]:
    """A list with a warning if campaign-days have several rows that no column distinguishes; else an empty list.

    Empty too if rows are identical (`identical` is their number), or if no column has counts, such as clicks.
    """
    is_explained = any(one.text and one.meaning in {None, "hour", "platform", "ad"} for one in layout.headings)
    several = sums.count - sum(map(len, sums.by_campaign.values()))
    if is_explained or identical or not several or not layout.has("whole"):
        return []
    sentence = "campaign-days have several rows and no column distinguishes them: they are added up"
    return [Warned("several_rows", sentence, is_doubt=True)]


def _warnings(table: Interpreted, repeated_headings: int, dropped: list[str]) -> list[Warned]:
    told = []
    if not table.evidence.rows:
        told.append(Warned("no_rows", "the file has headings and no rows"))
    if repeated_headings:
        sentence = f"the headings are there {repeated_headings + 1} times: the file is several exports"
        told.append(Warned("several_exports", sentence))
    if dropped:
        told.append(
            Warned("rows_of_sums", f"rows called {', '.join(dropped)} are sums of the others, and are left out")
        )
    if (hours := hours_warning(table.evidence, table.columns, table.options)) is not None:
        told.append(Warned("few_hours", hours, is_doubt=True))
    return told
