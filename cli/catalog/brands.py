"""`spendgate brand`: create and list brands, and set their statuses."""

from typing import Annotated, Any

import typer
from babel.numbers import is_currency
from rich.markup import escape

from app.edits import editing
from cli.catalog.options import edit
from cli.catalog.status_commands import StatusEdit, add_status_commands
from cli.output import AsJson, list_rows, money, print_result
from db.engine import committed, snapshot
from db.repository.reading import overview
from domain.campaigns import ConfiguredStatus
from domain.edits.fields import DEFAULT_CURRENCY, DEFAULT_ZONE, default_notice
from domain.errors import InvalidValue
from runtime import clock

brands = typer.Typer(no_args_is_help=True, help="Manage brands, the clients that own campaigns and budgets.")


NO_BRANDS = "There are no brands yet. Create one: spendgate brand create NAME"


@brands.command("create")
def create_brand(
    name: Annotated[str, typer.Argument(help="The brand's name.")],
    time_zone: Annotated[
        str | None,
        typer.Option(help="IANA time zone, such as America/New_York. Default: UTC. Fixed after the first spend."),
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="ISO 4217 code, such as EUR. Default: USD. Fixed after the first spend.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a brand and print its id."""
    zone, code = time_zone or DEFAULT_ZONE, (currency or DEFAULT_CURRENCY).upper()
    if not is_currency(code):
        raise InvalidValue("currency", f"{currency!r} is not an ISO 4217 code such as USD")
    brand_id = committed(lambda connection: editing.create_brand(connection, name, zone, code, edit()))
    notice = default_notice(zone=time_zone is None, currency=currency is None)
    data = {"brand_id": brand_id} | ({"notice": notice} if notice else {})
    line = f"brand [bold]{brand_id}[/bold] {escape(name)}"
    print_result(data, f"{line}\n[dim]{notice}[/dim]" if notice else line, as_json=as_json)


@brands.command("list")
def list_brands(as_json: AsJson = False) -> None:
    """List the brands with their spend of today and of this month."""
    with snapshot() as connection:
        rows = overview.brands(connection, clock.now())
    list_rows("Brands", rows, _brand_row, empty=NO_BRANDS, as_json=as_json)


def _brand_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "brand": row["name"],
        "time zone": row["time_zone"],
        "status": row["configured_status"],
        "today": money(row["today_micros"], row["currency"]),
        "this month": money(row["month_micros"], row["currency"]),
        "campaigns": f"{row['active_campaigns']} of {row['campaigns']} active",
    }


def _brand_status(brand_id: int, status: ConfiguredStatus) -> StatusEdit:
    change = {"configured_status": status.value}
    return lambda connection: editing.edit_brand(connection, brand_id, change, edit()), brand_id


add_status_commands(brands, "brand", _brand_status)
