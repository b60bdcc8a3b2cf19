"""`spendgate platform`: connects accounts on ad platforms, to read their spend and to send statuses to them."""

import sys
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.markup import escape

from app.edits.preview import agree_to_all
from app.platforms import connecting, modes, statuses
from app.platforms.connecting import NewConnection
from app.platforms.credentials import KEPT, MAX_BYTES, secrets_in
from app.platforms.protocol import PlatformError
from app.platforms.seen import Summary, age, states_in_words, summarized
from cli.catalog import consent
from cli.catalog.consent import DryRun, Yes
from cli.catalog.options import edit
from cli.output import FOUND_EXIT, AsJson, console, print_json, print_result, print_rows
from db.engine import snapshot
from db.repository.platforms import connections, seen
from domain.errors import InvalidValue
from domain.platform_words import account_in_words, length
from domain.platforms import label
from domain.reconcile import Action, Mode
from runtime import clock

platforms = typer.Typer(
    no_args_is_help=True, help="Connect accounts on ad platforms, to read their spend and to pause campaigns there."
)

NO_CONNECTIONS = "No account is connected. Connect one: spendgate platform add PLATFORM ACCOUNT_ID --credentials REF"

NONE: Final = Summary({}, 0, None, {}, {})

AccountArgument = Annotated[int, typer.Argument(help="The account's id in `spendgate platform list`.")]


@platforms.command("add")
def add_connection(
    platform: Annotated[str, typer.Argument(help="The ad platform, such as google_ads.")],
    account_id: Annotated[str, typer.Argument(help="The account's id on the platform.")],
    credentials: Annotated[
        str,
        typer.Option(
            help="Where the JSON with the secrets is: env:NAME, file:/path, or kept (encrypted in the database)."
        ),
    ],
    brand: Annotated[
        list[int] | None, typer.Option(help="The id of a brand in the account; repeat the option for several.")
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="off, shadow (only reads), pause_only or full (pauses and enables). Default: shadow for a new account."
        ),
    ] = None,
    login_customer_id: Annotated[
        str | None, typer.Option(help="The manager account of Google Ads through which the login has access.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Connect an account, or change its connection, and print its id."""
    options = {"login_customer_id": login_customer_id} if login_customer_id else {}
    new = NewConnection(platform, account_id, brand or [], mode, credentials, options)
    made = connecting.add(new, edit())
    with snapshot() as connection:
        stored = connections.required_connection(connection, made)
    step = f"credentials {made} --stdin" if credentials == KEPT else f"check {made}"
    line = f"account [bold]{made}[/bold] is connected with mode {stored.mode}; next: spendgate platform {step}"
    print_result({"account": made, "mode": stored.mode}, line, as_json=as_json)


@platforms.command("list")
def list_connections(
    limit: Annotated[int, typer.Option(min=1, help="The largest number of accounts to list.")] = 200,
    as_json: AsJson = False,
) -> None:
    """List the connected accounts, failing ones first, with mode, state, last read and unconfirmed pauses."""
    at = clock.now()
    with snapshot() as connection:
        rows = seen.accounts(connection, at, limit=limit)
    if as_json:
        print_json([{name: value for name, value in row.items() if not name.startswith("all_")} for row in rows])
        return
    print_rows("Connected accounts", [_row(row, at) for row in rows], empty=NO_CONNECTIONS)
    for row in rows:
        words = account_in_words(row["state"], row["last_error"], row["wait_until"] or row["pauses_wait_until"])
        if words:
            console.print(f"account {row['id']}: {escape(words)}", highlight=False)


def _row(row: dict[str, Any], at: datetime) -> dict[str, Any]:
    oldest, since_read = age(row["oldest_unconfirmed_at"], at), age(row["read_at"], at)
    waits = None if oldest is None else f"{row['unconfirmed_pauses']}, oldest {length(oldest)}"
    return {
        "id": row["id"],
        "account": f"{label(row['platform'])} {row['account_id']}",
        "mode": row["mode"],
        "state": row["state"],
        "read": since_read and f"{length(since_read)} ago",
        "unconfirmed": waits,
    }


@platforms.command("status")
def show_status(as_json: AsJson = False) -> None:
    """Show the oldest pause that its platform has not confirmed, the accounts by state, and the quotas left."""
    with snapshot() as connection:
        found = summarized(connection, clock.now())
    if as_json:
        print_json((found or NONE).fields())
    elif found is None:
        console.print(NO_CONNECTIONS, highlight=False)
    else:
        oldest = found.oldest_unconfirmed_pause
        console.print(f"oldest unconfirmed pause: [bold]{length(oldest) if oldest else 'none'}[/bold]", highlight=False)
        console.print(f"accounts: {states_in_words(found)}")
        for platform, operations in found.quota_left.items():
            console.print(f"{label(platform)}: {operations:,} operations left in 24 hours", highlight=False)
        for platform, percent in found.usage.items():
            console.print(f"{label(platform)}: an account has used {percent} % of its quota", highlight=False)


@platforms.command("mode")
def set_mode(
    account: AccountArgument,
    mode: Annotated[
        Mode,
        typer.Argument(
            help="off (reads nothing), shadow (only reads), pause_only, or full (pauses, and enables what it paused)."
        ),
    ],
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Change an account's mode.

    If the new mode lets Spendgate change more, shows how many campaigns it would pause and enable there, and asks.
    """
    changes, author = {"mode": mode.value}, edit()
    if dry_run:
        consent.print_dry_run(modes.previewed(account, changes, author))
        return
    effect = consent.edit_once_agreed(lambda agree: modes.change(account, changes, author, agree), yes=yes)
    console.print(f"account {account}: {escape(effect.sentence(is_done=True))}", highlight=False, soft_wrap=True)


@platforms.command("credentials")
def set_credentials(
    account: AccountArgument,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the JSON object with the secrets from standard input.")
    ] = False,
    reference: Annotated[
        str | None, typer.Option(help="Where the JSON with the secrets is from now on: env:NAME or file:/path.")
    ] = None,
) -> None:
    """Set an account's credentials: kept encrypted from --stdin, or by --reference. They are never shown again."""
    if stdin == (reference is not None):
        raise InvalidValue("--stdin", "give either --stdin or --reference")
    changes: dict[str, Any] = {"credentials": reference}
    if stdin:
        content = sys.stdin.read(MAX_BYTES + 1)
        changes = {"secrets": secrets_in(content, "standard input")}
    modes.change(account, changes, edit(), agree_to_all)
    place = "kept encrypted" if stdin else f"at {escape(reference or '')}"
    console.print(f"the credentials of account {account} are {place}; next: spendgate platform check {account}")


@platforms.command("check")
def check_connection(account: AccountArgument, as_json: AsJson = False) -> None:
    """Log in, read the account and list everything that is missing.

    Exit code 1 if the account's name, time zone and currency could not be read; else 0, also if something is missing.
    """
    found = connecting.check(account)
    if as_json:
        print_json(found.fields())
    else:
        if found.facts:
            facts = ", ".join(found.facts)
            line = f"account {account}: {escape(facts)}; {found.campaigns_there} campaigns there"
            console.print(line, highlight=False)
        for sentence in found.missing:
            console.print(f"[yellow]{escape(sentence)}[/yellow]", highlight=False)
    if found.facts is None:
        raise typer.Exit(FOUND_EXIT)


@platforms.command("remove")
def remove_connection(account: AccountArgument) -> None:
    """Remove an account's connection and its kept credentials. Campaigns that Spendgate paused there stay paused."""
    connecting.remove(account, edit())
    console.print(f"account {account} is no longer connected; campaigns paused there stay paused")


@platforms.command("reconcile")
def reconcile(
    account: AccountArgument,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what mode full would do and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the account's campaigns to their desired statuses now, as its mode allows.

    Lists the campaigns that mode full would still pause or enable.
    """
    try:
        if not dry_run:
            statuses.reconcile_account(account)
        planned = statuses.plan(account)
    except PlatformError as error:
        raise InvalidValue("platform", str(error)) from None
    rows = [row._asdict() for row in planned if row.action is not Action.NONE]
    if as_json:
        print_json({"account": account, "dry_run": dry_run, "campaigns": len(planned), "actions": rows})
    else:
        print_rows("What mode full would do", rows, empty="every campaign has its desired status on the platform")
