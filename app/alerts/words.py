"""Alerts in words: one sentence about each, with its figures, and where a person can act on it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from domain.alerts.kinds import FACTS, AlertKind
from domain.platforms import label
from runtime.formats import instant, rounded_money

UNITS: Final = {"daily": "today's", "weekly": "this week's", "monthly": "this month's", "yearly": "this year's"}


def sentence(alert: Mapping[str, Any]) -> str:
    """One sentence about the alert, for pages, messages and programs. `alert`: a row of `alerts.of_ids`."""
    return _SENTENCES[AlertKind(alert["kind"])](alert, alert["figures"])


def advice(alert: Mapping[str, Any]) -> str:
    """A sentence about the steps that a person can take because of the alert."""
    return FACTS[AlertKind(alert["kind"])].advice


def headline(alert: Mapping[str, Any]) -> str:
    """A few words for the title of a message about one alert."""
    percent = f" {alert['threshold']} %" if alert["threshold"] else ""
    resolved = ", resolved" if alert["state"] == "resolved" else ""
    return f"{FACTS[AlertKind(alert['kind'])].name}{percent}{resolved}"


def place(alert: Mapping[str, Any]) -> str:
    """The path of the page on which a person can act on the alert."""
    kind = AlertKind(alert["kind"])
    if kind is AlertKind.BUDGET_THRESHOLD:
        return f"/admin/budgets/edit?pk={alert['budget_id']}"
    if kind is AlertKind.FAILED_IMPORT:
        return "/admin/imports"
    if kind is AlertKind.REJECTED_EVENTS:
        return "/admin/rejected-events/list"
    if kind is AlertKind.OVERSPEND:
        return f"/brands/{alert['brand_id']}/reports"
    if alert["campaign_id"]:
        return f"/campaigns/{alert['campaign_id']}"
    return f"/brands/{alert['brand_id']}" if alert["brand_id"] else "/admin/"


def owner(alert: Mapping[str, Any]) -> str:
    """The name of the campaign or brand that the alert is about; empty if it belongs to none."""
    return str(alert["campaign"] or alert["brand"] or "")


def _budget(alert: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    percent = figures["spent_micros"] * 100 // figures["limit_micros"]
    return f"{owner(alert)} has spent {percent} % of {_which(figures)}: {_amounts(alert, figures)}."


def _overspend(alert: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    beyond = rounded_money(figures["spent_micros"] - figures["limit_micros"], alert["currency"])
    return f"{owner(alert)} has overspent {_which(figures)} by {beyond}: {_amounts(alert, figures)}."


def _which(figures: Mapping[str, Any]) -> str:
    return f"{UNITS[figures['period']]} budget" if figures["period"] in UNITS else "its lifetime budget"


def _amounts(alert: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    spent, limit = (rounded_money(figures[name], alert["currency"]) for name in ("spent_micros", "limit_micros"))
    return f"{spent} of {limit}"


def _spend_stopped(alert: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    longest = figures["longest_hours"]
    usual = f"its longest silence in two weeks was {longest} h" if longest else "it spends in every hour otherwise"
    return f"{owner(alert)} serves but has not spent for {figures['silent_hours']} h; {usual}."


def _stale_feed(alert: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    sender = f"source {figures['source']} has" if figures["source"] else "programs that name no source have"
    silent = f"{figures['silent_hours']} h; the longest silence before was {_longest(figures)}"
    return f"{alert['brand']}: {sender} reported no spend for {silent}."


def _longest(figures: Mapping[str, Any]) -> str:
    return f"{figures['longest_hours']} h" if figures["longest_hours"] else "an hour"


def _held_but_spending(alert: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    return f"{owner(alert)} has been stopped since {_moment(figures['held_since'])} and still spends."


def _unconfirmed(alert: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    since, platform = _moment(figures["since"]), label(figures["platform"])
    return f"{owner(alert)} has had to stop since {since}, and {platform} has not confirmed the pause."


def _overridden(alert: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    who = figures.get("by") or "Another program or a person"
    return f"{who} keeps enabling {owner(alert)} on {label(figures['platform'])}."


def _account_failing(_alert: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    return f"{label(figures['platform'])} account {figures['account']} cannot be read: {figures['error']}."


def _endpoint_failing(_alert: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    if figures.get("ended_because"):
        return f"Webhook endpoint {figures['endpoint']} gets no more messages: {figures['ended_because']}."
    return f"Webhook endpoint {figures['endpoint']} has not accepted messages since {_moment(figures['since'])}."


def _failed_import(_alert: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    return f"{figures['file']} was not imported: {figures['problem'].removesuffix('.')}."


def _rejected(_alert: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    usual = f"in the week before, at most {figures['usual']} in an hour"
    return f"{figures['rejected']} inputs were rejected within an hour; {usual}."


def _moment(value: str) -> str:
    return instant(datetime.fromisoformat(value))


_SENTENCES: Final = {
    AlertKind.UNCONFIRMED_PAUSE: _unconfirmed,
    AlertKind.HELD_BUT_SPENDING: _held_but_spending,
    AlertKind.CAMPAIGN_OVERRIDDEN: _overridden,
    AlertKind.OVERSPEND: _overspend,
    AlertKind.ENDPOINT_FAILING: _endpoint_failing,
    AlertKind.ACCOUNT_FAILING: _account_failing,
    AlertKind.STALE_FEED: _stale_feed,
    AlertKind.SPEND_STOPPED: _spend_stopped,
    AlertKind.BUDGET_THRESHOLD: _budget,
    AlertKind.FAILED_IMPORT: _failed_import,
    AlertKind.REJECTED_EVENTS: _rejected,
}
