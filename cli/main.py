"""`spendgate`: the command line. Exit codes: 0 done, 1 problem found, 2 wrong use, 3 server unreachable, 4 timeout."""

import sys
from typing import Any

import redis
import typer
from dramatiq.errors import BrokerConnectionError
from psycopg.errors import InsufficientPrivilege, LockNotAvailable
from rich.markup import escape
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from typer.core import TyperGroup

from app.ingest.by_brand import BrandsTimedOut
from cli import (
    access,
    checks,
    doctor,
    kept_messages,
    platforms,
    rejected,
    repair,
    reports,
    roles,
    secrets,
    send,
    sequences,
    status,
    webhooks,
)
from cli.alerts import commands as alerts
from cli.catalog import accounts, brand_corrections, brands, budgets, campaigns, schedules
from cli.imports import commands as imports
from cli.imports import history as import_history
from cli.output import BAD_USE_EXIT, UNREACHABLE_EXIT, errors
from cli.service import commands as servers
from cli.service import migrate
from cli.service.waiting import TIMEOUT_EXIT
from db.failures import StaleRead, is_timeout
from domain.errors import InvalidValue
from runtime import logs
from runtime.embedded.placement import EmbeddedError
from runtime.settings import SettingsError, settings

EPILOG = "Exit codes: 0 done · 1 problem found · 2 wrong use or setting · 3 server unreachable · 4 timeout."


class PlainGroup(TyperGroup):
    """A command group whose errors about wrong values leave out the words that the library puts before them."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command. Raises BadParameter without the prefix "Value error"."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    cls=PlainGroup,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    help="Spendgate enforces advertising budgets: it counts each spend event once and pauses or releases campaigns.",
)

SERVICE, SPEND, CHECKS = "Service", "Spend", "Status and checks"
CATALOG, ACCESS, NOTICES = "Brands, campaigns and budgets", "Access", "Notices"

for panel, name, function in (
    (SERVICE, "up", servers.up),
    (SERVICE, "migrate", migrate.migrate),
    (SERVICE, "new-epoch", servers.new_epoch),
    (SERVICE, "doctor", doctor.doctor),
    (SPEND, "import", imports.import_file),
    (SPEND, "send", send.send),
    (SPEND, "replay", kept_messages.replay),
    (SPEND, "sequences", sequences.sequences),
    (CHECKS, "status", status.status),
    (CHECKS, "explain", status.explain_campaign),
    (CHECKS, "report", reports.report),
    (CHECKS, "verify", checks.verify),
    (CHECKS, "repair", repair.repair),
    (CHECKS, "check-campaign-statuses", checks.check_campaign_statuses),
    (CHECKS, "reset-daily-budgets", checks.reset_daily_budgets),
    (CHECKS, "reset-monthly-budgets", checks.reset_monthly_budgets),
    (ACCESS, "create-admin", access.create_admin),
    (ACCESS, "create-api-key", access.create_api_key),
    (ACCESS, "new-encryption-key", access.new_encryption_key),
    (ACCESS, "create-roles", roles.create_roles),
):
    app.command(name, rich_help_panel=panel)(function)

app.add_typer(import_history.imports_app, name="imports", rich_help_panel=SPEND)
app.add_typer(alerts.alerts, name="alerts", rich_help_panel=CHECKS)
app.add_typer(rejected.rejected_app, name="rejected", rich_help_panel=SPEND)
campaigns.campaigns.command("move")(accounts.move_campaign)
brands.brands.command("correct")(brand_corrections.correct_brand)
app.add_typer(brands.brands, name="brand", rich_help_panel=CATALOG)
app.add_typer(accounts.accounts, name="account", rich_help_panel=CATALOG)
app.add_typer(platforms.platforms, name="platform", rich_help_panel=CATALOG)
app.add_typer(campaigns.campaigns, name="campaign", rich_help_panel=CATALOG)
app.add_typer(budgets.budgets, name="budget", rich_help_panel=CATALOG)
app.add_typer(schedules.schedules, name="schedule", rich_help_panel=CATALOG)
app.add_typer(webhooks.webhook, name="webhook", rich_help_panel=NOTICES)
app.add_typer(access.users, name="users", rich_help_panel=ACCESS)
app.add_typer(access.api_keys, name="api-keys", rich_help_panel=ACCESS)
app.add_typer(secrets.secrets, name="secrets", rich_help_panel=ACCESS)


def run() -> None:
    """Runs the command line; reports each expected failure as one line on stderr and an exit code."""
    try:
        logs.configure_for_command()
        app(standalone_mode=True)
    except (SettingsError, InvalidValue, EmbeddedError) as error:
        _fail(_first_line(error), BAD_USE_EXIT)
    except OperationalError as error:
        if is_timeout(error):
            _fail(_lock_message(error), TIMEOUT_EXIT)
        _fail(f"DATABASE_URL: cannot connect to Postgres: {_first_line(error.orig)}", UNREACHABLE_EXIT)
    except StaleRead as error:
        _fail(f"other transactions keep changing the same rows: {error}; run the command again", TIMEOUT_EXIT)
    except (BrokerConnectionError, redis.RedisError) as error:
        variable = "BROKER_URL" if settings().broker_url else "REDIS_URL"
        _fail(f"{variable}: {_first_line(error)}", UNREACHABLE_EXIT)
    except ProgrammingError as error:
        if isinstance(error.orig, InsufficientPrivilege):
            _fail(f"DATABASE_URL: this login lacks a privilege: {_first_line(error.orig)}", BAD_USE_EXIT)
        _fail(f"the tables are of another version: {_first_line(error.orig)}; run `spendgate migrate`", BAD_USE_EXIT)
    except DBAPIError as error:
        _fail(f"Postgres refused the statement: {_first_line(error.orig)}", BAD_USE_EXIT)


def _lock_message(error: OperationalError) -> str:
    """The line for a timeout: whether a lock or a statement timed out, on which brands if known, and what to do."""
    rows, advice = "rows that this command needs", "run the command again"
    if isinstance(error, BrandsTimedOut):
        rows = ", ".join(f"brand {brand_id}" for brand_id in error.brand_ids)
        advice = "the spend was not counted; run the command again, no event is counted twice"
    if isinstance(error.orig, LockNotAvailable):
        reason = f"another transaction has locked {rows}"
    else:
        reason = f"the statement timed out on {rows}"
    return f"{reason}: {advice} ({_first_line(error.orig)})"


def _first_line(error: BaseException | None) -> str:
    line = str(error).strip().partition("\n")[0]
    return "".join(character if character.isprintable() else " " for character in line)


def _fail(message: str, code: int) -> None:
    errors.print(f"[red]{escape(message)}[/red]", highlight=False, soft_wrap=True)
    sys.exit(code)


if __name__ == "__main__":
    run()
