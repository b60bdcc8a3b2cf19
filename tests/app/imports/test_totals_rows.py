"""Rows of sums, repeated rows, and campaigns that are called like sums."""

import pytest

from tests.app.imports.kit import expected, read, refusal, units

DAYS = {("7", "2026-11-01"): "5.5", ("8", "2026-11-01"): "3", ("7", "2026-11-02"): "1.5"}
ROWS = "7,2026-11-01,5.50\n8,2026-11-01,3.00\n7,2026-11-02,1.50\n"
HEADINGS = "Campaign ID,Day,Cost\n"


@pytest.mark.parametrize(
    "label",
    [
        "Total", "Totals", "Grand Total:", "Total: Account", "Total of 3 results", "Gesamt: Konto", "Summe", "Gesamtergebnis",
        "Total : compte", "Total général", "Total: cuenta", "Suma total", "Total: conta", "Totale: account", "Totale complessivo",
        "Totaal: account", "Eindtotaal", "Łącznie: konto", "Suma końcowa", "合計: アカウント", "総計", "合計", "Totalt", "Итого", "总计", "--", "",
    ],
)  # fmt: skip
def test_a_total_in_any_language_is_no_campaign(label: str) -> None:
    reading = read(f"{HEADINGS}{ROWS}{label},,10.00\n")
    assert (units(reading), len(reading.totals_rows)) == (expected(DAYS), 1)
    assert (reading.totals_phrase, reading.bad_rows) == ("1 totals row, they agree with the sum", ())


def test_a_total_above_the_rows_is_none_of_them() -> None:
    assert units(read(f"{HEADINGS},,10.00\n{ROWS}")) == expected(DAYS)


def test_a_total_that_differs_is_refused_with_the_difference() -> None:
    told = refusal(f"{HEADINGS}{ROWS}Total,,11.25\n")
    assert "line 5, 'Total', says 11.25, and the rows come to 10.00: they differ by 1.25" in told


def test_a_total_of_rounded_rows_agrees() -> None:
    assert read(f"{HEADINGS}7,2026-11-01,0.333\n7,2026-11-02,0.333\nTotal,,0.67\n").totals.sum_micros == 666_000


def test_sums_of_each_day_and_of_each_campaign_are_no_rows() -> None:
    daily = "7,2026-11-01,5.50\n8,2026-11-01,3.00\nTotal,2026-11-01,8.50\n7,2026-11-02,1.50\nTotal,2026-11-02,1.50\nGrand total,,10\n"
    assert units(read(HEADINGS + daily)) == expected(DAYS)
    by_campaign = (
        "7,2026-11-01,5.50\n7,2026-11-02,1.50\n7 Total,,7.00\n8,2026-11-01,3.00\n8 Total,,3.00\nGrand Total,,10.00\n"
    )
    assert units(read(HEADINGS + by_campaign)) == expected(DAYS)
    assert "differ by 1.00" in refusal(HEADINGS + daily.replace("01,8.50", "01,9.50"))


def test_a_parent_row_without_a_day_must_be_the_sum_of_its_days() -> None:
    assert units(read(f"{HEADINGS}7,,7.00\n{ROWS}")) == expected(DAYS)
    assert "line 2 has no day: campaign 7 with 9.00, and its days come to 7.00" in refusal(f"{HEADINGS}7,,9.00\n{ROWS}")


def test_parent_row_that_left_out_rows_may_explain_is_left_out_too() -> None:
    left_out = "8,2026-11-02,abc\n"
    proven = read(f"{HEADINGS}7,,7.00\n{ROWS}{left_out}")
    assert (units(proven), [row.line for row in proven.bad_rows]) == (expected(DAYS), [6])
    unproven = read(f"{HEADINGS}7,,7.00\n8,,9.00\n{ROWS}{left_out}9,,1.00\n")
    assert (units(unproven), [row.line for row in unproven.bad_rows]) == (expected(DAYS), [3, 7, 8])
    assert "nothing proves that it is the sum of campaign 8's days" in unproven.bad_rows[0].reason


def test_a_campaign_called_like_a_sum_is_a_campaign() -> None:
    rows = "Tag;Kampagne;Kosten\n2026-11-01;Summe;5,50\n2026-11-01;Total Gym Promo;3,00\nGesamt;;8,50\n"
    assert units(read(rows, name_as_id=True)) == expected(
        {("Summe", "2026-11-01"): "5.5", ("Total Gym Promo", "2026-11-01"): "3"}
    )


def test_rows_called_like_a_sum_that_are_the_sum_of_each_day_are_none() -> None:
    rows = "Tag;Kampagne;Kosten\n2026-11-01;A;5,50\n2026-11-01;B;3,00\n2026-11-01;Summe;8,50\n2026-11-02;A;1,50\n2026-11-02;Summe;1,50\n"
    reading = read(rows, name_as_id=True)
    assert (reading.totals.sum_micros, list(reading.totals.campaigns)) == (10_000_000, ["A", "B"])
    assert reading.warnings == ("rows called Summe are sums of the others, and are left out",)


def test_a_file_pasted_twice_is_refused_unless_it_is_kept() -> None:
    assert " is there twice, on lines " in refusal(HEADINGS + ROWS + ROWS)
    assert read(HEADINGS + ROWS + ROWS, keep_duplicates=True).totals.sum_micros == 20_000_000


def test_identical_rows_among_others_of_their_day_are_told_and_counted() -> None:
    reading = read(f"{HEADINGS}7,2026-11-01,1.50\n7,2026-11-01,1.50\n7,2026-11-01,2.50\n")
    assert (reading.totals.sum_micros, reading.identical_rows) == (5_500_000, 2)
    assert reading.warnings == ("2 identical rows, all of them counted",)


def test_headings_that_are_repeated_are_passed_over_and_told() -> None:
    reading = read(f"{HEADINGS}7,2026-11-01,1.50\n{HEADINGS}8,2026-11-01,2.50\n")
    assert (reading.totals.sum_micros, reading.bad_rows) == (4_000_000, ())
    assert reading.warnings == ("the headings are there 2 times: the file is several exports",)


def test_rows_that_cannot_be_read_are_named_by_line_and_cell() -> None:
    reading = read(f"{HEADINGS}7,2026-06-17,1\n\n7,17 June,1\n,2026-06-17,1\n7\n12345.0,2026-06-17,1\n")
    assert [(row.line, row.cell, row.reason.split(":")[0]) for row in reading.bad_rows] == [
        (4, "17 June", "date"), (5, "", "campaign"), (6, "", "date"), (7, "12345.0", "campaign"),
    ]  # fmt: skip


def test_several_rows_of_a_day_that_no_column_tells_apart_are_warned_of() -> None:
    reading = read("campaign_id,date,spend,impressions\n7,2026-11-01,1.5,10\n7,2026-11-01,2.5,12\n")
    assert reading.warnings == ("campaign-days have several rows and no column distinguishes them: they are added up",)


def test_a_footer_with_more_cells_than_headings_is_passed_over() -> None:
    assert read(f"{HEADINGS}{ROWS}\nGenerated by us, for you, today, with care\n").totals.sum_micros == 10_000_000
