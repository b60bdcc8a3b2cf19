"""Sends requests to Meta's Graph API: reads pages by cursor, and turns Meta's errors and limits into PlatformError."""

import hashlib
import hmac
import json
import math
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from app.platforms import http
from app.platforms.adapters.shapes import object_in
from app.platforms.http import Answer
from app.platforms.protocol import Account, Limited, LoginFailed, PlatformError, Refused, TooLarge, Unanswered
from runtime.settings import settings

LOGIN_CODES: Final = frozenset({102, 190})
"""Error codes of Meta for a token that is not valid."""

LIMIT_CODES: Final = frozenset({4, 17, 32, 341, 613, *range(80_000, 80_100)})
"""Error codes of Meta for a limit that is used up."""

LIMIT_CODES_OF_THE_APP: Final = frozenset({4, 341})
"""Those error codes of LIMIT_CODES whose limit all accounts of the app share."""

TEMPORARY_CODES: Final = frozenset({1, 2})
TOO_MUCH_DATA: Final = 1_487_534
"""The subcode of error 100 for an answer with too many rows."""

DEFAULT_WAIT_SECONDS: Final = 300.0
"""Wait in seconds after a used-up limit if no header says how long: Meta blocks an app in development for 300 s."""

PERCENT_WITHOUT_READS: Final = 10
"""Percent of Meta's limits that reads leave to pauses and other changes.

Other quotas: PERCENT_FOR_PAUSES in `domain/platform_reads.py`, which has the same value.
"""

MESSAGE_LENGTH: Final = 300

near_limits: Final[dict[str, float]] = {}
"""By the account's id, the monotonic second until which this process reads nothing, as its limits are nearly used."""

newest_usages: Final[dict[str, int]] = {}
"""By the account's id, the percent of its limits that Meta's newest answer to this process said is used."""

MOST_PERCENT: Final = 1_000


class TooMuchData(Refused):
    """Meta refused a request because its answer would be too large; one for fewer days may succeed."""


class Usage(NamedTuple):
    """The use of Meta's limits by its headers: the highest percentage, and the seconds until they allow more.

    `wait_seconds`: 0 if no header has them. `is_known`: a header has a percentage; else `percent` is 0.
    """

    percent: Decimal
    wait_seconds: float
    is_known: bool


def get(account: Account, path: str, params: Mapping[str, str]) -> dict[str, Any]:
    """Reads the JSON object at `path`. Neither the URL nor an error contains the token.

    The URL has the token's proof, which is useless without the token. Raises PlatformError; Limited, without a request,
    while the account's limits are used up, except the part kept for pauses.
    """
    wait = near_limits.get(account.account_id, 0.0) - time.monotonic()
    if wait > 0:
        raise Limited("Meta's limits are used up, except the part kept for pauses", wait, for_all=False)
    return _read(account, path, params)


def _read(account: Account, path: str, params: Mapping[str, str]) -> dict[str, Any]:
    url = f"{_base()}/{path}"
    proof = {"appsecret_proof": _proof(account)}
    answer = http.send("GET", url, _headers(account), params={**params, **proof})
    usage = usage_of(answer.headers)
    _note_usage(account, usage)
    if usage.percent >= 100 - PERCENT_WITHOUT_READS:
        near_limits[account.account_id] = time.monotonic() + (usage.wait_seconds or DEFAULT_WAIT_SECONDS)
    return _content(account, answer, changes_something=False)


def _note_usage(account: Account, usage: Usage) -> None:
    if usage.is_known:
        newest_usages[account.account_id] = math.ceil(min(usage.percent, Decimal(MOST_PERCENT)))


def rows(account: Account, path: str, params: Mapping[str, str], *, seconds: float) -> Iterator[dict[str, Any]]:
    """Reads all pages and yields their rows. Asks for each page by cursor, since Meta's link to it contains the token.

    Raises PlatformError: TooLarge if the pages take longer than `seconds`, so that a part is never taken for the whole;
    Unanswered for an answer in another form.
    """
    ends_at = time.monotonic() + seconds
    after: dict[str, str] = {}
    content = get(account, path, params)
    while True:
        found, paging = content.get("data"), content.get("paging") or {}
        if (
            not isinstance(paging, dict)
            or not isinstance(found, list)
            or not all(isinstance(row, dict) for row in found)
        ):
            raise Unanswered("Meta answered without rows in the documented form", may_be_applied=False)
        yield from found
        if "next" not in paging:
            return
        cursor = object_in(paging, "cursors").get("after")
        if not isinstance(cursor, str) or cursor == after.get("after"):
            raise Unanswered("Meta answered with a page without a cursor to the next one", may_be_applied=False)
        if time.monotonic() > ends_at:
            raise TooLarge(f"Meta's report did not end within {seconds:g} s", may_be_applied=False)
        after = {"after": cursor}
        content = _read(account, path, {**params, **after})


def batch(account: Account, items: list[dict[str, str]]) -> tuple[list[Any], Mapping[str, str]]:
    """Sends changes in one request; returns the answer to each, None for one that was not answered, and the headers.

    Raises PlatformError, with `may_be_applied` where changes may have been carried out.
    """
    form = {"batch": json.dumps(items), "include_headers": "false", "appsecret_proof": _proof(account)}
    answer = http.send("POST", f"{_base()}/", _headers(account), data=form)
    _note_usage(account, usage_of(answer.headers))
    if answer.status == 200 and isinstance(answer.content, list):
        return answer.content, answer.headers
    _content(account, answer, changes_something=True)
    raise Unanswered("Meta answered a batch without a list of outcomes", may_be_applied=True)


def error_of(
    account: Account, status: int, content: Any, headers: Mapping[str, str], *, changes_something: bool
) -> PlatformError:
    """The error of an answer with this HTTP status and content. `headers`: they say how long limits last.

    `changes_something`: the request was a change, which may have been carried out all the same after Unanswered.
    """
    error = object_in(content, "error") if isinstance(content, dict) else {}
    code = error["code"] if isinstance(error.get("code"), int) else None
    reasons = (error.get("error_user_msg"), error.get("message"))
    reason = next((text for text in reasons if isinstance(text, str) and text), "no reason given")
    words = account.credentials.hide_in(reason)[:MESSAGE_LENGTH]
    text = f"Meta answered {status}: {words}" if code is None else f"Meta answered with error {code}: {words}"
    if code in LIMIT_CODES or status == 429:
        wait = usage_of(headers).wait_seconds or DEFAULT_WAIT_SECONDS
        return Limited(text, wait, for_all=code in LIMIT_CODES_OF_THE_APP)
    if code in LOGIN_CODES or (code is None and status == 401):
        return LoginFailed(text)
    if code in TEMPORARY_CODES or error.get("is_transient") is True or status >= 500 or not error:
        return Unanswered(text, may_be_applied=changes_something)
    return TooMuchData(text) if error.get("error_subcode") == TOO_MUCH_DATA else Refused(text)


def usage_of(headers: Mapping[str, str]) -> Usage:
    """The use of limits by Meta's headers; an unreadable header counts as unused."""
    percents, waits, is_known = [Decimal(0)], [0.0], False
    for name in ("x-business-use-case-usage", "x-ad-account-usage", "x-app-usage", "x-fb-ads-insights-throttle"):
        for use in _uses(headers.get(name)):
            fields = ("call_count", "total_cputime", "total_time", "acc_id_util_pct", "app_id_util_pct")
            percents += [_number(use.get(field)) for field in fields]
            is_known |= any(field in use for field in fields)
            waits.append(60 * float(_number(use.get("estimated_time_to_regain_access"))))
            waits.append(float(_number(use.get("reset_time_duration"))))
    return Usage(max(percents), max(waits), is_known)


def _uses(header: str | None) -> Iterator[dict[str, Any]]:
    """The objects with figures in a header: one, or lists of them by the id of an account or business."""
    content = http.decoded(header or "{}")
    if isinstance(content, dict):
        yield content
        for listed in content.values():
            yield from (one for one in listed if isinstance(one, dict)) if isinstance(listed, list) else ()


def _number(value: Any) -> Decimal:
    return Decimal(value) if isinstance(value, int | Decimal) else Decimal(0)


def _content(account: Account, answer: Answer, *, changes_something: bool) -> dict[str, Any]:
    if answer.status == 200 and isinstance(answer.content, dict) and "error" not in answer.content:
        return answer.content
    raise error_of(account, answer.status, answer.content, answer.headers, changes_something=changes_something)


def _base() -> str:
    return f"{settings().meta_url}/{settings().meta_version}"


def _headers(account: Account) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.credentials.required('access_token')}"}


def _proof(account: Account) -> str:
    """The proof that the sender of the token knows the app's secret."""
    secret = account.credentials.required("app_secret").encode()
    return hmac.new(secret, account.credentials.required("access_token").encode(), hashlib.sha256).hexdigest()
