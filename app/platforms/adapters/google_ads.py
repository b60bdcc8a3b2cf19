"""The adapter of Google Ads and its REST interface: `googleAds:searchStream`, `campaigns:mutate`."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from app.platforms import http
from app.platforms.adapters import google_login
from app.platforms.adapters.ids import is_id, not_an_id
from app.platforms.adapters.shapes import object_in, objects_in, text_in
from app.platforms.http import Answer
from app.platforms.protocol import (
    Account,
    AccountFacts,
    Change,
    Changed,
    DaySpend,
    HourSpend,
    Limited,
    LoginFailed,
    Outcomes,
    PlatformError,
    Refused,
    Unanswered,
)
from domain.errors import InvalidValue
from domain.hours import HOURS_A_DAY
from domain.periods import ONE_DAY, local_day
from domain.reconcile import Confirmed
from domain.zones import time_zone
from runtime import clock
from runtime.settings import settings

DESCRIBE: Final = (
    "SELECT customer.id, customer.descriptive_name, customer.currency_code, customer.time_zone FROM customer"
)
SPEND: Final = (
    "SELECT campaign.id, segments.date, metrics.cost_micros FROM campaign "
    "WHERE segments.date BETWEEN '{first_day}' AND '{last_day}'"
)
HOURS: Final = SPEND.replace("segments.date,", "segments.date, segments.hour,")
STATUSES: Final = "SELECT campaign.id, campaign.status FROM campaign"

CHANGES: Final = (
    "SELECT change_event.campaign, change_event.change_date_time, change_event.user_email, change_event.client_type, "
    "change_event.changed_fields, change_event.new_resource FROM change_event "
    "WHERE change_event.change_date_time >= '{since:%Y-%m-%d %H:%M:%S}' "
    "AND change_event.change_date_time <= '{until}' AND change_event.change_resource_type = 'CAMPAIGN' "
    "AND change_event.campaign IN ({campaigns}) ORDER BY change_event.change_date_time DESC LIMIT 10000"
)
"""The newest changes first. Google requires both ends of the time, in the last 30 days, and a limit up to 10,000."""

WORDS: Final = {"ENABLED": Confirmed.ENABLED, "PAUSED": Confirmed.PAUSED, "REMOVED": Confirmed.REMOVED}
SENT_WORDS: Final = {status: word for word, status in WORDS.items()}

DEFAULT_WAIT_SECONDS: Final = 900.0
"""Wait in seconds after a used-up quota if the answer does not say how long."""

MESSAGE_LENGTH: Final = 300
INTEGER: Final = re.compile(r"-?[0-9]{1,19}")


class GoogleAds:
    """The adapter of Google Ads. Each query counts as one operation of Google's quota, each changed campaign as one."""

    changes_a_request = 1_000
    has_hours = True

    @property
    def operations_a_day(self) -> int:
        """The operations in 24 hours that Google's access level allows: SPENDGATE_GOOGLE_ADS_OPERATIONS_A_DAY."""
        return settings().google_ads_operations_a_day

    def take_usage(self, _account_id: str) -> None:
        """Returns None: Spendgate counts the used operations itself, in `platform_operations`."""

    def describe(self, account: Account) -> AccountFacts:
        """The account's name, time zone and currency. Raises PlatformError, such as Refused for an unknown account."""
        customers = [object_in(row, "customer") for row in _search(account, DESCRIBE)]
        if not customers:
            raise Refused(f"Google Ads has no account with the id {account.account_id} for this login")
        found = customers[0]
        return AccountFacts(text_in(found, "descriptiveName"), _text(found, "timeZone"), _text(found, "currencyCode"))

    def read_spend(self, account: Account, first_day: date, last_day: date) -> list[DaySpend]:
        """The cost of each campaign and day that has any; Google leaves out days without cost."""
        rows = _search(account, SPEND.format(first_day=first_day, last_day=last_day))
        return [_day_spend(row) for row in rows]

    def read_hours(self, account: Account, first_day: date, last_day: date) -> list[HourSpend]:
        """The cost of each campaign and hour of the account's zone that has any."""
        rows = _search(account, HOURS.format(first_day=first_day, last_day=last_day))
        return [HourSpend(*_day_spend(row)[:2], _hour(row), _day_spend(row).micros) for row in rows]

    def read_statuses(self, account: Account) -> dict[str, Confirmed]:
        """The status of every campaign, also of removed ones, by campaign id."""
        found = (object_in(row, "campaign") for row in _search(account, STATUSES))
        return {_text(one, "id"): WORDS.get(text_in(one, "status"), Confirmed.UNKNOWN) for one in found}

    def set_status(self, account: Account, changes: Sequence[Change]) -> Outcomes:
        """Sets statuses in one `campaigns:mutate` with partial failure, so that one wrong campaign stops no other.

        Returns the outcome of each change, by campaign id.
        """
        refused = {change.external_id: not_an_id("Google Ads") for change in changes if not is_id(change.external_id)}
        changes = [change for change in changes if change.external_id not in refused]
        if not changes:
            return refused
        customer = _customer(account)
        operations = [
            {
                "updateMask": "status",
                "update": {
                    "resourceName": _resource_name(account, change),
                    "status": SENT_WORDS[change.status],
                },
            }
            for change in changes
        ]
        body = {"operations": operations, "partialFailure": True}
        content = _post(account, f"customers/{customer}/campaigns:mutate", body, changes_something=True)
        return refused | _outcomes(changes, content)

    def who_changed(self, account: Account, changes: Sequence[Change], since: datetime) -> dict[str, Changed]:
        """The newest change to each of these statuses after `since`, by campaign id.

        `by` is a person's mail address, else the kind of program. Google reports a change within 3 minutes.
        """
        zone = time_zone(account.time_zone or "UTC")
        wanted = {_resource_name(account, change): change for change in changes if is_id(change.external_id)}
        if not wanted:
            return {}
        names = ", ".join(f"'{name}'" for name in wanted)
        until = local_day(clock.now(), zone) + ONE_DAY
        query = CHANGES.format(since=since.astimezone(zone), until=until, campaigns=names)
        found: dict[str, Changed] = {}
        for event in (object_in(row, "changeEvent") for row in _search(account, query)):
            change = wanted.get(text_in(event, "campaign"))
            status = text_in(object_in(object_in(event, "newResource"), "campaign"), "status")
            if change is not None and WORDS.get(status) is change.status and "status" in _changed_fields(event):
                made = Changed(text_in(event, "userEmail") or _client(event), _changed_at(event, zone))
                found.setdefault(change.external_id, made)
        return found


def _changed_at(event: dict[str, Any], zone: ZoneInfo) -> datetime:
    """The moment of a change, which Google writes by the wall clock of the account's zone.

    Raises Unanswered without one.
    """
    try:
        return datetime.fromisoformat(_text(event, "changeDateTime")).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _other_form("the time of a change") from None


def _changed_fields(event: dict[str, Any]) -> list[str]:
    return str(event.get("changedFields", "")).split(",")


def _client(event: dict[str, Any]) -> str:
    """The kind of program that made a change: `GOOGLE_ADS_SCRIPTS` is `google ads scripts`."""
    return str(event.get("clientType", "unknown")).replace("_", " ").lower()


def _outcomes(changes: Sequence[Change], content: Any) -> dict[str, PlatformError | None]:
    """The error of each change, None if it was done. One without result or error is left out: it may be applied."""
    results = objects_in(content, "results") if isinstance(content, dict) else []
    failures = {index: text for index, text in _failures(content) if index is not None}
    outcomes: dict[str, PlatformError | None] = {}
    for index, change in enumerate(changes):
        if index < len(results) and results[index].get("resourceName"):
            outcomes[change.external_id] = None
        elif index in failures:
            outcomes[change.external_id] = Refused(f"Google Ads refused it: {failures[index]}")
    return outcomes


def _failures(content: Any) -> Iterator[tuple[int | None, str]]:
    """The index of the failed operation (None: of no operation) and the message of each error of a partial failure."""
    failure = object_in(content, "partialFailureError") if isinstance(content, dict) else {}
    for error in _errors(failure):
        path = objects_in(object_in(error, "location"), "fieldPathElements")
        indexes = [text_in(one, "index") or "0" for one in path if one.get("fieldName") == "operations"]
        index = int(indexes[0]) if indexes and INTEGER.fullmatch(indexes[0]) else None
        yield index, str(error.get("message") or "no reason given")[:MESSAGE_LENGTH]


def _errors(status: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for detail in objects_in(status, "details"):
        yield from objects_in(detail, "errors")


def _search(account: Account, query: str) -> Iterator[dict[str, Any]]:
    """Sends a query and yields its rows. Google answers one JSON array of batches, of which the last may be an error.

    Raises PlatformError for an error and for an answer in another form.
    """
    batches = _post(account, f"customers/{_customer(account)}/googleAds:searchStream", {"query": query})
    if not isinstance(batches, list):
        raise _other_form("the list of batches")
    for batch in batches:
        rows = batch.get("results", []) if isinstance(batch, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise _other_form("the rows of a batch")
        yield from rows


def _day_spend(row: dict[str, Any]) -> DaySpend:
    # Google writes 64-bit integers as texts and leaves out zeros.
    metrics = {"costMicros": "0", **object_in(row, "metrics")}
    micros = text_in(metrics, "costMicros")
    if not isinstance(row.get("metrics", {}), dict) or not INTEGER.fullmatch(micros):
        raise _other_form("the cost of a row")
    try:
        day = date.fromisoformat(text_in(object_in(row, "segments"), "date"))
    except ValueError:
        raise _other_form("the day of a row") from None
    return DaySpend(_text(object_in(row, "campaign"), "id"), day, int(micros))


def _hour(row: dict[str, Any]) -> int:
    hour = object_in(row, "segments").get("hour", 0)
    if not isinstance(hour, int) or not 0 <= hour < HOURS_A_DAY:
        raise _other_form("the hour of a row")
    return hour


def _text(fields: dict[str, Any], name: str) -> str:
    value = text_in(fields, name)
    if not value:
        raise Unanswered(f"Google Ads answered without {name}", may_be_applied=False)
    return value


def _other_form(part: str) -> Unanswered:
    return Unanswered(f"Google Ads answered without {part} in the documented form", may_be_applied=False)


def _customer(account: Account) -> str:
    return _digits(account.account_id.replace("-", ""))


def _resource_name(account: Account, change: Change) -> str:
    return f"customers/{_customer(account)}/campaigns/{_digits(change.external_id)}"


def _digits(text: str) -> str:
    """Returns the id. Raises InvalidValue for anything but digits, which could change the request's path."""
    if not is_id(text):
        raise InvalidValue("account_id", f"{text!r} is not an id of Google Ads, which has digits only")
    return text


def _post(account: Account, path: str, body: dict[str, Any], *, changes_something: bool = False) -> Any:
    """Sends a request and returns the decoded answer; renews a refused access token once.

    Raises PlatformError; with `changes_something` an error without an answer says `may_be_applied`.
    """
    read = settings()
    url = f"{read.google_ads_url}/{read.google_ads_version}/{path}"
    for is_last in (False, True):
        headers = {"Authorization": f"Bearer {google_login.tokens.token(account)}"}
        manager = account.options.get("login_customer_id") or account.credentials.get("login_customer_id")
        if manager:
            headers["login-customer-id"] = _digits(manager.replace("-", ""))
        answer = http.send("POST", url, headers, json=body)
        if answer.status == 401:
            google_login.tokens.forget(account)
            if not is_last:
                continue
        if answer.status == 200 and answer.content is not None and _error_in(answer.content) is None:
            return answer.content
        raise _error(account, answer, changes_something=changes_something)
    raise AssertionError("the second answer returns or raises")


def _error(account: Account, answer: Answer, *, changes_something: bool) -> PlatformError:
    status = _error_in(answer.content) or {}
    in_stream = status.get("code")
    code = in_stream if answer.status == 200 and isinstance(in_stream, int) else answer.status
    details = list(_errors(status))
    messages = [str(one.get("message", "")) for one in details] or [str(status.get("message", ""))]
    words = account.credentials.hide_in("; ".join(filter(None, messages)))[:MESSAGE_LENGTH] or "no reason given"
    text = f"Google Ads answered {code}: {words}"
    if code == 429 or status.get("status") == "RESOURCE_EXHAUSTED":
        return _limited(text, answer, details)
    if code == 401:
        return LoginFailed(text)
    if code >= 500 or code < 400:
        return Unanswered(text, may_be_applied=changes_something)
    return Refused(text)


def _error_in(content: Any) -> dict[str, Any] | None:
    """The error in an answer, also one that ends a stream of batches; None if there is none."""
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, dict) and "error" in part:
            return object_in(part, "error") or {"message": text_in(part, "error")}
    return None


def _limited(text: str, answer: Answer, details: Sequence[dict[str, Any]]) -> Limited:
    quotas = [object_in(object_in(one, "details"), "quotaErrorDetails") for one in details]
    delays = [_seconds(text_in(quota, "retryDelay")) for quota in quotas]
    delays.append(_seconds(answer.headers.get("retry-after", "")))
    scopes = {text_in(quota, "rateScope") for quota in quotas}
    return Limited(text, max(delays) or DEFAULT_WAIT_SECONDS, for_all="ACCOUNT" not in scopes)


def _seconds(text: str) -> float:
    """The seconds of a text such as `40591s` or `120`, a fraction rounded up; 0 for anything else."""
    match = re.fullmatch(r"([0-9]{1,7})(\.[0-9]*)?s?", text)
    return float(match[1]) + bool(match[2]) if match else 0.0
