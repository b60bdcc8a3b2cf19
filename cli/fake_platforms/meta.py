"""Meta's Graph API as far as Spendgate uses it: account, pages of campaigns and insights, batches of changes."""

import hashlib
import hmac
import json
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cli.fake_platforms.state import FakeCampaign, FakePlatform

WORDS = {"enabled": "ACTIVE", "paused": "PAUSED", "removed": "DELETED"}
STATUS_OF = {word: status for status, word in WORDS.items()}
TOO_MUCH_DATA = 1_487_534


class Refusal(Exception):
    """Raised to answer a request with an error of the Graph API: its code, subcode and message."""

    def __init__(self, code: int, message: str, subcode: int | None = None) -> None:
        super().__init__(message)
        self.code, self.subcode = code, subcode


def is_logged_in(platform: FakePlatform, request: Request, params: dict[str, str]) -> bool:
    """Whether the request has the token, in a header or a parameter, and the proof of the app's secret."""
    proof = hmac.new(platform.app_secret.encode(), platform.meta_token.encode(), hashlib.sha256).hexdigest()
    is_proven = hmac.compare_digest(params.get("appsecret_proof", ""), proof)
    sent = params.get("access_token") or request.headers.get("authorization", "").removeprefix("Bearer ")
    has_token = sent == platform.meta_token
    return has_token and is_proven and not platform.is_revoked


def account(platform: FakePlatform, params: dict[str, str]) -> dict[str, Any]:
    """The fields of the account that `params` ask for, and its id."""
    known = {"name": "Fake", "currency": platform.currency, "timezone_name": platform.time_zone}
    fields = {name: value for name, value in known.items() if name in params["fields"].split(",")}
    return fields | {"id": f"act_{platform.account_id}"}


def campaigns(platform: FakePlatform, params: dict[str, str]) -> dict[str, Any]:
    """A page of the campaigns with one of the requested statuses. Raises Refusal if DELETED is one of these."""
    asked = json.loads(params["effective_status"])
    if "DELETED" in asked:
        raise Refusal(100, "Cannot request for deleted objects in this edge")
    found = [_campaign(platform, one) for one in platform.campaigns.values()]
    return _page(platform, "campaigns", params, [one for one in found if one["effective_status"] in asked])


def _campaign(platform: FakePlatform, campaign: FakeCampaign) -> dict[str, Any]:
    status = WORDS[campaign.status]
    is_processed = campaign.id not in platform.in_process
    return {"id": campaign.id, "status": status, "effective_status": status if is_processed else "IN_PROCESS"}


def insights(platform: FakePlatform, params: dict[str, str]) -> dict[str, Any]:
    """A page of spend by campaign and day, or hour; leaves out rows without cost.

    Raises Refusal for other levels than campaign and day, and for more than `most_days` days.
    """
    days = json.loads(params["time_range"])
    first, last = date.fromisoformat(days["since"]), date.fromisoformat(days["until"])
    if (params["level"], params["time_increment"]) != ("campaign", "1"):
        raise Refusal(100, "The fake platform knows spend by campaign and day")
    if platform.most_days is not None and (last - first).days >= platform.most_days:
        raise Refusal(100, "Please reduce the amount of data you're asking for", TOO_MUCH_DATA)
    statuses = _statuses_of(params.get("filtering"))
    rows = [
        {**row, "campaign_id": one.id}
        for one in platform.campaigns.values()
        if WORDS[one.status] in statuses
        for row in _spend(one, first, last, json.loads(params.get("breakdowns", "[]")))
    ]
    return _page(platform, "insights", params, rows)


def _statuses_of(filtering: str | None) -> Sequence[str]:
    """The statuses of the campaigns to show: those of the filter, or without one all but DELETED."""
    filters = json.loads(filtering or "[]")
    asked = [one["value"] for one in filters if (one["field"], one["operator"]) == ("campaign.effective_status", "IN")]
    return asked[0] if asked else ["ACTIVE", "PAUSED", "IN_PROCESS", "WITH_ISSUES"]


def _spend(campaign: FakeCampaign, first: date, last: date, breakdowns: list[str]) -> list[dict[str, str]]:
    figures: list[tuple[date, int, dict[str, str]]] = []
    if not breakdowns:
        figures += [(day, micros, {}) for day, micros in sorted(campaign.spend.items())]
    else:
        figures += [
            (day, micros, {breakdowns[0]: f"{hour:02}:00:00 - {hour:02}:59:59"})
            for (day, hour), micros in sorted(campaign.hours.items())
        ]
    return [
        {"spend": units(micros), "date_start": day.isoformat(), "date_stop": day.isoformat(), **more}
        for day, micros, more in figures
        if first <= day <= last and micros
    ]


def units(micros: int) -> str:
    """Micros as a decimal text in whole currency units, with no more decimals than needed: 12340000 is `12.34`."""
    whole, rest = divmod(abs(micros), 1_000_000)
    sign = "-" if micros < 0 else ""
    return f"{sign}{whole}.{rest:06d}".rstrip("0").rstrip(".")


def activities(platform: FakePlatform, params: dict[str, str]) -> dict[str, Any]:
    """A page of status changes from the time `since` in `params` on, newest first. A pause or removal has two rows."""
    since = datetime.fromtimestamp(int(params["since"]), UTC)
    rows = [
        {
            "event_time": f"{one.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}+0000",
            "event_type": "update_campaign_run_status",
            "object_id": one.campaign_id,
            "actor_name": one.by,
            "application_name": "Power Editor",
            "extra_data": json.dumps({"old_value": old, "new_value": new, "type": "run_status"}),
        }
        for one in sorted(platform.activities, key=lambda each: each.at, reverse=True)
        for old, new in _steps(one.status)
        if one.at >= since
    ]
    return _page(platform, "activities", params, rows)


def _steps(status: str) -> list[tuple[str, str]]:
    if status == "enabled":
        return [("Inactive", "Active")]
    return [("Pending process", "Inactive"), ("Active", "Pending process")]


def _page(platform: FakePlatform, edge: str, params: dict[str, str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One page of `rows` after the cursor in `params`. Its link to the next page contains the token, as Meta's does."""
    start = int(params.get("after", "cursor0").removeprefix("cursor"))
    end = start + min(int(params.get("limit", "25")), platform.rows_a_page)
    found = rows[start:end]
    cursors = {"before": f"cursor{start}", "after": f"cursor{end}"}
    if not found:
        return {"data": []}
    if end >= len(rows):
        return {"data": found, "paging": {"cursors": cursors}}
    query = urlencode({**params, "access_token": platform.meta_token, "after": cursors["after"]})
    link = f"https://graph.facebook.com/v26.0/act_{platform.account_id}/{edge}?{query}"
    return {"data": found, "paging": {"cursors": cursors, "next": link}}


def batch(platform: FakePlatform, items: list[dict[str, str]]) -> list[dict[str, Any] | None]:
    """Makes a batch of status changes; returns their answers in order, None for campaigns in `platform.unanswered`."""
    with platform.lock:
        answers = [_changed(platform, item) for item in items]
    return [
        None if _campaign_id(item) in platform.unanswered else answer
        for item, answer in zip(items, answers, strict=True)
    ]


def _changed(platform: FakePlatform, item: dict[str, str]) -> dict[str, Any]:
    name = _campaign_id(item)
    campaign = platform.campaigns.get(name)
    if name in platform.limited:
        content = error(80_004, "There have been too many calls to this ad-account.", 2_446_079)
        return {"code": 400, "body": json.dumps(content)}
    if campaign is None or name in platform.refused:
        return {"code": 400, "body": json.dumps(error(100, f"Object with ID '{name}' does not exist"))}
    status = parse_qs(item["body"])["status"][0]
    platform.set_by_api(name, STATUS_OF[status])
    return {"code": 200, "body": json.dumps({"success": True})}


def _campaign_id(item: dict[str, str]) -> str:
    return item["relative_url"].strip("/")


def error(code: int, message: str, subcode: int | None = None, *, is_transient: bool = False) -> dict[str, Any]:
    """The JSON of an error of the Graph API. Its `type` is derived from `code`."""
    kind = "OAuthException" if code in {4, 10, 17, 190} or 200 <= code < 300 else "GraphMethodException"
    fields = {"message": message, "type": kind, "code": code, "fbtrace_id": "fake"}
    more = {} if subcode is None else {"error_subcode": subcode}
    return {"error": fields | more | ({"is_transient": True} if is_transient else {})}


def refused(refusal: Refusal) -> Response:
    """The response (400) to a request that raised Refusal."""
    return JSONResponse(error(refusal.code, str(refusal), refusal.subcode), 400)


def other_account() -> Response:
    """The answer to a request for an account that the token has no access to."""
    message = "(#200) Ad account owner has NOT granted ads_management or ads_read permission"
    return JSONResponse(error(200, message), 403)


def not_logged_in(platform: FakePlatform) -> Response:
    """The answer to an expired or revoked token. Repeats the token, as Meta does with a malformed one."""
    message = f"Error validating access token: the session of {platform.meta_token} has expired or was revoked"
    return JSONResponse(error(190, message, 463), 401)


def limited(platform: FakePlatform, seconds: int) -> Response:
    """The answer to a request over the limit; a header has the minutes after which more requests are allowed."""
    minutes = math.ceil(seconds / 60)
    content = error(80_004, "There have been too many calls to this ad-account. Wait a bit and try again.", 2_446_079)
    return JSONResponse(content, 400, headers=usage(platform, percent=100, minutes=minutes))


def failed() -> Response:
    """The answer to a request at which the server fails."""
    return JSONResponse(error(2, "Service temporarily unavailable", is_transient=True), 500)


def usage(platform: FakePlatform, percent: int, minutes: int = 0) -> dict[str, str]:
    """The headers about limits: the used part in percent, and the minutes after which more requests are allowed."""
    use = {"type": "ads_management", "call_count": percent, "total_cputime": 1, "total_time": 1}
    wait = {"estimated_time_to_regain_access": minutes, "ads_api_access_tier": "standard_access"}
    return {
        "X-Business-Use-Case-Usage": json.dumps({platform.account_id: [use | wait]}),
        "X-App-Usage": json.dumps({"call_count": 1, "total_cputime": 1, "total_time": 1}),
    }
