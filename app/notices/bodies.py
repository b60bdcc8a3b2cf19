"""Bodies of webhook messages, schema version 1; docs/reference/webhooks.yaml describes them."""

import json
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Final

from db.repository.notices.deliveries import Taken
from domain.holds import hold_in_words
from domain.notices.message_types import STATUS_TYPES, Exhausted

SCHEMA_VERSION: Final = 1


def body_of(one: Taken) -> dict[str, Any]:
    """The message as fields for JSON: amounts in micros, times in ISO 8601 and UTC."""
    return {
        "type": one.type,
        "timestamp": _moment(one.changed_at or one.noticed_at),
        "schema_version": SCHEMA_VERSION,
        "data": _data(one),
    }


def encoded(body: dict[str, Any]) -> bytes:
    """The body as it is signed and sent."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def exhausted_fields(budget: Exhausted) -> dict[str, Any]:
    """The stored body of a message that a budget ran out."""
    return budget._asdict()


def _data(one: Taken) -> dict[str, Any]:
    if one.type in STATUS_TYPES:
        return {"campaign": _campaign(one), "status_change": _status_change(one)}
    fields = dict(one.body or {})
    if one.change_id is not None:
        campaign_id = fields.pop("campaign_id")
        brand = {"brand_id": one.brand_id, "brand": one.brand, "currency": one.currency}
        return brand | {"campaign_id": campaign_id, "budget": fields, "status_change": _status_change(one)}
    return {"notice_id": one.notice_id, "brand_id": one.brand_id, "brand": one.brand} | fields


def _campaign(one: Taken) -> dict[str, Any]:
    """The state of the campaign at the time of sending."""
    return {
        "id": one.campaign_id,
        "name": one.campaign,
        "brand_id": one.brand_id,
        "brand": one.brand,
        "currency": one.currency,
        "time_zone": one.time_zone,
        "platform": one.platform,
        "account": one.account,
        "external_id": one.external_id,
        "starts_on": _day(one.starts_on),
        "ends_on": _day(one.ends_on),
        "configured_status": one.configured_status,
        "effective_status": one.effective_status,
        "holds": _holds(one.holds or ()),
        "next_change_at": _moment(one.next_change_at),
    }


def _status_change(one: Taken) -> dict[str, Any]:
    return {
        "id": one.change_id,
        "campaign_id": one.campaign_id,
        "from_status": one.from_status,
        "to_status": one.to_status,
        "holds_before": _holds(one.holds_before or ()),
        "holds_after": _holds(one.holds_after or ()),
        "cause": one.cause,
        "details": one.details,
        "decided_at": _moment(one.changed_at),
    }


def _holds(holds: Iterable[str]) -> list[dict[str, str]]:
    return [{"hold": hold, "because": hold_in_words(hold)} for hold in holds]


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
