"""The webhooks as an AsyncAPI 3.0 document, with an example of each type."""

from typing import Any, Final

import yaml

from app.notices.bodies import SCHEMA_VERSION
from domain.campaigns import ConfiguredStatus, EffectiveStatus
from domain.causes import Cause
from domain.notices.message_types import STATUS_TYPES, TEST_TYPE, MessageType

Schema = dict[str, Any]

MOMENT: Final = {"type": "string", "format": "date-time"}
DAY: Final = {"type": ["string", "null"], "format": "date"}
ID: Final = {"type": "integer", "minimum": 1}
TEXT: Final = {"type": "string"}
MICROS: Final = {"type": "integer"}
NAMED: Final = {"type": ["string", "null"]}
STATUS: Final = {"enum": [status.value for status in EffectiveStatus]}


def document() -> str:
    """The AsyncAPI document of the webhooks, as YAML."""
    return str(yaml.safe_dump(_document(), sort_keys=False, allow_unicode=True, width=110))


def schemas() -> Schema:
    """The schemas of all types of messages and of their parts, by name."""
    return {
        **{_name(one): _message_schema(one) for one in (*MessageType, TEST_TYPE)},
        "Campaign": CAMPAIGN,
        "StatusChange": STATUS_CHANGE,
        "Holds": HOLDS,
    }


def examples() -> dict[str, Schema]:
    """An example of a whole message for each type, by type."""
    return {str(one): _example(one) for one in (*MessageType, TEST_TYPE)}


def _object(description: str, properties: Schema, required: list[str] | None = None) -> Schema:
    names = list(properties) if required is None else required
    return {"type": "object", "description": description, "required": names, "properties": properties}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [schema, {"type": "null"}]}


HOLDS: Final = {
    "type": "array",
    "description": "Reasons why the campaign must not serve; empty for an active one.",
    "items": _object("One reason, as a code and in words.", {"hold": TEXT, "because": TEXT}),
}
CAMPAIGN: Final = _object(
    "The campaign's whole state at the time of sending.",
    {
        "id": ID,
        "name": TEXT,
        "brand_id": ID,
        "brand": TEXT,
        "currency": TEXT,
        "time_zone": TEXT,
        "platform": NAMED,
        "account": NAMED,
        "external_id": NAMED,
        "starts_on": DAY,
        "ends_on": DAY,
        "configured_status": {"enum": [status.value for status in ConfiguredStatus]},
        "effective_status": STATUS,
        "holds": _ref("Holds"),
        "next_change_at": _or_null(MOMENT),
    },
)
STATUS_CHANGE: Final = _object(
    "The status change behind the message. Ids rise in commit order: ignore a message with a smaller id than before.",
    {
        "id": ID,
        "campaign_id": {"type": ["integer", "null"]},
        "from_status": STATUS,
        "to_status": STATUS,
        "holds_before": _ref("Holds"),
        "holds_after": _ref("Holds"),
        "cause": {"enum": [cause.value for cause in Cause]},
        "details": {
            "type": "object",
            "description": "The brand-local day, and spend and limit in micros of each budget that holds or held.",
        },
        "decided_at": MOMENT,
    },
)
OF_STATUS: Final = _object(
    "A campaign and its status change.", {"campaign": _ref("Campaign"), "status_change": _ref("StatusChange")}
)
OF_BUDGET: Final = _object(
    "A budget that ran out, and the first status change that it caused.",
    {
        "brand_id": ID,
        "brand": TEXT,
        "currency": TEXT,
        "campaign_id": {"type": ["integer", "null"], "description": "Null for a brand's budget."},
        "budget": _object(
            "The budget with its figures in micros.",
            {
                "hold": TEXT,
                "scope": {"enum": ["brand", "campaign"]},
                "period": TEXT,
                "day": {"type": "string", "format": "date"},
                "first_day": {"type": "string", "format": "date"},
                "spent_micros": MICROS,
                "limit_micros": MICROS,
            },
        ),
        "status_change": _ref("StatusChange"),
    },
)
NOTICE: Final = {"notice_id": {"type": ["integer", "null"]}, "brand_id": {"type": ["integer", "null"]}, "brand": NAMED}
FIELDS_OF_NOTICES: Final[dict[str, tuple[str, Schema]]] = {
    MessageType.ALERT_RAISED: ("An alert begins.", {}),
    MessageType.ALERT_RESOLVED: ("An alert ends.", {}),
    MessageType.PLATFORM_UNCONFIRMED: ("An ad platform has not confirmed a pause.", {}),
    MessageType.REPORT_READY: (
        "A monthly report was stored.",
        {"month": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"}, "version": ID},
    ),
    MessageType.IMPORT_FAILED: (
        "A file of the spend folder cannot be imported.",
        {"file": TEXT, "reason": TEXT, "words": TEXT},
    ),
    MessageType.ENDPOINT_FAILING: (
        "An endpoint does not take messages.",
        {
            "endpoint_id": ID,
            "description": TEXT,
            "reason": {"enum": ["undelivered_pause", "gone"]},
            "failing_since": _or_null(MOMENT),
        },
    ),
    TEST_TYPE: ("Somebody tests the endpoint.", {}),
}


def _message_schema(message_type: str) -> Schema:
    if message_type in STATUS_TYPES:
        data = OF_STATUS
    elif message_type == MessageType.BUDGET_EXHAUSTED:
        data = OF_BUDGET
    else:
        description, fields = FIELDS_OF_NOTICES[message_type]
        data = _object(description, {**NOTICE, **fields})
    return _object(
        f"A message of type `{message_type}`.",
        {
            "type": {"const": str(message_type)},
            "timestamp": MOMENT,
            "schema_version": {"const": SCHEMA_VERSION},
            "data": data,
        },
    )


def _name(message_type: str) -> str:
    return "".join(word.capitalize() for word in str(message_type).split("."))


DECIDED_AT: Final = "2026-11-22T15:04:05.123456Z"
DAILY_BUDGET: Final = {"hold": "brand_daily_budget", "because": "the brand's daily budget is spent"}


def _status_change_example(*, is_pause: bool, campaign_id: int | None = 17) -> Schema:
    return {
        "id": 4711,
        "campaign_id": campaign_id,
        "from_status": "active" if is_pause else "inactive",
        "to_status": "inactive" if is_pause else "active",
        "holds_before": [] if is_pause else [DAILY_BUDGET],
        "holds_after": [DAILY_BUDGET] if is_pause else [],
        "cause": "spend" if is_pause else "daily_reset",
        "details": {
            "day": "2026-11-22",
            "budgets": {"brand_daily_budget": {"spent_micros": 250_400_000, "limit_micros": 250_000_000}},
        },
        "decided_at": DECIDED_AT,
    }


def _status_example(*, is_pause: bool) -> Schema:
    campaign = {
        "id": 17,
        "name": "Winter shoes",
        "brand_id": 3,
        "brand": "Acme",
        "currency": "USD",
        "time_zone": "America/New_York",
        "platform": "google_ads",
        "account": "1234567890",
        "external_id": "20731",
        "starts_on": "2026-11-01",
        "ends_on": None,
        "configured_status": "enabled",
        "effective_status": "inactive" if is_pause else "active",
        "holds": [DAILY_BUDGET] if is_pause else [],
        "next_change_at": "2026-11-23T05:00:00Z" if is_pause else None,
    }
    return {"campaign": campaign, "status_change": _status_change_example(is_pause=is_pause)}


OF_EXAMPLES: Final[dict[str, Schema]] = {
    MessageType.REPORT_READY: {"month": "2026-10", "version": 1},
    MessageType.IMPORT_FAILED: {"file": "google/november.csv", "reason": "refused", "words": "has no column of days"},
    MessageType.ENDPOINT_FAILING: {
        "endpoint_id": 2,
        "description": "Ad server",
        "reason": "undelivered_pause",
        "failing_since": "2026-11-22T15:03:02Z",
        "undelivered_since": "2026-11-22T15:03:01Z",
        "campaign_brand_id": 3,
        "campaign_id": 17,
        "status_change_id": 4711,
    },
}


def _example(message_type: str) -> Schema:
    if message_type in STATUS_TYPES:
        data = _status_example(is_pause=message_type == MessageType.CAMPAIGN_PAUSED)
    elif message_type == MessageType.BUDGET_EXHAUSTED:
        data = {
            "brand_id": 3,
            "brand": "Acme",
            "currency": "USD",
            "campaign_id": None,
            "budget": {
                "hold": "brand_daily_budget",
                "scope": "brand",
                "period": "daily",
                "day": "2026-11-22",
                "first_day": "2026-11-22",
                "spent_micros": 250_400_000,
                "limit_micros": 250_000_000,
            },
            "status_change": _status_change_example(is_pause=True, campaign_id=None),
        }
    else:
        notice_id = None if message_type == TEST_TYPE else 71
        data = {"notice_id": notice_id, "brand_id": 3, "brand": "Acme", **OF_EXAMPLES.get(message_type, {})}
    return {"type": str(message_type), "timestamp": DECIDED_AT, "schema_version": SCHEMA_VERSION, "data": data}


def _message(message_type: str) -> Schema:
    return {
        "name": str(message_type),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
            "properties": {
                "webhook-id": {"type": "string", "description": "Equal in all attempts of one message."},
                "webhook-timestamp": {"type": "string", "description": "Seconds since 1970 at which it was sent."},
                "webhook-signature": {"type": "string", "description": "`v1,` and a signature; two during a rotation."},
            },
        },
        "payload": _ref(_name(message_type)),
        "examples": [{"payload": _example(message_type)}],
    }


def _document() -> Schema:
    types = (*MessageType, TEST_TYPE)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Spendgate: webhooks",
            "version": str(SCHEMA_VERSION),
            "description": "HTTP requests that Spendgate sends to endpoints, signed after Standard Webhooks. New "
            "fields may be added; `schema_version` changes when one goes or changes its meaning.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "endpoint": {
                "address": None,
                "description": "The URL of an endpoint, which answers 2xx within 15 seconds.",
                "messages": {_name(one): {"$ref": f"#/components/messages/{_name(one)}"} for one in types},
            }
        },
        "operations": {
            "sendWebhook": {
                "action": "send",
                "channel": {"$ref": "#/channels/endpoint"},
                "summary": "Sends each message at least once; about a campaign, only its newest state.",
            }
        },
        "components": {"messages": {_name(one): _message(one) for one in types}, "schemas": schemas()},
    }
