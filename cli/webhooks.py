"""`spendgate webhook`: endpoints that get status changes and notices, their attempts, and messages sent again."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from app.notices import webhooks
from app.notices.webhooks import Range
from cli.catalog.options import edit
from cli.output import FOUND_EXIT, AsJson, console, list_rows, print_result
from db.engine import transaction
from db.repository.notices import attempts, endpoints
from domain.edits.words import counted
from domain.notices.message_types import MessageType

webhook = typer.Typer(no_args_is_help=True, help="Manage webhook endpoints, which get status changes and notices.")

NO_ENDPOINTS = "There is no webhook endpoint yet. Add one: spendgate webhook add https://example.com/spendgate"
NO_ATTEMPTS = "Nothing was sent to this endpoint yet. Send a test message: spendgate webhook test {}"

EndpointArgument = Annotated[
    int, typer.Argument(metavar="ENDPOINT", help="The endpoint's id in `spendgate webhook list`.")
]


@webhook.command("add")
def add_endpoint(
    url: Annotated[str, typer.Argument(help="The https address that gets the messages.")],
    types: Annotated[
        list[MessageType] | None,
        typer.Option("--type", help="A type of message to send; repeat the option for several. Default: all."),
    ] = None,
    brand: Annotated[int | None, typer.Option(help="The id of the only brand to send. Default: all brands.")] = None,
    description: Annotated[str, typer.Option(help="A short description of the endpoint.")] = "",
    as_json: AsJson = False,
) -> None:
    """Add an endpoint and print its secret once. It gets messages about changes from now on."""
    made, secret = webhooks.add(url, types or [], description, brand, edit())
    line = f"endpoint [bold]{made}[/bold]; its secret, shown only once:\n{escape(secret)}"
    print_result({"endpoint": made, "secret": secret}, line, as_json=as_json)


@webhook.command("list")
def list_endpoints(as_json: AsJson = False) -> None:
    """List the endpoints with their types and whether they fail. Secrets are not shown."""
    with transaction() as connection:
        rows = [webhooks.listed(row) for row in endpoints.endpoints(connection)]
    list_rows("Webhook endpoints", rows, _endpoint_row, empty=NO_ENDPOINTS, as_json=as_json)


def _endpoint_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "url": row["url"],
        "brand": row["brand_id"],
        "types": row["types"],
        "description": row["description"],
        "state": "enabled" if row["enabled"] else f"disabled: {row['disabled_because']}",
        "failing since": row["failing_since"],
    }


@webhook.command("test")
def send_test(endpoint: EndpointArgument, as_json: AsJson = False) -> None:
    """Send a test message now and print the answer. Exit code 1 unless the endpoint answers 2xx."""
    attempt = webhooks.send_test(endpoint)
    answer = "no answer" if attempt.status is None else f"answered {attempt.status}"
    line = f"{answer} after {attempt.duration_ms} ms" + (f": {escape(attempt.error)}" if attempt.error else "")
    print_result(attempt._asdict(), line, as_json=as_json)
    if attempt.error:
        raise typer.Exit(FOUND_EXIT)


@webhook.command("attempts")
def list_attempts(
    endpoint: EndpointArgument,
    delivery: Annotated[int | None, typer.Option(help="Only the attempts of this delivery.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most this many attempts.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the attempts, newest first, with status, duration and the beginning of the answer."""
    with transaction() as connection:
        endpoints.required_endpoint(connection, endpoint)
        rows = attempts.attempts(connection, endpoint, delivery_id=delivery, limit=limit)
    empty = NO_ATTEMPTS.format(endpoint) if delivery is None else "There is no attempt of this delivery."
    list_rows("Attempts", rows, _attempt_row, empty=empty, as_json=as_json)


def _attempt_row(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": row["attempted_at"],
        "delivery": row["delivery_id"],
        "type": row["type"],
        "campaign": row["campaign_id"],
        "state": row["state"],
        "status": row["status"],
        "ms": row["duration_ms"],
        "error": row["error"],
        "answer": row["answer"],
    }


@webhook.command("resend")
def resend(
    endpoint: EndpointArgument,
    delivery: Annotated[int | None, typer.Option(help="The id of one delivery, or of the first of a range.")] = None,
    until: Annotated[
        int | None, typer.Option(help="With --delivery: the id of the last delivery to send again.")
    ] = None,
    since_change: Annotated[
        int | None,
        typer.Option(
            min=0, help="The id of a status change: send the present status of every campaign that changed after it."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send one delivery or a range of them again, or, with --since-change, the status of each campaign changed since.

    A campaign's status is sent as it is now.
    """
    count = webhooks.resend(endpoint, Range(delivery, until, since_change))
    print_result({"endpoint": endpoint, "messages": count}, f"sends {counted(count, 'message')} again", as_json=as_json)


@webhook.command("rotate")
def rotate(endpoint: EndpointArgument, as_json: AsJson = False) -> None:
    """Make a new secret and print it once. For 24 hours messages are signed with the old one too."""
    secret = webhooks.rotate(endpoint, edit())
    line = f"the new secret of endpoint {endpoint}, shown only once:\n{escape(secret)}"
    print_result({"endpoint": endpoint, "secret": secret}, line, as_json=as_json)


@webhook.command("enable")
def enable(endpoint: EndpointArgument) -> None:
    """Enable an endpoint. It then gets the newest status of each campaign whose changes it missed."""
    webhooks.change(endpoint, edit(), enabled=True)
    console.print(f"endpoint {endpoint} is enabled")


@webhook.command("disable")
def disable(endpoint: EndpointArgument) -> None:
    """Disable an endpoint. Its messages wait until it is enabled again."""
    webhooks.change(endpoint, edit(), enabled=False)
    console.print(f"endpoint {endpoint} is disabled")


@webhook.command("remove")
def remove(endpoint: EndpointArgument) -> None:
    """Remove an endpoint with its messages and attempts."""
    webhooks.remove(endpoint, edit())
    console.print(f"endpoint {endpoint} is removed")
