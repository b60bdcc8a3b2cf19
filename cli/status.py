"""`spendgate status|explain`: which campaigns serve, and why one does or does not."""

from typing import Annotated

import typer
from rich.markup import escape

from app.explanations import Explained, explained
from app.platforms.seen import in_a_line, summarized
from cli.output import AsJson, console, money, print_json, print_rows, release_text
from db.engine import snapshot
from db.repository.reading import overview
from domain.errors import InvalidValue
from domain.holds import hold_in_words, in_words
from domain.inputs.campaign_names import CampaignKey
from domain.platforms import canonical_or_lower
from runtime import clock

SHOWN_ROWS = 20


def status(as_json: AsJson = False) -> None:
    """Show how many campaigns are active, the connected ad platforms, and the latest status changes."""
    with snapshot() as connection:
        tally, changes = overview.tally(connection), overview.status_changes(connection, SHOWN_ROWS)
        platforms = summarized(connection, clock.now())
    if as_json:
        print_json({"campaigns": tally, "platforms": platforms and platforms.fields(), "status_changes": changes})
        return
    console.print(f"campaigns: {tally.get('active', 0)} active, {tally.get('inactive', 0)} inactive")
    if platforms is not None:
        console.print(f"ad platform accounts: {in_a_line(platforms)}", highlight=False)
    rows = [
        {
            "at": f"{change['changed_at']:%d %b %H:%M:%S}",
            "campaign": f"{change['campaign']} ({change['campaign_id']})",
            "brand": change["brand"],
            "now": change["to_status"],
            "because": in_words(change["holds_after"]) or "no hold",
        }
        for change in changes
    ]
    print_rows("Latest status changes (times in UTC)", rows, empty="No campaign has changed its status yet.")


def explain_campaign(
    campaign: Annotated[
        str, typer.Argument(help="The campaign's id, or platform:external_id as in google_ads:9935249409.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show why a campaign serves or not: its holds with their figures, and when it can serve again."""
    with snapshot() as connection:
        answer = explained(connection, _campaign_key(campaign), clock.now())
    if as_json:
        print_json(answer.fields())
    else:
        _print_explanation(answer)


def _campaign_key(text: str) -> CampaignKey:
    platform, separator, external_id = text.partition(":")
    if separator:
        return canonical_or_lower(platform), external_id
    if not text.isdecimal():
        raise InvalidValue("campaign", f"{text!r} is neither an id nor platform:external_id")
    return int(text)


def _print_explanation(explained: Explained) -> None:
    account, explanation = explained.account, explained.explanation
    zone = account.time_zone
    colour = "green" if not explanation.holds else "red"
    named = f"{escape(explained.name)} (campaign {account.campaign_id})"
    console.print(f"{named} is [{colour}]{explanation.effective_status}[/{colour}]", highlight=False)
    if explained.progress is not None:
        console.print(
            f"enforcement of its brand: [yellow]{explained.progress.in_words()}[/yellow];"
            f" this campaign is {explained.stored_status} now"
        )
    if explained.on_platform is not None:
        console.print(escape(explained.on_platform["words"]), highlight=False)
    rows = [
        {
            "because": hold_in_words(hold.hold),
            "spent": money(hold.spent_micros, account.currency),
            "limit": money(hold.limit_micros, account.currency),
            "lifts": release_text(hold.lifts_at, [hold.hold], zone),
        }
        for hold in explanation.holds
    ]
    if rows:
        print_rows("Holds", rows, empty="")
        verb = "it" if explanation.serves_at is None else "it can serve again:"
        console.print(f"{verb} [bold]{release_text(explanation.serves_at, explanation.lasting, zone)}[/bold]")
