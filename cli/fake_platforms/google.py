"""The API of Google Ads as far as Spendgate uses it: `googleAds:searchStream`, `campaigns:mutate`, and tokens."""

import base64
import json
import re
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cli.fake_platforms.state import FakeCampaign, FakePlatform

WORDS = {"enabled": "ENABLED", "paused": "PAUSED", "removed": "REMOVED"}
STATUS_OF = {word: status for status, word in WORDS.items()}
FAILURE = "type.googleapis.com/google.ads.googleads.v26.errors.GoogleAdsFailure"
TIMES = re.compile(r"change_date_time >= '([^']+)' AND change_event\.change_date_time <= '([^']+)'")
NOT_FOUND = {"mutateError": "RESOURCE_NOT_FOUND"}, "Resource was not found."
CONCURRENT = (
    {"databaseError": "CONCURRENT_MODIFICATION"},
    "Multiple requests were attempting to modify the same resource at once. Retry the request.",
)
DAYS = re.compile(r"segments\.date BETWEEN '([0-9-]+)' AND '([0-9-]+)'")


def search(platform: FakePlatform, query: str) -> list[dict[str, Any]]:
    """The answer to a query: an array of one batch, without `results` if no row matches."""
    customer = f"customers/{platform.account_id}"
    if query.endswith("FROM customer"):
        fields = {"descriptiveName": "Fake", "currencyCode": platform.currency, "timeZone": platform.time_zone}
        rows: list[dict[str, Any]] = [{"customer": {"resourceName": customer, "id": platform.account_id, **fields}}]
    elif "FROM change_event" in query:
        rows = _changes(platform, query)
    else:
        days = DAYS.search(query)
        by_hours = "segments.hour" in query
        rows = _spend(platform, *days.groups(), by_hours=by_hours) if days else _statuses(platform)
    batch = {"fieldMask": ",".join(_selected(query)), "requestId": "fake", "queryResourceConsumption": "1"}
    return [{"results": rows, **batch}] if rows else [batch]


def _selected(query: str) -> list[str]:
    names = query.removeprefix("SELECT ").partition(" FROM ")[0].split(", ")
    return [re.sub(r"_([a-z])", lambda match: match[1].upper(), name) for name in names]


def _statuses(platform: FakePlatform) -> list[dict[str, Any]]:
    return [{"campaign": _campaign(platform, one.id) | {"status": WORDS[one.status]}} for one in _all(platform)]


def _spend(platform: FakePlatform, first_day: str, last_day: str, *, by_hours: bool) -> list[dict[str, Any]]:
    """Rows of spend by campaign and day, or hour. Leaves out rows without cost, as Google does in queries by date."""
    first, last = date.fromisoformat(first_day), date.fromisoformat(last_day)
    with platform.lock:
        spent = [(one.id, *each) for one in _all(platform) for each in (_by_hours(one) if by_hours else _by_days(one))]
    return [
        {
            "campaign": _campaign(platform, campaign_id),
            "metrics": {"costMicros": str(micros)},
            "segments": {"date": day.isoformat(), **hour},
        }
        for campaign_id, day, hour, micros in spent
        if first <= day <= last and micros
    ]


def _by_days(campaign: FakeCampaign) -> list[tuple[date, dict[str, int], int]]:
    return [(day, {}, micros) for day, micros in sorted(campaign.spend.items())]


def _by_hours(campaign: FakeCampaign) -> list[tuple[date, dict[str, int], int]]:
    return [(day, {"hour": hour}, micros) for (day, hour), micros in sorted(campaign.hours.items())]


def _changes(platform: FakePlatform, query: str) -> list[dict[str, Any]]:
    """The status changes of the query's campaigns between its two times, in the account's zone, newest first.

    Raises ValueError for a query without both times or without a limit.
    """
    times = TIMES.search(query)
    if times is None or "LIMIT" not in query:
        raise ValueError("a query for changes needs both ends of its time, and a limit")
    zone = ZoneInfo(platform.time_zone)
    since, until = (datetime.fromisoformat(text).replace(tzinfo=zone) for text in times.groups())
    return [
        {
            "changeEvent": {
                "resourceName": f"customers/{platform.account_id}/changeEvents/{number}",
                "campaign": _campaign(platform, one.campaign_id)["resourceName"],
                "changeDateTime": f"{one.at.astimezone(zone):%Y-%m-%d %H:%M:%S.%f}",
                "userEmail": one.by,
                "clientType": "GOOGLE_ADS_WEB_CLIENT",
                "changedFields": "status",
                "newResource": {"campaign": {"status": WORDS[one.status]}},
            }
        }
        for number, one in sorted(enumerate(platform.activities), key=lambda each: each[1].at, reverse=True)
        if since <= one.at <= until and f"campaigns/{one.campaign_id}'" in query
    ]


def _all(platform: FakePlatform) -> Any:
    return list(platform.campaigns.values())


def _campaign(platform: FakePlatform, campaign_id: str) -> dict[str, Any]:
    return {"resourceName": f"customers/{platform.account_id}/campaigns/{campaign_id}", "id": campaign_id}


def mutate(platform: FakePlatform, body: dict[str, Any]) -> dict[str, Any]:
    """Makes the status changes of the body and returns the answer.

    A refused change gets an empty result, and an error with its index.
    """
    results: list[dict[str, str]] = []
    errors: list[dict[str, Any]] = []
    with platform.lock:
        for index, operation in enumerate(body["operations"]):
            name, status = operation["update"]["resourceName"], operation["update"]["status"]
            campaign = platform.campaigns.get(name.rpartition("/")[2])
            if campaign is None or platform.refuses(campaign.id):
                results.append({})
                is_known = campaign is not None and campaign.id not in platform.refused
                errors.append(_refusal(index, *(CONCURRENT if is_known else NOT_FOUND)))
            else:
                platform.set_by_api(campaign.id, STATUS_OF[status])
                results.append({"resourceName": name})
    answer: dict[str, Any] = {"results": results}
    if errors:
        details = [{"@type": FAILURE, "errors": errors, "requestId": "fake"}]
        answer["partialFailureError"] = {"code": 3, "message": "Multiple errors in 'details'.", "details": details}
    return answer


def _refusal(index: int, code: dict[str, str], message: str) -> dict[str, Any]:
    path = [{"fieldName": "operations", "index": index}, {"fieldName": "update"}]
    return {
        "errorCode": code,
        "message": message,
        "location": {"fieldPathElements": path},
    }


def is_login(platform: FakePlatform, form: dict[str, str]) -> bool:
    """Whether the form of a token request has the refresh token, or an assertion that the service account signed."""
    if platform.is_revoked:
        return False
    if form.get("grant_type") == "refresh_token":
        return form.get("refresh_token") == platform.refresh_token
    signed, _, signature = form.get("assertion", "").rpartition(".")
    key = serialization.load_pem_public_key(platform.service_account_key.encode())
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    claims = json.loads(_decoded(signed.partition(".")[2]))
    has_scope = str(claims["scope"]).endswith("/auth/adwords") and str(claims["aud"]).endswith("/token")
    return has_scope and claims["iss"] == platform.service_account and 0 < claims["exp"] - claims["iat"] <= 3_600


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def error(status: int, word: str, details: list[dict[str, Any]], message: str = "Request failed.") -> Response:
    """A response with a Google error. `word`: its status, such as `UNAUTHENTICATED`; `details`: its errors."""
    found = [{"@type": FAILURE, "errors": details, "requestId": "fake"}] if details else []
    content = {"error": {"code": status, "message": message, "status": word, "details": found}}
    return JSONResponse(content, status)


def is_logged_in(platform: FakePlatform, request: Request, _params: dict[str, str]) -> bool:
    """Whether the request has the valid access token."""
    return request.headers.get("authorization") == f"Bearer {platform.token}"


def other_account() -> Response:
    """The answer to a request for an account that the login has no access to."""
    return error(403, "PERMISSION_DENIED", [], "The caller does not have permission")


def not_logged_in(_platform: FakePlatform) -> Response:
    """The answer to an access token that expired."""
    return error(401, "UNAUTHENTICATED", [], "Request had invalid credentials.")


def limited(_platform: FakePlatform, seconds: int) -> Response:
    """The answer while the quota is used up: it allows a retry after `seconds`."""
    quota = {"rateScope": "DEVELOPER", "rateName": "Number of operations for basic access"}
    detail = {
        "errorCode": {"quotaError": "RESOURCE_EXHAUSTED"},
        "message": f"Too many requests. Retry in {seconds} seconds.",
        "details": {"quotaErrorDetails": {**quota, "retryDelay": f"{seconds}s"}},
    }
    return error(429, "RESOURCE_EXHAUSTED", [detail], "Resource has been exhausted (e.g. check quota).")


def failed() -> Response:
    """The answer to a request at which the server fails."""
    return error(500, "INTERNAL", [], "Internal error encountered.")
