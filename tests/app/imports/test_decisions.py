"""Decisions: what a column proves is taken, what nothing proves is asked with both sums, contradictions are refused."""

import re
from decimal import Decimal
from typing import Any

import pytest

from tests.app.imports.kit import expected, question, read, refusal, units

DAY = "2026-11-01"


def amounts(*cells: str, headings: str = "campaign_id;date;spend", platform: str = "meta_ads") -> list[Decimal]:
    """The amounts of cells on days from the first of November on."""
    rows = "".join(f'7;2026-11-{day:02};"{cell}"\n' for day, cell in enumerate(cells, start=1))
    return list(units(read(f"{headings}\n{rows}", platform)).values())


@pytest.mark.parametrize(
    ("cells", "read_as"),
    [
        (["12,34", "1,234", "0,5"], ["12.34", "1.234", "0.5"]),
        (["12.34", "1,234", "0.5"], ["12.34", "1234", "0.5"]),
        (["1.012,505"], ["1012.505"]),
        (["1,047.80", "3"], ["1047.8", "3"]),
        (["1.234.567", "1.234"], ["1234567", "1234"]),
        (["0.500", "1.234"], ["0.5", "1.234"]),
        (["1234.567"], ["1234.567"]),
        (["1 234,50", "1\u00a0234,50", "1\u202f234,50"], ["1234.5"] * 3),
        (["1'234.50", "1’234.50"], ["1234.5"] * 2),
        (["1,23,456.78"], ["123456.78"]),
        (["$1,016.12", "US$5.00", "5.00 USD"], ["1016.12", "5", "5"]),
        (["12,50 €", "EUR 12,50", "€12,50"], ["12.5"] * 3),
        (["-5.25", "(5.25)", "\u22125.25", "-$5.25", "$-5.25", "5.25-", "+5.25"], ["-5.25"] * 6 + ["5.25"]),
        ([".5", "5."], ["0.5", "5"]),
        (["1.5e-05"], ["0.000015"]),
        (["", "5.5"], ["0", "5.5"]),
    ],
)
def test_amounts_are_read_by_what_their_column_proves(cells: list[str], read_as: list[str]) -> None:
    assert amounts(*cells) == list(map(Decimal, read_as))


@pytest.mark.parametrize(
    "cell", ["n/a", "5%", "inf", "nan", "1e9", "5,13E+06", "1_000", "12.50x", "1.2.3", "€5$", "5 apples"]
)
def test_a_cell_that_is_no_amount_leaves_its_day_out(cell: str) -> None:
    reading = read(f'campaign_id;date;spend\n7;2026-11-01;"{cell}"\n7;2026-11-01;1.25\n8;2026-11-01;2.25\n')
    assert units(reading) == expected({("8", DAY): "2.25"})
    assert [(row.line, row.cell, row.reason.split(":")[0]) for row in reading.bad_rows] == [(2, cell, "amount")]
    assert {campaign for campaign, _ in reading.incomplete} == {"7"}


def test_a_lone_mark_before_three_digits_is_asked_about_with_both_sums() -> None:
    asked = question("campaign_id;date;spend\n7;2026-11-01;1.234\n7;2026-11-02;2\n")
    assert [(one.flags, one.sum_micros) for one in asked.readings] == [
        ("--decimal point", {"": 3_234_000}), ("--decimal comma", {"": 1_236_000_000}),
    ]  # fmt: skip
    assert read("campaign_id;date;spend\n7;2026-11-01;1.234\n", decimal="comma").totals.sum_micros == 1_234_000_000


@pytest.mark.parametrize(
    ("headings", "row", "read_as"),
    [
        ("campaign_id;date;spend;impressions", "7;2026-11-01;1,234;10,500", "1234"),
        ("campaign_id;date;spend;impressions", "7;2026-11-01;1,234;10.500", "1.234"),
        ("campaign_id;date;spend;ctr", "7;2026-11-01;1,234;2,5%", "1.234"),
        ("campaign_id;date;spend;ctr", "7;2026-11-01;1,234;2.5%", "1234"),
    ],
)
def test_another_column_proves_the_decimal_sign_too(headings: str, row: str, read_as: str) -> None:
    assert list(units(read(f"{headings}\n{row}\n")).values()) == [Decimal(read_as)]


def test_a_mark_in_a_currency_without_decimals_groups_thousands() -> None:
    assert list(units(read('campaign_id,date,spend,currency\n7,2026-11-01,"1,016",JPY\n')).values()) == [Decimal(1016)]


def test_two_decimal_signs_in_a_column_are_refused() -> None:
    told = refusal("campaign_id;date;spend\n7;2026-11-01;5,50\n7;2026-11-02;5.50\n")
    assert "line 2 has '5,50' with a decimal comma, and line 3 has '5.50' with a decimal point" in told


def test_a_choice_that_the_file_disproves_is_refused_with_the_right_one() -> None:
    mark = refusal("campaign_id;date;spend\n7;2026-11-02;5.50\n", decimal="comma")
    assert "line 2 has '5.50' with a decimal point, not a decimal comma" in mark
    assert "(--decimal point)" in mark
    order = refusal("campaign_id,date,spend\n7,25/11/2026,5.50\n", day_order="month_first")
    assert "line 2 has '25/11/2026': its dates are day first, not month first" in order
    assert "(--day-order day_first)" in order


@pytest.mark.parametrize(
    ("headings", "cell", "platform", "micros"),
    [
        ("campaign_id,date,cost_micros", "5130000", "google_ads", 5_130_000),
        ("campaign_id,date,cost_micros", "5130000.0", "google_ads", 5_130_000),
        ("campaign_id,date,spend_in_micro_dollar", "5130000", "pinterest_ads", 5_130_000),
        ("campaign_id,date,microsoft_spend", "51", "microsoft_ads", 51_000_000),
        ("campaign_id,date,cost_cents", "513", "google_ads", 5_130_000),
        ("campaign_id,date,cost", "51.30", "google_ads", 51_300_000),
        ("campaign_id,date,cost", "$150000", "google_ads", 150_000_000_000),
        ("campaign_id,date,cost", '"1,500,000"', "google_ads", 1_500_000_000_000),
        ("campaign_id,date,cost", "60", "google_ads", 60_000_000),
        ("ad_id,date,spend", "5", "snapchat_ads", 5),
        ("ad_id,date,spend", "5.25", "snapchat_ads", 5_250_000),
        ("campaign_id,date,swipes,spend", "5,1353", "snapchat_ads", 1_353),
    ],
)
def test_the_unit_is_what_heading_or_cells_prove(headings: str, cell: str, platform: str, micros: int) -> None:
    assert read(f"{headings}\n7,2026-11-01,{cell}\n", platform).totals.sum_micros == micros


def test_decimals_in_a_totals_row_prove_units() -> None:
    rows = "Campaign ID,Day,Cost\n7,2026-11-01,550000\n8,2026-11-01,1000000\n"
    assert read(f"{rows}Total,,1550000.00\n").totals.sum_micros == 1_550_000_000_000
    assert read(f'{rows}Total,,"1,550,000.00"\n').totals.sum_micros == 1_550_000_000_000
    assert "units or micros" in refusal(f"{rows}Total,,1550000\n")


def test_a_totals_row_with_more_decimals_than_the_rows_is_compared() -> None:
    rows = "Campaign ID,Day,Cost\n7,2026-11-01,5\n8,2026-11-01,6\n"
    assert read(f"{rows}Total,,11.00\n").totals_phrase == "1 totals row, they agree with the sum"
    assert "differ by" in refusal(f"{rows}Total,,21.00\n")


@pytest.mark.parametrize(
    ("headings", "cell", "platform"),
    [
        ("campaign_id,date,cost", "5130000", "google_ads"),
        ("campaign_id,date,cost", "5130000.00", "google_ads"),
        ("Campaign ID,Day,Cost", "150001", "google_ads"),
        ("campaign_id,date,cost_micros", "5.13", "google_ads"),
        ("campaign_id,date,spend", "1353", "snapchat_ads"),
    ],
)
def test_a_unit_that_nothing_proves_is_asked_about(headings: str, cell: str, platform: str) -> None:
    content = f"{headings}\n7,2026-11-01,{cell}\n"
    asked = question(content, platform)
    assert [one.flags for one in asked.readings] == ["--unit currency", "--unit micros"]
    for choice in asked.readings:
        reading = read(content, platform, unit=choice.settles["unit"])
        assert {"": reading.totals.sum_micros} == choice.sum_micros


@pytest.mark.parametrize(
    ("cells", "first"),
    [
        (["25/11/2026", "01/11/2026"], "2026-11-01"),
        (["11/25/2026", "11/01/2026"], "2026-11-01"),
        (["01.11.2026", "02.11.2026"], "2026-11-01"),
        (["Nov 01, 2026"], "2026-11-01"),
        (["1. November 2026"], "2026-11-01"),
        (["1 de noviembre de 2026"], "2026-11-01"),
        (["1er novembre 2026"], "2026-11-01"),
        (["1 listopada 2026"], "2026-11-01"),
        (["2026年11月1日"], "2026-11-01"),
        (["2026/11/01(日)"], "2026-11-01"),
        (["Sunday, November 1, 2026"], "2026-11-01"),
        (["20261101"], "2026-11-01"),
        (["2026-11-01T10:00:00", "2026-11-01T11:00:00"], "2026-11-01"),
        (["2026-11-01 00:00:00 UTC"], "2026-11-01"),
        (["03/12/2026"], "2026-03-12"),
        (["01-Nov-26"], "2026-11-01"),
        (["11/11/2026"], "2026-11-11"),
    ],
)
def test_days_are_read_by_what_their_column_proves(cells: list[str], first: str) -> None:
    rows = "".join(f'7;"{cell}";1.5\n' for cell in cells)
    assert str(read(f"campaign_id;date;spend\n{rows}").first_day) == first


def test_an_order_of_day_and_month_that_nothing_proves_is_asked_about() -> None:
    asked = question("campaign_id,date,spend\n7,01/11/2026,5.50\n7,02/11/2026,6.50\n")
    assert [(one.flags, str(one.first_day), str(one.last_day)) for one in asked.readings] == [
        ("--day-order day_first", "2026-11-01", "2026-11-02"), ("--day-order month_first", "2026-01-11", "2026-02-11"),
    ]  # fmt: skip


def test_the_range_above_a_table_proves_the_order() -> None:
    rows = "Campaign ID,Day,Cost\n7,01/11/2026,5.50\n7,02/11/2026,6.50\n"
    assert str(read(f'"November 1, 2026 - November 2, 2026"\n{rows}').first_day) == "2026-11-01"
    assert str(read(f'"January 11, 2026 - February 11, 2026"\n{rows}').first_day) == "2026-01-11"


def test_two_orders_in_a_column_are_refused() -> None:
    told = refusal("campaign_id,date,spend\n7,25/11/2026,5.50\n7,11/26/2026,6.50\n")
    assert "line 2 has '25/11/2026', day first, and line 3 '11/26/2026', month first" in told


def test_two_open_questions_are_asked_at_once() -> None:
    asked = question("campaign_id;date;spend\n7;01/11/2026;1.234\n7;02/11/2026;5\n")
    assert [one.flags for one in asked.readings] == [
        f"--decimal {mark} --day-order {order}" for mark in ("point", "comma") for order in ("day_first", "month_first")
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("Campaign ID,Week,Cost\n7,2026-11-02,5.5\n", "its rows are by Week.*Breakdown → By time → Day"),
        ("Campaign ID,Monat,Cost\n7,2026-11-01,5.5\n", "its rows are by Monat"),
        ("Campaign ID,Day,Cost\n7,202647,5.5\n", "'202647', a week"),
        ("Campaign ID,Day,Cost\n7,2026-W45,5.5\n", "'2026-W45', a week"),
        ("Campaign ID,Day,Cost\n7,November 2026,5.5\n", "'November 2026', a month"),
        ('Campaign ID,Day,Cost\n7,"Nov 1 - Nov 7, 2026",5.5\n', "a range of days"),
        ("Campaign ID,Start date,End date,Cost\n7,2026-11-01,2026-11-07,5.5\n", "covers 2026-11-01 to 2026-11-07"),
        ("campaign_id,date_start,date_stop,spend\n7,2026-11-01,2026-11-07,5.5\n", "covers 2026-11-01 to 2026-11-07"),
        ("Campaign ID,Cost,Impr.\n7,5.5,1\n", "no column with the day.*Breakdown → By time → Day"),
        ("Campaign ID,Day,Cost\n7,26/11/15,5.5\n", "two numbers can be the year"),
        ("Campaign ID,Day,Cost\n7,2026-25-11,5.5\n7,2026-05-11,5.5\n", "written year, day, month"),
        (
            "Day,Hour,Campaign ID,Cost\n2026-11-01,1,7,5.5\n2026-11-01,,7,5.5\n",
            "line 3 has no hour among rows of hours",
        ),
        (
            '"Report Aggregation: Weekly"\n"TimePeriod","CampaignId","Spend"\n"2026-11-01","7","5.5"\n',
            "says that it is Weekly",
        ),
        ("Campaign ID,Day,Cost\n7,46327,5.5\n", "line 2: '46327' is not a date"),
        ("Campaign ID,Day,Cost\n7,2026-01-02T03:00:00Z,5.5\n", "a moment and not a day"),
        ("Campaign ID,Day,Cost\n7,2026-01-02 03:00:00+0100,5.5\n", "a moment and not a day"),
    ],
)
def test_a_row_of_more_or_less_than_a_day_is_refused(content: str, words: str) -> None:
    assert re.search(words, refusal(content))


def test_midnight_to_the_next_midnight_in_an_accounts_zone_is_one_day() -> None:
    reading = read(
        "campaign_id,start_time,end_time,spend\n"
        "7,2026-11-01T00:00:00.000-07:00,2026-11-02T00:00:00.000-08:00,5500000\n"
        "7,2026-11-02T00:00:00.000-08:00,2026-11-03T00:00:00.000-08:00,1000000\n",
        "snapchat_ads",
        unit="micros",
    )
    assert units(reading) == expected({("7", DAY): "5.5", ("7", "2026-11-02"): "1"})
    assert {str(one): minutes for one, (minutes, _) in reading.day_offsets.items()} == {DAY: -420, "2026-11-02": -480}


def test_midnight_to_a_later_midnight_is_refused() -> None:
    rows = "7,2026-11-01T00:00:00.000-07:00,2026-11-08T00:00:00.000-08:00,5.5\n"
    assert "covers" in refusal("campaign_id,start_time,end_time,spend\n" + rows, "snapchat_ads")


@pytest.mark.parametrize(
    "content",
    [
        "campaign_id,start_year,start_month,start_day,end_year,end_month,end_day,spend\n7,2026,11,1,2026,11,1,5.5\n",
        "Report\n\nCampaign ID,Year,Month,Day,Cost\n7,2026,November,1,5.5\nTotal,,,,5.5\n",
        "dateRange.start.year,dateRange.start.month,dateRange.start.day,campaign_id,spend\n2026,11,1,7,5.5\n",
        '{"campaign_id": "7", "dateRange": {"start": {"year": 2026, "month": 11, "day": 1}}, "spend": "5.5"}\n',
        '{"campaign_id": "7", "start": {"year": 2026, "month": 11, "day": 1}, "spend": "5.5"}\n',
    ],
)
def test_a_date_in_three_columns_is_one_day(content: str) -> None:
    assert units(read(content, "linkedin_ads")) == expected({("7", DAY): "5.5"})


def test_a_range_in_three_columns_each_is_refused() -> None:
    rows = "7,2026,11,1,2026,11,7,5.5\n"
    headings = "campaign_id,start_year,start_month,start_day,end_year,end_month,end_day,spend\n"
    assert "covers 2026-11-01 to 2026-11-07" in refusal(headings + rows, "linkedin_ads")


def test_hours_of_a_day_add_up() -> None:
    reading = read(
        "campaign_id,date,hour,spend\n7,2026-11-01,0,1.5\n7,2026-11-01,12,2.5\n7,2026-11-01,18,1\n7,2026-11-01,23,1\n"
    )
    assert (units(reading), reading.warnings) == (expected({("7", DAY): "6"}), ())


def test_a_campaigns_own_dates_are_not_its_rows_days() -> None:
    content = "Campaign ID,Day,Start date,End date,Cost\n7,2026-11-01,2026-01-01,2026-12-31,5.5\n7,2026-11-02,2026-01-01,2026-12-31,1\n"
    assert units(read(content)) == expected({("7", DAY): "5.5", ("7", "2026-11-02"): "1"})


@pytest.mark.parametrize(
    ("cell", "campaign"),
    [
        ('"=""41000000001"""', "41000000001"),
        ("'41000000001", "41000000001"),
        ('"12,345,678"', "12345678"),
        ("000123", "000123"),
        ("urn:li:sponsoredCampaign:312", "312"),
        ("customers/1/campaigns/77", "77"),
        ("120210000000000101", "120210000000000101"),
    ],
)
def test_ids_are_kept_as_the_platform_means_them(cell: str, campaign: str) -> None:
    assert list(read(f"campaign_id,date,spend\n{cell},2026-11-01,5.5\n").totals.campaigns) == [campaign]


@pytest.mark.parametrize("cell", ["1.2021E+17", '"1,2021E+17"', "120210000000000000"])
def test_ids_that_lost_digits_are_refused(cell: str) -> None:
    assert "spreadsheet" in refusal(f"campaign_id,date,spend\n{cell},2026-11-01,5.5\n")


def test_two_currencies_are_asked_about_and_one_can_be_read() -> None:
    content = "campaign_id,date,spend,currency\n7,2026-11-01,5.5,USD\n8,2026-11-01,900,EUR\n"
    asked = question(content)
    assert [(one.flags, one.sum_micros) for one in asked.readings] == [
        ("--currency EUR", {"EUR": 900_000_000}), ("--currency USD", {"USD": 5_500_000}),
    ]  # fmt: skip
    assert units(read(content, currency="USD")) == expected({("7", DAY): "5.5"})


def test_a_sign_of_another_currency_than_the_column_is_refused() -> None:
    told = refusal("campaign_id,date,spend,currency\n7,2026-11-01,$5.50,EUR\n")
    assert "line 2 has '$5.50', and the file says that it is in EUR" in told
    allowed = read("campaign_id,date,spend\n7,2026-11-01,$5.50\n").currencies or frozenset()
    assert {"USD", "CAD", "AUD"} <= allowed
    assert "EUR" not in allowed


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (("2026-11-02", "2026-11-09", "2026-11-16"), "every day is a Monday"),
        (("2026-10-01", "2026-11-01"), "every day is the first of a month"),
    ],
)
def test_days_as_far_apart_as_weeks_or_months_are_warned_of(days: tuple[str, ...], words: str) -> None:
    reading = read("campaign_id,date,spend\n" + "".join(f"7,{day},5.5\n" for day in days))
    assert words in reading.warnings[0]


def evenings(*cells: str, **options: Any) -> list[str]:
    """The days of rows with these times."""
    rows = "".join(f"7,{cell},5.5\n" for cell in cells)
    return [day for _, day in units(read(f"campaign_id,date,spend\n{rows}", **options))]


@pytest.mark.parametrize(
    ("cells", "next_days"),
    [
        (["2026-10-31 23:00:00", "2026-11-01 23:00:00"], ["2026-11-01", "2026-11-02"]),
        (["2026-10-24 22:00:00", "2026-10-25 23:00:00"], ["2026-10-25", "2026-10-26"]),
        (["2026-10-23 23:00:00", "2026-10-25 00:00:00"], ["2026-10-24", "2026-10-25"]),
        (["2026-10-31 18:30:00", "2026-11-01 18:30:00"], ["2026-11-01", "2026-11-02"]),
        (["2026-10-31 11:00:00", "2026-11-01 11:00:00"], ["2026-11-01", "2026-11-02"]),
        (["2026103123", "2026110123"], ["2026-11-01", "2026-11-02"]),
        (["31.10.2026 23:00", "01.11.2026 23:00"], ["2026-11-01", "2026-11-02"]),
        (["2026-10-31T23:00:00"], ["2026-11-01"]),
    ],
)
def test_one_time_after_noon_on_each_day_is_asked_about(cells: list[str], next_days: list[str]) -> None:
    rows = "".join(f"7,{cell},5.5\n" for cell in cells)
    asked = question(f"campaign_id,date,spend\n{rows}")
    assert [(one.flags, str(one.first_day)) for one in asked.readings] == [
        ("--evening-times same_day", evenings(cells[0], evening_times="same_day")[0]),
        ("--evening-times next_day", next_days[0]),
    ]
    assert "an hour of the written day, or the midnight that begins the next day" in str(asked)
    assert evenings(*cells, evening_times="next_day") == next_days


def test_one_time_before_noon_on_each_day_is_the_midnight_of_that_day() -> None:
    for hour in (1, 5, 10):
        assert evenings(f"2026-10-31 {hour:02}:00:00", f"2026-11-01 {hour:02}:00:00") == ["2026-10-31", "2026-11-01"]


def test_column_of_hours_has_no_midnights() -> None:
    text = "campaign_id,date,hour,spend\n7,2026-11-01,{0},1.5\n7,2026-11-02,{0},1.5\n"
    for hour in (5, 23):
        assert "the hour" in read(text.format(hour)).warnings[0]


@pytest.mark.parametrize(
    "cell",
    [
        "2026-11-13 00:00 - 2026-11-13 23:59",
        "2026-11-13 - 2026-11-13",
        "13.11.2026 bis 13.11.2026",
        "2026年11月13日～2026年11月13日",
        '"Nov 13, 2026 12:00 AM - Nov 13, 2026 11:59 PM"',
    ],
)
def test_a_range_within_one_day_is_that_day(cell: str) -> None:
    reading = read(f"Campaign ID,Time period,Cost\n7,{cell},5.5\n")
    assert units(reading) == expected({("7", "2026-11-13"): "5.5"})


def test_an_unknown_platform_is_asked_after_the_order_of_days_and_in_one_line() -> None:
    asked = question("Campaign ID,Day,Cost\n7,03/06/2026,1.50\n", None)
    assert [one.flags for one in asked.readings] == ["--day-order day_first", "--day-order month_first"]
    assert [one.sum_micros for one in asked.readings] == [{"": 1_500_000}] * 2
    assert [str(one.first_day) for one in asked.readings] == ["2026-06-03", "2026-03-06"]
    assert "say --platform NAME" in str(asked)
    platform = question("Campaign ID,Day,Cost\n7,03/06/2026,1.50\n", None, day_order="day_first")
    assert "--platform NAME, with one of google_ads, microsoft_ads" in str(platform)
