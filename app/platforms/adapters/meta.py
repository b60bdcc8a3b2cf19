"""The adapter of Meta and its Graph API: account facts, `insights`, `campaigns`, and batches of status changes."""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final

from app.platforms import http
from app.platforms.adapters import graph
from app.platforms.adapters.ids import is_id, not_an_id
from app.platforms.adapters.shapes import text_in
from app.platforms.protocol import (
    Account,
    AccountFacts,
    Change,
    Changed,
    DaySpend,
    HourSpend,
    Outcomes,
    PlatformError,
    Unanswered,
)
from domain.errors import InvalidValue
from domain.inputs.reasons import InvalidInput
from domain.inputs.values import instant_of
from domain.money import exact_micros, whole_micros
from domain.periods import ONE_DAY
from domain.reconcile import Confirmed
from runtime.settings import settings

LIVE: Final = ("ACTIVE", "PAUSED", "IN_PROCESS", "WITH_ISSUES", "ARCHIVED")
"""The statuses by which Meta's `campaigns` is asked to list campaigns. It refuses a request that also has DELETED."""

WITH_SPEND: Final = (*LIVE, "DELETED")
"""The statuses of campaigns whose spend is read: without the filter, `insights` leaves deleted campaigns out."""

WORDS: Final = {
    "ACTIVE": Confirmed.ENABLED,
    "PAUSED": Confirmed.PAUSED,
    "ARCHIVED": Confirmed.REMOVED,
    "DELETED": Confirmed.REMOVED,
}
SENT_WORDS: Final = {Confirmed.ENABLED: "ACTIVE", Confirmed.PAUSED: "PAUSED"}

STATUS: Final = "effective_status"
ROWS_A_PAGE: Final = "500"
DEADLINES_OF_SPEND: Final = 10
"""Longest time for all pages of an answer about spend, in deadlines of one request.

Must be less than DEADLINES_A_READ in `app/platforms/pace.py`, after which the claim of the read ends.
"""

BY_HOURS: Final = "hourly_stats_aggregated_by_advertiser_time_zone"
HOUR: Final = re.compile(r"([01][0-9]|2[0-3]):00:00 - \1:59:59")
STATUS_CHANGED: Final = "update_campaign_run_status"
AMOUNT: Final = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,20})?")


class Meta:
    """The adapter of Meta. Each change in a batch counts as one request of Meta's limits."""

    changes_a_request = 50
    has_hours = True
    operations_a_day = None

    def take_usage(self, account_id: str) -> int | None:
        """The used percent of the account's limits, by the newest answer since the last call; None if none had it."""
        return graph.newest_usages.pop(account_id, None)

    def describe(self, account: Account) -> AccountFacts:
        """The account's name, time zone and currency."""
        found = graph.get(account, _node(account), {"fields": "name,timezone_name,currency"})
        return AccountFacts(str(found.get("name") or ""), _text(found, "timezone_name"), _text(found, "currency"))

    def read_spend(self, account: Account, first_day: date, last_day: date) -> list[DaySpend]:
        """The spend of each campaign and day that has any, also of archived and deleted campaigns.

        Meta writes spend as a decimal text in whole currency units, whatever the currency's smallest unit is.
        """
        return [
            DaySpend(_text(row, "campaign_id"), _day(row), _micros(row))
            for row in _insights(account, first_day, last_day, {})
        ]

    def read_hours(self, account: Account, first_day: date, last_day: date) -> list[HourSpend]:
        """The spend of each campaign and hour of the account's zone that has any."""
        rows = _insights(account, first_day, last_day, {"breakdowns": json.dumps([BY_HOURS])})
        return [HourSpend(_text(row, "campaign_id"), _day(row), _hour(row), _micros(row)) for row in rows]

    def read_statuses(self, account: Account) -> dict[str, Confirmed]:
        """The status of every campaign, by campaign id; deleted ones are missing, as if they did not exist.

        The status that people set counts, since `effective_status` also says things that Spendgate cannot change. A
        pause that Meta is still processing is not confirmed.
        """
        params = {
            "fields": f"id,status,{STATUS}",
            STATUS: json.dumps(LIVE),
            "limit": ROWS_A_PAGE,
        }
        seconds = settings().platform_deadline_seconds
        found = graph.rows(account, f"{_node(account)}/campaigns", params, seconds=seconds)
        return {_text(one, "id"): _status(one) for one in found}

    def set_status(self, account: Account, changes: Sequence[Change]) -> Outcomes:
        """Sets statuses in one batch, in which each change has an answer of its own; returns the outcome of each."""
        refused = {change.external_id: not_an_id("Meta") for change in changes if not is_id(change.external_id)}
        changes = [change for change in changes if change.external_id not in refused]
        if not changes:
            return refused
        items = [
            {
                "method": "POST",
                "relative_url": _digits(change.external_id),
                "body": f"status={SENT_WORDS[change.status]}",
            }
            for change in changes
        ]
        answers, headers = graph.batch(account, items)
        outcomes = zip(changes, answers, strict=False)
        return refused | {change.external_id: _outcome(account, answer, headers) for change, answer in outcomes}

    def who_changed(self, account: Account, changes: Sequence[Change], since: datetime) -> dict[str, Changed]:
        """The newest change to each of these statuses after `since`, by campaign id, from the account's activities."""
        params = {
            "fields": "event_time,event_type,object_id,actor_name,application_name,extra_data",
            "since": str(int(since.timestamp())),
            "limit": ROWS_A_PAGE,
        }
        seconds = settings().platform_deadline_seconds
        wanted = {change.external_id: change.status for change in changes}
        found: dict[str, Changed] = {}
        for event in graph.rows(account, f"{_node(account)}/activities", params, seconds=seconds):
            name, at = event.get("object_id"), _event_time(event)
            if not isinstance(name, str) or at is None or at < since or event.get("event_type") != STATUS_CHANGED:
                continue
            if name in wanted and _new_status(event) is wanted[name] and (name not in found or found[name].at < at):
                found[name] = Changed(str(event.get("actor_name") or event.get("application_name") or "unknown"), at)
        return found


def _event_time(event: dict[str, Any]) -> datetime | None:
    try:
        return instant_of("event_time", event.get("event_time"))
    except InvalidInput:
        return None


def _new_status(event: dict[str, Any]) -> Confirmed | None:
    """The status that an activity ended in; None for any other status, such as `Pending process`."""
    extra = http.decoded(event.get("extra_data") or "{}")
    word = str(extra.get("new_value")).lower() if isinstance(extra, dict) else ""
    return {"active": Confirmed.ENABLED, "inactive": Confirmed.PAUSED, "paused": Confirmed.PAUSED}.get(word)


def _outcome(account: Account, answer: Any, headers: Any) -> PlatformError | None:
    """The error of one change of a batch; None if it was done."""
    if not isinstance(answer, dict):
        return Unanswered("Meta gave no answer to this change in time", may_be_applied=True)
    content = http.decoded(answer.get("body") or "null")
    status = answer.get("code")
    if status == 200 and isinstance(content, dict) and content.get("success") is True:
        return None
    return graph.error_of(account, status if isinstance(status, int) else 500, content, headers, changes_something=True)


def _insights(account: Account, first_day: date, last_day: date, params: dict[str, str]) -> list[dict[str, Any]]:
    """Reads the rows of campaigns and days; reads a range of days with too many rows for Meta in halves.

    Raises PlatformError, such as TooMuchData if one day has too many rows.
    """
    try:
        return list(_insights_at_once(account, first_day, last_day, params))
    except graph.TooMuchData:
        if first_day == last_day:
            raise
    middle = first_day + (last_day - first_day) // 2
    return [
        *_insights(account, first_day, middle, params),
        *_insights(account, middle + ONE_DAY, last_day, params),
    ]


def _insights_at_once(
    account: Account, first_day: date, last_day: date, params: dict[str, str]
) -> Iterator[dict[str, Any]]:
    asked = {
        "level": "campaign",
        "fields": "campaign_id,spend",
        "time_increment": "1",
        "time_range": json.dumps({"since": first_day.isoformat(), "until": last_day.isoformat()}),
        "filtering": json.dumps([{"field": "campaign.effective_status", "operator": "IN", "value": WITH_SPEND}]),
        "limit": ROWS_A_PAGE,
        **params,
    }
    seconds = DEADLINES_OF_SPEND * settings().platform_deadline_seconds
    return graph.rows(account, f"{_node(account)}/insights", asked, seconds=seconds)


def _status(campaign: dict[str, Any]) -> Confirmed:
    status = WORDS.get(text_in(campaign, "status"), Confirmed.UNKNOWN)
    if status is Confirmed.PAUSED and campaign.get(STATUS) == "IN_PROCESS":
        return Confirmed.UNKNOWN
    return status


def _day(row: dict[str, Any]) -> date:
    try:
        day = date.fromisoformat(_text(row, "date_start"))
    except ValueError:
        raise _other_form("date_start") from None
    if row.get("date_stop") != day.isoformat():
        raise _other_form("date_stop")
    return day


def _hour(row: dict[str, Any]) -> int:
    match = HOUR.fullmatch(_text(row, BY_HOURS))
    if match is None:
        raise _other_form(BY_HOURS)
    return int(match[1])


def _micros(row: dict[str, Any]) -> int:
    """The micros of a row's spend, which Meta writes in currency units as a decimal text.

    Raises Unanswered for another form.
    """
    text = str(row.get("spend"))
    if not AMOUNT.fullmatch(text):
        raise _other_form("spend")
    try:
        return whole_micros(exact_micros(text))
    except InvalidValue:
        raise _other_form("spend") from None


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise Unanswered(f"Meta answered without {name}", may_be_applied=False)
    return value


def _other_form(name: str) -> Unanswered:
    return Unanswered(f"Meta answered with a row without {name} in the documented form", may_be_applied=False)


def _node(account: Account) -> str:
    return f"act_{_digits(account.account_id.removeprefix('act_'))}"


def _digits(text: str) -> str:
    """Returns the id, to be put into a URL. Raises InvalidValue for anything but digits."""
    if not is_id(text):
        raise InvalidValue("account", f"{text!r} is not an id of Meta: expected digits only")
    return text
