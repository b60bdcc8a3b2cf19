"""Arguments and options of `spendgate import`."""

from pathlib import Path
from typing import Annotated

import typer

from domain.platforms import PLATFORMS

File = Annotated[
    Path,
    typer.Argument(
        exists=True,
        dir_okay=False,
        help="A report of spend by campaign and day: CSV, XLSX, XLS, ODS, JSON lines, zip, gz.",
    ),
]
Platform = Annotated[
    str | None,
    typer.Option(help=f"The ad platform: {', '.join(PLATFORMS)}, or any other name. Default: read from the file."),
]
CampaignColumn = Annotated[str | None, typer.Option(help="The heading of the column of the platform's campaign id.")]
NameColumn = Annotated[str | None, typer.Option(help="The heading of the column of the campaign's name.")]
DayColumn = Annotated[
    str | None, typer.Option("--day-column", "--date-column", help="The heading of the column of the day.")
]
SpendColumn = Annotated[str | None, typer.Option(help="The heading of the column of spend.")]
CurrencyColumn = Annotated[str | None, typer.Option(help="The heading of the column of the currency.")]
AccountColumn = Annotated[str | None, typer.Option(help="The heading of the column of the platform's account id.")]
Unit = Annotated[str | None, typer.Option(help="The unit of the spend: currency, cents or micros.")]
Decimal = Annotated[str | None, typer.Option(help="The decimal sign: point or comma.")]
DayOrder = Annotated[str | None, typer.Option(help="The order of dates: day_first as 25/11, or month_first as 11/25.")]
SumRows = Annotated[
    str | None,
    typer.Option(
        help="How to count rows that may be sums of others, such as rows without a device: "
        "sums (counted once) or parts (added up)."
    ),
]
EveningTimes = Annotated[
    str | None,
    typer.Option(
        help="For a file whose days are times after noon, such as 2026-11-25 22:00: same_day counts such a row on "
        "25 November; next_day reads it as the midnight, written in UTC, that begins 26 November."
    ),
]
Encoding = Annotated[str | None, typer.Option(help="The text's encoding, such as cp1252. Default: read from the file.")]
Sheet = Annotated[str | None, typer.Option(help="The name of the workbook's sheet.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        help="When the figures were true, ISO 8601 with zone. Default: read from the file, else its modification time."
    ),
]
NameAsId = Annotated[bool, typer.Option("--name-as-id", help="The file has no campaign ids: use names as ids.")]
Delta = Annotated[
    bool,
    typer.Option(
        "--delta", help="Add the amounts to the known totals instead of replacing them; each file counts once."
    ),
]
KeepDuplicates = Annotated[
    bool, typer.Option("--keep-duplicates", help="Count a campaign's day twice if the file repeats its rows.")
]
Complete = Annotated[
    bool | None,
    typer.Option(
        "--complete/--incomplete",
        help="The file has every campaign's day of its account and range: set missing days to zero.",
    ),
]
CreateCampaigns = Annotated[bool, typer.Option("--create-campaigns", help="Create unknown campaigns.")]
Brand = Annotated[
    str | None, typer.Option(help="With --create-campaigns: the brand's name. The brand is created if there is none.")
]
TimeZone = Annotated[
    str | None, typer.Option(help="The IANA time zone of a created brand. Default: the file's, if it names one.")
]
Currency = Annotated[
    str | None,
    typer.Option(help="Import only rows in this currency; a created brand gets it too. Default: the file's."),
]
Account = Annotated[
    str | None, typer.Option(help="The platform's id of the account that the file reports. Default: the file's.")
]
Skipped = Annotated[
    Path | None, typer.Option(help="The file to write the rows left out to. Default: beside the report.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the content of the file and what it would change; change nothing.")
]
