"""`spendgate account` and `spendgate campaign move`: accounts on ad platforms, and campaigns moved to another brand."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any

import typer
from rich.markup import escape

from app.edits import moves
from app.edits.moves import Move, Moved
from cli.catalog.consent import edit_once_agreed
from cli.catalog.options import CampaignArgument, edit
from cli.output import AsJson, console, list_rows, print_json, print_result
from db.engine import committed, snapshot
from db.repository.catalog import platform_accounts
from domain.edits.fields import checked_external_name
from domain.platforms import canonical_or_lower

accounts = typer.Typer(
    no_args_is_help=True, help="Manage advertisers' accounts on ad platforms and the brands bound to them."
)

NO_ACCOUNTS = "There are no accounts yet. A brand gets a default account with its first campaign on a platform."


@accounts.command("add")
def add_account(
    platform: Annotated[str, typer.Argument(help="The ad platform, such as google_ads.")],
    account_id: Annotated[str, typer.Argument(help="The account's id on the platform.")],
    brand: Annotated[
        list[int] | None, typer.Option(help="The id of a brand to bind to the account; repeat the option for several.")
    ] = None,
    name: Annotated[str, typer.Option(help="The name people know the account by.")] = "",
    as_json: AsJson = False,
) -> None:
    """Create an account, bind brands to it so that it may have their campaigns, and print its id."""
    made = committed(lambda connection: moves.add_account(connection, platform, account_id, name, brand or [], edit()))
    named = f"{escape(canonical_or_lower(platform))} {escape(account_id)}"
    print_result({"account": made}, f"account [bold]{made}[/bold] {named}", as_json=as_json)


@accounts.command("bind")
def bind_account(
    account: Annotated[int, typer.Argument(help="The account's id in `spendgate account list`.")],
    brand: Annotated[int, typer.Option(help="The brand's id.")],
) -> None:
    """Bind a brand to an account, so that the account may have the brand's campaigns."""
    committed(lambda connection: moves.bind_account(connection, account, brand, edit()))
    console.print(f"account {account} is bound to brand {brand}")


@accounts.command("identify")
def identify_account(
    account: Annotated[int, typer.Argument(help="The id of a brand's default account in `spendgate account list`.")],
    account_id: Annotated[str, typer.Argument(help="The account's id on the platform.")],
) -> None:
    """Set the platform's id of a brand's default account, so that spend can name the account."""
    checked_external_name("account_id", account_id)
    committed(lambda connection: platform_accounts.identify(connection, account, account_id, edit()))
    console.print(f"account {account} is {escape(account_id)}")


@accounts.command("list")
def list_accounts(as_json: AsJson = False) -> None:
    """List the accounts with the brands bound to them."""
    with snapshot() as connection:
        rows = platform_accounts.accounts(connection)
    list_rows("Accounts", rows, _account_row, empty=NO_ACCOUNTS, as_json=as_json)


def _account_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "platform": row["platform"],
        "account": row["account_id"] or f"default of brand {row['default_of_brand_id']}",
        "name": row["name"],
        "brands": row["brand_ids"],
    }


def move_campaign(
    campaign_id: CampaignArgument,
    to_brand: Annotated[
        int, typer.Option(help="The id of the brand in which the new campaign with this external id is created.")
    ],
    from_day: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="The first day that counts for the new campaign. "
            "Default: today, or the day after the campaign's last spend if later.",
        ),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the campaign's budgets and schedule to the new campaign.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Make the change without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move the campaign's external id to a new campaign in another brand, which gets the spend from --from-day on.

    Earlier spend stays with the old campaign. If that day is in the future and the old campaign serves until then, its
    flight ends the day before; otherwise it is archived.
    """
    asked = Move(campaign_id, to_brand, from_day and from_day.date(), copy)
    if dry_run:
        _print_move(moves.move(asked, edit(), dry_run=True), as_json=as_json, done=False)
        return
    show = partial(_print_move, as_json=False, done=False)
    moved = edit_once_agreed(lambda agree: moves.move(asked, edit(), agree=agree), yes=yes, show=show)
    _print_move(moved, as_json=as_json, done=True)


def _print_move(moved: Moved, *, as_json: bool, done: bool) -> None:
    if as_json:
        print_json(moved.fields() | {"dry_run": not done})
        return
    for line in moved.lines(is_done=done):
        console.print(line, highlight=False)
    if not done:
        console.print("[dim]nothing was changed yet[/dim]")
