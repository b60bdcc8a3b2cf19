"""Explains why a campaign serves or not: the same fields for the command line and for HTTP."""

from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from app.platforms import seen
from db.repository.catalog import catalog
from db.repository.enforcement import passes
from db.repository.enforcement.facts import load
from db.repository.ledger.named_campaigns import find_campaigns
from domain.enforcement import Explanation, HoldExplanation, explain
from domain.errors import NotFound
from domain.holds import hold_in_words
from domain.inputs.campaign_names import CampaignKey, KnownCampaign, owner_on
from domain.inputs.reasons import InvalidInput, Reason
from domain.passes import Progress
from domain.periods import local_day


class Explained(NamedTuple):
    """The rules' explanation of a campaign's status now, and the effective status that enforcement last stored.

    `progress`: how far the enforcement of its brand is; None unless the brand is too large for one transaction and is
    being enforced in parts now. `on_platform`: desired and confirmed status on its ad platform; None if its account is
    not connected or it has no external id.
    """

    name: str
    account: KnownCampaign
    explanation: Explanation
    stored_status: str
    progress: Progress | None
    on_platform: dict[str, Any] | None = None

    def fields(self) -> dict[str, Any]:
        """The explanation as fields: amounts in micros, days as dates, times as aware UTC."""
        return {
            "campaign_id": self.account.campaign_id,
            "name": self.name,
            "brand_id": self.account.brand_id,
            "at": self.explanation.at,
            "effective_status": self.explanation.effective_status,
            "stored_status": self.stored_status,
            "serves_at": self.explanation.serves_at,
            "holds": [_hold(hold) for hold in self.explanation.holds],
            "enforcement": self.progress and progress_fields(self.progress),
            "on_platform": self.on_platform,
        }


def explained(connection: Connection, key: CampaignKey, at: datetime, *, shows_account: bool = True) -> Explained:
    """Explains a campaign at `at`. Raises InvalidValue if the key matches no campaign, or more than one.

    Without `shows_account` errors of its platform account are left out, because they may name other brands.
    """
    try:
        account = owner_on(key, find_campaigns(connection, [key]), lambda zone: local_day(at, zone))
    except InvalidInput as refused:
        named = key if isinstance(key, int) else ":".join(key)
        is_unknown = refused.reason is Reason.UNKNOWN_CAMPAIGN
        raise NotFound("campaign", f"there is no campaign {named}" if is_unknown else refused.detail) from None
    state = load(connection, [account.brand_id], at, [account.campaign_id])[0]
    progress = passes.progress(connection, [account.brand_id]).get(account.brand_id)
    name = str(catalog.campaign(connection, account.campaign_id)["name"])
    on_platform = seen.on_platforms(connection, [account.campaign_id], at, shows_account=shows_account)
    return Explained(
        name,
        account,
        explain(state.row.campaign, at),
        state.row.effective_status,
        progress,
        on_platform.get(account.campaign_id),
    )


def progress_fields(progress: Progress) -> dict[str, Any]:
    """The progress of the enforcement of a large brand in parts, as fields; `words` is a sentence for people."""
    return {
        "direction": progress.direction,
        "done": progress.done,
        "total": progress.total,
        "words": progress.in_words(),
    }


def _hold(hold: HoldExplanation) -> dict[str, Any]:
    window = hold.window
    return {
        "hold": hold.hold,
        "because": hold_in_words(hold.hold),
        "lifts_at": hold.lifts_at,
        "spent_micros": hold.spent_micros,
        "limit_micros": hold.limit_micros,
        "window_first_day": window and _first_day(window.first_day),
        "window_end_day": window and window.end_day,
    }


def _first_day(day: date) -> date | None:
    """The window's first day; None for a lifetime budget, whose window has no first day (`date.min`)."""
    return None if day == date.min else day
