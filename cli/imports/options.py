"""Arguments and options of `spendgate import`."""

from pathlib import Path
from typing import Annotated

import typer

from domain.platforms import PLATFORMS

File = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, help="A report of campaigns' days: CSV, XLSX, JSON lines, zip, gz."),
]
Platform = Annotated[
    str | None,
    typer.Option(help=f"Default: what the file says. {', '.join(PLATFORMS)}; any other name will do too."),
]
CampaignColumn = Annotated[str | None, typer.Option(help="The heading of the platform's campaign id.")]
NameColumn = Annotated[str | None, typer.Option(help="The heading of the campaign's name.")]
DayColumn = Annotated[str | None, typer.Option("--day-column", "--date-column", help="The heading of the day.")]
SpendColumn = Annotated[str | None, typer.Option(help="The heading of the money.")]
CurrencyColumn = Annotated[str | None, typer.Option(help="The heading of the currency.")]
AccountColumn = Annotated[str | None, typer.Option(help="The heading of the platform's account id.")]
Unit = Annotated[str | None, typer.Option(help="The money is in currency, cents or micros.")]
Decimal = Annotated[str | None, typer.Option(help="The decimal sign is a point or a comma.")]
DayOrder = Annotated[str | None, typer.Option(help="25/11 is day_first, 11/25 month_first.")]
Encoding = Annotated[str | None, typer.Option(help="The text's encoding, such as cp1252. Default: found.")]
Sheet = Annotated[str | None, typer.Option(help="The workbook's sheet, by name.")]
AsOf = Annotated[
    str | None,
    typer.Option(help="When the figures were true, ISO 8601 with zone. Default: by the file, else its time of change."),
]
NameAsId = Annotated[bool, typer.Option("--name-as-id", help="The file has no campaign ids: use names as ids.")]
Delta = Annotated[
    bool, typer.Option("--delta", help="Add the amounts to the known totals, once a file; replace nothing.")
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
Brand = Annotated[str | None, typer.Option(help="The brand to make them in, by name; made too if there is none.")]
TimeZone = Annotated[
    str | None, typer.Option(help="The IANA zone of a brand that is made. Default: the file's, where it names one.")
]
Currency = Annotated[
    str | None,
    typer.Option(help="Only rows in this currency; also that of a brand that is made. Default: the file's."),
]
Account = Annotated[
    str | None, typer.Option(help="The platform's id of the account that the file is of. Default: the file's.")
]
Skipped = Annotated[Path | None, typer.Option(help="Where to write the rows left out. Default: beside the file.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what the file holds and would change; change nothing.")]
