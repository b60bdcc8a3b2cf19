"""One attempt to read a table under given options: evidence, decisions, sums, and the checks between them."""

import hashlib
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
from app.imports.decided import Decisions, FileFacts, decide, decimals_of
from app.imports.evidence.amounts import AmountReader
from app.imports.evidence.days import Days
from app.imports.evidence.gathered import Evidence, gather
from app.imports.evidence.ids import check_rounded
from app.imports.evidence.platform import Filter, filter_of, resolve
from app.imports.evidence.rows_by_day import check_evenings, check_one_day_each, hours_warning, spacing_warning
from app.imports.evidence.stated_facts import as_of, range_of
from app.imports.headings.columns import Columns, columns_of
from app.imports.headings.heading_reader import squeezed
from app.imports.headings.layout import Layout
from app.imports.sums.adding import Adder, Sums, add_up
from app.imports.sums.cut_off import check_last_row
from app.imports.sums.part_sums import PartSums, find_part_sums
from app.imports.sums.repeats import Repeats, repeated
from app.imports.sums.scale import Scale, totals_of
from app.imports.sums.sections import check_preambles, check_sections
from app.imports.sums.sum_names import drop_sum_names
from app.imports.sums.totals_rows import Check, check, sort_out, without_strays


def attempt(layout: Layout, options: ReadOptions, file: FileFacts) -> Reading:
    """Reads the table and returns the reading.

    Raises Refused, or Question, whose choices have sums and days only if it is about the platform.
    """
    first = resolve(layout, options, file.name)
    columns = columns_of(layout, options, first.name)
    evidence = gather(layout, columns)
    decided = decide(layout, columns, evidence, options, file)
    reader = AmountReader(decided.mark.value or "point", decimals_of(evidence, decided.mark.value))
    check_evenings(evidence, columns, options)
    days = Days(day_first=decided.order.value != "month_first", evenings_begin_next=options.evening_times == "next_day")
    check_last_row(layout, columns, evidence)
    check_one_day_each(evidence, columns, days, decided.known.name)
    undated = sort_out(evidence, layout, columns, reader, days)
    scale = Scale(reader.decimals, MICROS_OF[decided.unit.value or "currency"])
    chosen = filter_of(evidence, decided.known, decided.currency.filtered)
    part_sums = find_part_sums(layout, columns, evidence, reader, days, chosen, options.sum_rows, scale.shown)
    sums = _added(layout, columns, evidence, reader, days, chosen, part_sums)
    check_rounded(sums.by_campaign)
    undated = without_strays(undated, sums)
    for row in undated.bad:
        sums.note_unplaced(*row)
    stated_sums = [row.value for row in undated.sums if row.value is not None]
    dropped = drop_sum_names(sums, stated_sums, options.sum_rows, scale.shown) if columns.names_are_ids else []
    whole = decided.currency.filtered is None and not sums.other_rows
    checked = check(undated, sums, scale.micros, scale.shown) if whole else Check((), "totals rows are of all rows")
    identical, repeats_told = _repeats(layout, columns, days, sums, options)
    if undated.heading_lines:
        decided = _of_several_exports(layout, columns, days, evidence, undated.heading_lines, decided, options)
    reading = _reading(
        layout, options, file, evidence, decided, sums, scale, checked, identical,
        [
            *repeats_told,
            *_warnings(evidence, columns, options, len(undated.heading_lines), dropped),
            *_of_several_rows(layout, sums, identical),
            *(Warned("rows_of_sums", one) for one in part_sums.warnings),
        ],
    )  # fmt: skip
    if decided.known.name is None:
        choices = [filled(choice, reading) for choice in decided.known.choices()]
        raise Question(ABOUT_PLATFORM, choices, "nothing in the file says which platform it is of")
    return reading


def _of_several_exports(
    layout: Layout, columns: Columns, days: Days, evidence: Evidence, heading_lines: Sequence[int], decided: Decisions,
    options: ReadOptions,
) -> Decisions:  # fmt: skip
    """The decisions without the stated range, which is only the first export's. Raises Refused for exports at odds."""
    if not options.keep_duplicates:
        check_sections(layout, columns, days, heading_lines)
        check_preambles(evidence.undated, heading_lines, decided.stated)
    return replace(decided, stated=replace(decided.stated, range=None))


def _added(
    layout: Layout, columns: Columns, evidence: Evidence, reader: AmountReader, days: Days, chosen: Filter,
    part_sums: PartSums,
) -> Sums:  # fmt: skip
    """The sums of all rows with a campaign and a day that are no sums of others."""
    marks = frozenset(row.line for row in evidence.undated)
    sums = add_up(Adder(columns, reader), layout, columns, days, chosen, marks, part_sums.left_out)
    for (campaign, day), amount in part_sums.rests.items():
        sums.add_rest(campaign, day, amount)
    return sums


def filled(choice: Choice, reading: Reading) -> Choice:
    """A copy of the choice with the sum, the first and the last day of its reading."""
    sums = {reading.currency or "": reading.totals.sum_micros}
    return replace(choice, sum_micros=sums, first_day=reading.first_day, last_day=reading.last_day)


def _repeats(
    layout: Layout, columns: Columns, days: Days, sums: Sums, options: ReadOptions
) -> tuple[int, list[Warned]]:
    """The number of rows identical to others, and a warning if there are any.

    Raises Refused if a campaign's whole day is there twice, unless the options keep duplicates.
    """
    hashes = repeated(sums)
    if not hashes:
        return 0, []
    found = Repeats(layout, columns, days, hashes)
    if found.pasted is not None and not options.keep_duplicates:
        (campaign, day), lines = found.pasted
        raise Refused(
            f"{found.identical} identical rows: campaign {campaign} on {day} is there twice, "
            f"on lines {' and '.join(map(str, lines))}",
            "two exports were put together: import them one by one, or keep them with --keep-duplicates",
        )
    return found.identical, [Warned("identical_rows", f"{found.identical} identical rows, all of them counted")]


def _of_several_rows(layout: Layout, sums: Sums, identical: int) -> list[Warned]:
    """The warning of campaign-days with several rows, if there are any and no column gives a reason for them."""
    is_explained = any(one.text and one.meaning in {None, "hour", "platform", "ad"} for one in layout.headings)
    several = sums.count - sum(map(len, sums.by_campaign.values()))
    if is_explained or identical or not several or not layout.has("whole"):
        return []
    sentence = "campaign-days have several rows and no column distinguishes them: they are added up"
    return [Warned("several_rows", sentence, is_doubt=True)]


def _warnings(
    evidence: Evidence, columns: Columns, options: ReadOptions, repeated_headings: int, dropped: list[str]
) -> list[Warned]:
    told = []
    if not evidence.rows:
        told.append(Warned("no_rows", "the file has headings and no rows"))
    if repeated_headings:
        sentence = f"the headings are there {repeated_headings + 1} times: the file is several exports"
        told.append(Warned("several_exports", sentence))
    if dropped:
        told.append(
            Warned("rows_of_sums", f"rows called {', '.join(dropped)} are sums of the others, and are left out")
        )
    if (hours := hours_warning(evidence, columns, options)) is not None:
        told.append(Warned("few_hours", hours, is_doubt=True))
    return told


def _reading(
    layout: Layout, options: ReadOptions, file: FileFacts, evidence: Evidence, decided: Decisions,
    sums: Sums, scale: Scale, checked: Check, identical: int, warned: list[Warned],
) -> Reading:  # fmt: skip
    totals = totals_of(sums, scale)
    days = totals.days
    zone = decided.columns.day.zone or decided.stated.zone
    written = decided.order.value if evidence.days.numeric else None
    around_order, known_range = range_of(decided.stated, written, days)
    moment, as_of_source = as_of(options, decided.stated, around_order, zone, file.modified_at)
    inside = known_range is not None and (not days or (known_range[0] <= min(days) and max(days) <= known_range[1]))
    if known_range is not None and not inside:
        sentence = f"some days are outside of the file's own range, {known_range[0]} to {known_range[1]}"
        warned.append(Warned("outside_range", sentence, is_doubt=True))
    is_complete = (inside and not decided.stated.is_incomplete) if options.complete is None else options.complete
    if is_complete and sums.unplaced:
        sentence = "rows that cannot be read may be of any campaign's day, so no missing day becomes zero"
        warned.append(Warned("unread_rows", sentence))
    if (spacing := spacing_warning(days)) is not None:
        warned.append(Warned("days_apart", spacing, is_doubt=True))
    accounts = {one.strip() for one in evidence.accounts if one.strip()}
    names = {campaign: sums.names.get(campaign) or campaign for campaign in totals.campaigns}
    proofs = (decided.unit.proof, decided.mark.proof, decided.order.proof)
    left_out = f"{sums.without_amount} rows without a figure" if sums.without_amount else ""
    several = f"{sums.count} rows make {len(totals)} totals" if sums.count > len(totals) else ""
    others = f"{sums.other_rows} rows of other currencies or platforms are left out" if sums.other_rows else ""
    return Reading(
        platform=decided.known.name or "",
        platform_why=decided.known.why,
        account=next(iter(accounts)) if len(accounts) == 1 else decided.stated.account,
        columns=decided.columns.told(),
        unit=decided.unit.value or "currency",
        proofs=(*proofs, *(one for one in (several, left_out, others) if one)),
        totals=totals,
        names=names,
        currency=decided.currency.code,
        currencies=decided.currency.allowed,
        time_zone=zone,
        as_of=moment,
        as_of_source=as_of_source,
        first_day=min(days, default=None),
        last_day=max(days, default=None),
        stated_days=known_range,
        is_complete=is_complete and not sums.unplaced and decided.currency.filtered is None,
        is_delta=options.delta,
        totals_rows=checked.rows,
        totals_told=checked.told,
        identical_rows=identical,
        bad_rows=tuple(sorted(sums.bad_rows)),
        incomplete=frozenset(sums.incomplete),
        warned=(
            *(Warned("other_platform", one, is_doubt=True) for one in decided.known.warnings),
            *(Warned("other_totals", one) for one in checked.warnings),
            *warned,
        ),
        rows=evidence.rows,
        encoding=layout.table.encoding,
        sha256=file.sha256,
        layout=hashlib.sha256("\x1f".join(squeezed(one.text) for one in layout.headings).encode()).hexdigest(),
        options=options,
        day_offsets=evidence.days.offsets,
    )
