"""Platforms' CSV exports, read exactly."""

import io
from datetime import date, datetime

import pytest

from app.imports.exports import (
    Export,
    Unit,
    columns_for,
    read_export,
)
from app.imports.imports import create_missing, import_totals, payloads
from domain.errors import InvalidValue
from tests.world import UNIT, World

HEADER = "campaign_id,date,spend\n"
DAY = date(2026, 6, 17)


def read(
    text: str | bytes, platform: str = "meta_ads", *, unit: Unit | None = None, spend: str | None = None
) -> Export:
    data = text if isinstance(text, bytes) else text.encode()
    return read_export(io.BytesIO(data), columns_for(platform, unit=unit, spend=spend))


def test_sums_the_parts_of_a_day_exactly_and_rounds_once() -> None:
    export = read(HEADER + "7,2026-06-17,0.0000004\n7,2026-06-17,0.0000004\n7,2026-06-17,0.1\n8,2026-06-17,0.2\n")
    assert export.totals == {("7", DAY): 100_001, ("8", DAY): 200_000}
    assert export.rows == 4


def test_finds_the_header_below_a_preamble() -> None:
    text = (
        "Campaign performance\n\n01.06.2026 - 30.06.2026\nCampaign ID,Day,Amount Spent\n7,2026-06-17,1.5\nTotal,,1.5\n"
    )
    export = read(text)
    assert export.totals == {("7", DAY): 1_500_000}
    assert [(row.line, row.reason.split(":")[0]) for row in export.bad_rows] == [(6, "campaign")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_reads_any_of_the_usual_delimiters(delimiter: str) -> None:
    text = HEADER.replace(",", delimiter) + delimiter.join(["7", "2026-06-17", "1.5"]) + "\n"
    assert read(text).totals == {("7", DAY): 1_500_000}


def test_a_name_full_of_commas_does_not_hide_the_delimiter() -> None:
    text = "campaign_id;date;spend;campaign_name\n7;2026-06-17;1.5;shoes, hats, coats, belts, socks\n"
    assert read(text).totals == {("7", DAY): 1_500_000}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_reads_unicode_however_it_is_encoded(encoding: str) -> None:
    export = read(("campaign_id,date,spend,name\r\n7,2026-06-17,1,Größe\r\n").encode(encoding))
    assert export.totals == {("7", DAY): UNIT}
    assert export.names == {"7": "Größe"}


@pytest.mark.parametrize(
    "written", ["2026-06-17", "20260617", "2026/06/17", "17.06.2026", "2026-06-17T09:00", "2026-06-17 23:00:00"]
)
def test_reads_a_day_in_each_form_that_cannot_be_misread(written: str) -> None:
    assert read(f"{HEADER}7,{written},1\n").totals == {("7", DAY): UNIT}


def test_reads_thousands_and_signs_of_money() -> None:
    export = read(f'{HEADER}7,2026-06-17,"$1,234.50"\n7,2026-06-17,-0.5\n')
    assert export.totals == {("7", DAY): 1_234 * UNIT}


def test_does_not_total_a_day_of_which_a_part_cannot_be_read() -> None:
    export = read(f"{HEADER}7,2026-06-17,1\n7,2026-06-17,n/a\n7,2026-06-16,2\n8,2026-06-17,4\n")
    assert export.totals == {("7", date(2026, 6, 16)): 2 * UNIT, ("8", DAY): 4 * UNIT}
    assert export.incomplete == {("7", DAY)}


def test_names_unreadable_rows_by_their_line() -> None:
    text = f"{HEADER}7,2026-06-17,1\n\n7,17 June,1\n,2026-06-17,1\n7,2026-06-16,inf\n7\n7,2026-06-15,1e99\n"
    export = read(text)
    assert [(row.line, row.reason.split(":")[0]) for row in export.bad_rows] == [
        (4, "date"),
        (5, "campaign"),
        (6, "amount"),
        (7, "date"),
        (8, "amount"),
    ]


def test_counts_the_lines_within_quotes() -> None:
    text = 'campaign_id,date,spend,name\n7,2026-06-17,1,"two\nlines"\n7,never,1,one\n'
    assert [row.line for row in read(text).bad_rows] == [4]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "campaign_id,date\n7,2026-06-17\n", "\0\0\0"])
def test_refuses_a_file_without_the_columns_and_says_which(text: str) -> None:
    with pytest.raises(
        InvalidValue, match=r"needs columns campaign_id or .*, date or .*, spend or amount_spent"
    ) as error:
        read(text)
    assert error.value.field == "file"


def test_says_what_the_file_has_instead() -> None:
    with pytest.raises(InvalidValue, match="it has clicks, views"):
        read("clicks,views\n1,2\n")


@pytest.mark.parametrize(
    ("platform", "header", "unit", "micros"),
    [
        ("google_ads", "campaign.id,segments.date,metrics.cost_micros", None, 5),
        ("google", "campaign_id,date,cost", None, 5 * UNIT),
        ("google_ads", "campaign_id,date,cost_micros", "currency", 5 * UNIT),
        ("google_ads", "campaign_id,date,cost", "micros", 5),
        ("snapchat_ads", "ad_id,date,spend", None, 5),
        ("snapchat_ads", "ad_id,date,spend", "currency", 5 * UNIT),
        ("unheard_of", "external_id,day,amount", None, 5 * UNIT),
    ],
)
def test_infers_the_unit_unless_it_is_told(platform: str, header: str, unit: Unit | None, micros: int) -> None:
    assert read(f"{header}\n7,2026-06-17,5\n", platform, unit=unit).totals == {("7", DAY): micros}


def test_takes_the_column_it_is_told() -> None:
    text = "campaign_id,date,spend,Gross Cost\n7,2026-06-17,1,2\n"
    assert read(text, spend="gross cost").totals == {("7", DAY): 2 * UNIT}


def test_passes_each_campaigns_currency_on() -> None:
    one = read("campaign_id,date,spend,currency\n7,2026-06-17,1,usd\n")
    two = read("campaign_id,date,spend,currency\n7,2026-06-17,1,USD\n8,2026-06-17,1,EUR\n")
    at = datetime.fromisoformat("2026-06-17T12:00:00+00:00")
    assert [sent["currency"] for sent in payloads(one, "meta_ads", at)] == ["USD"]
    assert [sent["currency"] for sent in payloads(two, "meta_ads", at)] == ["USD", "EUR"]


def test_amounts_of_two_currencies_are_not_summed() -> None:
    export = read("campaign_id,date,spend,currency\n7,2026-06-17,10,USD\n7,2026-06-17,900,JPY\n")
    assert export.totals == {}
    assert [(row.line, row.reason.split(":")[0]) for row in export.bad_rows] == [(3, "currency")]


def test_a_brand_is_not_made_of_campaigns_in_two_currencies(database: str) -> None:
    export = read("campaign_id,date,spend,currency\n7,2026-06-17,1,USD\n8,2026-06-17,1,EUR\n")
    with pytest.raises(InvalidValue, match="a brand has one currency"):
        create_missing(export, "meta_ads", "Shop", "UTC", "test")


@pytest.mark.parametrize("campaign", ["1.23E+10", "12345.0", "Total", "Grand total: 3 campaigns"])
def test_what_a_spreadsheet_rounded_or_summed_is_no_campaign(campaign: str) -> None:
    export = read(f"campaign_id,date,spend\n{campaign},2026-06-17,1\n")
    assert (export.totals, [row.reason.split(":")[0] for row in export.bad_rows]) == ({}, ["campaign"])


@pytest.mark.parametrize("moment", ["2026-01-02T03:00:00Z", "2026-01-02 03:00:00+0000", "2026-01-02T03:00-05:00"])
def test_a_moment_with_its_distance_from_utc_is_no_day(moment: str) -> None:
    export = read(f"campaign_id,date,spend\n7,{moment},1\n")
    assert [row.reason.split(":")[0] for row in export.bad_rows] == ["date"]


def test_a_decimal_comma_is_not_read_as_thousands() -> None:
    export = read("campaign_id;date;spend\n7;2026-06-17;0,500\n")
    assert [row.reason.split(":")[0] for row in export.bad_rows] == ["amount"]


def test_a_day_beyond_all_range_is_told_and_the_others_are_taken() -> None:
    export = read("campaign_id,date,spend\n7,2026-06-17,900000000\n7,2026-06-17,900000000\n7,2026-06-18,1\n")
    assert list(export.totals.values()) == [1_000_000]
    assert [row.line for row in export.bad_rows] == [0]


def test_makes_the_missing_campaigns_and_their_brand_once(world: World, noon: datetime) -> None:
    world.set_clock(noon)
    export = read("campaign_id,date,spend,name,currency\n7,2026-06-17,1,Shoes,EUR\n8,2026-06-17,2,Hats,EUR\n")
    made = [create_missing(export, "meta_ads", "Shop", "Europe/Berlin", "test") for _ in range(2)]
    assert made == [2, 0]
    counted = list(import_totals(payloads(export, "meta_ads", noon)))
    assert [(one.taken, one.known, one.rejections) for one in counted] == [(2, 0, ())]
    brand = world.one("SELECT name, time_zone, currency FROM brands")
    assert brand == {"name": "Shop", "time_zone": "Europe/Berlin", "currency": "EUR"}
    names = world.rows("SELECT name, external_id FROM campaigns ORDER BY id")
    assert [(row["name"], row["external_id"]) for row in names] == [("Shoes", "7"), ("Hats", "8")]
    world.verify()


def test_a_name_with_what_hides_is_read_without_it_and_one_of_nothing_visible_is_the_id() -> None:
    text = "campaign_id,campaign_name,date,spend\n7,Spring\u200f sale,2026-06-17,1\n8,\u200b,2026-06-17,1\n"
    assert read(text).names == {"7": "Spring  sale", "8": "8"}
