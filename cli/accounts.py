"""`spendgate account`, `spendgate campaign move`: accounts on platforms, and moves between their brands."""

import sys
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from app.edits import moves
from app.edits.moves import Move, Moved
from cli.catalog import CampaignArgument, edit
from cli.output import AsJson, console, list_rows, print_json, tell
from db.engine import committed, snapshot
from db.repository.catalog import catalog, platform_accounts
from domain.errors import InvalidValue

accounts = typer.Typer(no_args_is_help=True, help="Accounts of advertisers on ad platforms, and the brands they serve.")

NO_ACCOUNTS = "No accounts yet. A brand gets a default account with its first campaign on a platform."


@accounts.command("add")
def add_account(
    platform: Annotated[str, typer.Argument(help="The ad platform, such as google_ads.")],
    account_id: Annotated[str, typer.Argument(help="The platform's id of the account.")],
    brand: Annotated[list[int] | None, typer.Option(help="The id of a brand to bind it to; may be repeated.")] = None,
    name: Annotated[str, typer.Option(help="The name people know the account by.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make an account, bound to the brands whose campaigns it may hold, and print its id."""
    made = committed(lambda connection: moves.add_account(connection, platform, account_id, name, brand or [], edit()))
    tell({"account": made}, f"account [bold]{made}[/bold] {escape(platform)} {escape(account_id)}", as_json=as_json)


@accounts.command("bind")
def bind_account(
    account: Annotated[int, typer.Argument(help="The account's id in `spendgate account list`.")],
    brand: Annotated[int, typer.Option(help="The brand's id.")],
) -> None:
    """Let a brand have campaigns in an account."""
    committed(lambda connection: moves.bind_account(connection, account, brand, edit()))
    console.print(f"account {account} is bound to brand {brand}")


@accounts.command("identify")
def identify_account(
    account: Annotated[int, typer.Argument(help="The id of a brand's default account in `spendgate account list`.")],
    account_id: Annotated[str, typer.Argument(help="The platform's id of it.")],
) -> None:
    """Say which account of the platform a brand's default account is, so that spend may name it."""
    catalog.known_as("account_id", account_id)
    committed(lambda connection: platform_accounts.identify(connection, account, account_id, edit()))
    console.print(f"account {account} is {escape(account_id)}")


@accounts.command("list")
def list_accounts(as_json: AsJson = False) -> None:
    """Every account with the brands it is bound to."""
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
    to_brand: Annotated[int, typer.Option(help="The id of the brand that takes its external id over.")],
    from_day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="First day that counts there. Default: the first without spend here."),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy its budgets and its schedule to the new campaign.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let another brand's new campaign take over this one's external id; what was spent stays where it was counted."""
    asked = Move(campaign_id, to_brand, from_day and from_day.date(), copy)
    rehearsal = moves.move(asked, edit(), dry_run=True)
    if dry_run:
        _tell_move(rehearsal, copies=copy, as_json=as_json, done=False)
        return
    if not yes:
        _tell_move(rehearsal, copies=copy, as_json=False, done=False)
        confirm()
    _tell_move(moves.move(asked, edit()), copies=copy, as_json=as_json, done=True)


def confirm() -> None:
    """Asks whether to go on. Raises InvalidValue where nobody can be asked."""
    if not sys.stdin.isatty():
        raise InvalidValue("--yes", "there is no terminal to ask on; say --yes to do it, or --dry-run to see it")
    typer.confirm("Do it?", abort=True, err=True)


def _tell_move(moved: Moved, *, copies: bool, as_json: bool, done: bool) -> None:
    if as_json:
        print_json(moved.fields() | {"dry_run": not done})
        return
    new = f"campaign {moved.new_campaign_id}" if done else "a new campaign"
    console.print(
        f"{new} of brand {moved.to_brand_id} counts from {moved.from_day} on; what was spent before stays with "
        f"campaign {moved.campaign_id} of brand {moved.from_brand_id}"
    )
    ends = f"ends on {moved.old_ends_on}" if moved.old_ends_on else "is archived"
    console.print(f"campaign {moved.campaign_id} {ends}")
    budgets = f"{moved.copied_budgets} budgets and its schedule are copied"
    console.print(budgets if copies else "budgets and schedule are not copied; --copy does that")
    if not done:
        console.print("[dim]nothing was changed yet[/dim]")
