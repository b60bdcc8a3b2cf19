"""The messages of producers as an AsyncAPI 3.0 document; its bounds are those by which Spendgate checks inputs."""

from typing import Any, Final

import yaml

from domain.inputs.values import MAX_EVENTS_PER_MESSAGE, MAX_ID, MAX_SEQUENCE, MAX_TEXT
from domain.money import MAX_AMOUNT_MICROS

Schema = dict[str, Any]

UUID: Final = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
MOMENT: Final = (
    r"^(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
DAY: Final = "^(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}$"
NAME: Final = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]+$"
"""A text without control characters and without characters that change the direction of writing."""


def document() -> str:
    """The AsyncAPI document of the messages, as YAML."""
    return str(yaml.safe_dump(_document(), sort_keys=False, allow_unicode=True, width=110))


def schemas() -> Schema:
    """The schemas of one spend event and of one reported total, by name."""
    return {
        "SpendEvent": _one_of(
            "One amount that one campaign spent. An `event_id` counts once.",
            {
                "event_id": _text("UUID of the sender; repeated in every retry.", pattern=UUID, format="uuid"),
                "occurred_at": _text(
                    "ISO 8601 with its offset from UTC; leap seconds and hour 24 are refused.",
                    pattern=MOMENT,
                    format="date-time",
                ),
                "amount_micros": _micros("Millionths of the brand's currency unit; negative for refunds."),
            },
            {
                "source": _named("The program or platform that reports the spend."),
                "sequence": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": MAX_SEQUENCE,
                    "description": "Number that the source gives the event; needs `source`.",
                },
            },
        )
        | {"dependencies": {"sequence": ["source"]}},
        "ReportedTotal": _one_of(
            "All that one campaign spent on one day so far, as an ad platform reports it.",
            {
                "source": _named("The platform or program that reports the total."),
                "day": _text("Day in the brand's time zone.", pattern=DAY, format="date"),
                "total_micros": _micros("Millionths of the brand's currency unit."),
                "as_of": _text(
                    "The time at which the platform reported the total; an older one changes nothing.",
                    pattern=MOMENT,
                    format="date-time",
                ),
            },
            {},
        ),
    }


def _one_of(description: str, required: Schema, optional: Schema) -> Schema:
    """The schema of an object with these fields that names its campaign by Spendgate's id, or by its platform's."""
    campaign = {
        "campaign_id": {"type": "integer", "minimum": -MAX_ID, "maximum": MAX_ID, "description": "Spendgate's id."},
        "platform": _named("Ad platform, such as `google_ads`, in any spelling."),
        "external_id": _named("The platform's id of the campaign."),
        "account": _named("The platform's id of the account, where several accounts have the campaign id."),
        "currency": _named("ISO 4217 code; compared with the brand's."),
    }
    return {
        "type": "object",
        "description": description,
        "required": list(required),
        "anyOf": [{"required": ["campaign_id"]}, {"required": ["platform", "external_id"]}],
        "properties": {**required, **campaign, **optional},
    }


def _text(description: str, **rules: object) -> Schema:
    return {"type": "string", **rules, "description": description}


def _named(description: str) -> Schema:
    return _text(description, minLength=1, maxLength=MAX_TEXT, pattern=NAME)


def _micros(description: str) -> Schema:
    return {
        "type": "integer",
        "minimum": -MAX_AMOUNT_MICROS,
        "maximum": MAX_AMOUNT_MICROS,
        "description": description,
    }


def _message(actor: str, name: str, schema: str, example: Schema) -> Schema:
    """The AsyncAPI description of a Dramatiq message to `actor`: a batch of inputs, in the argument `name`."""
    inputs = {"type": "array", "minItems": 1, "maxItems": MAX_EVENTS_PER_MESSAGE, "items": _ref("schemas", schema)}
    return {
        "name": actor,
        "title": f"A batch for the actor {actor}",
        "contentType": "application/json",
        "payload": {
            "type": "object",
            "required": ["queue_name", "actor_name", "args", "kwargs", "options", "message_id", "message_timestamp"],
            "properties": {
                "queue_name": {"const": "spend"},
                "actor_name": {"const": actor},
                "args": {"type": "array", "maxItems": 0},
                "kwargs": {"type": "object", "required": [name], "properties": {name: inputs}},
                "options": {"type": "object", "description": "Dramatiq's own; a producer sends none."},
                "message_id": _text("Any unique text; Dramatiq makes a UUID."),
                "message_timestamp": {"type": "integer", "description": "Milliseconds since 1970."},
            },
        },
        "examples": [{"payload": {**ENVELOPE, "actor_name": actor, "kwargs": {name: [example]}}}],
    }


def _ref(kind: str, name: str) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


ENVELOPE: Final = {
    "queue_name": "spend",
    "actor_name": "ingest_spend",
    "args": [],
    "kwargs": {},
    "options": {},
    "message_id": "5f22db45-4767-466a-a316-48d8ca391eb2",
    "message_timestamp": 1_795_974_381_873,
}
EVENT: Final = {
    "event_id": "0b0f7f1e-8f63-4b3b-9d43-0d5d4b1f3c55",
    "campaign_id": 17,
    "occurred_at": "2026-11-22T10:00:00Z",
    "amount_micros": 1_250_000,
    "source": "bidder",
    "sequence": 4711,
}
TOTAL: Final = {
    "source": "google_ads",
    "platform": "google_ads",
    "external_id": "20731",
    "day": "2026-11-22",
    "total_micros": 94_500_000,
    "as_of": "2026-11-22T10:00:00Z",
}


def _document() -> Schema:
    channel = {"$ref": "#/channels/spend"}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Spendgate: messages of producers",
            "version": "1",
            "description": "Plain Dramatiq messages on the queue `spend`. Sending a batch again is always safe.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "redis": {"host": "redis.example.com:6379", "protocol": "redis", "description": "`REDIS_URL`"},
            "rabbitmq": {"host": "rabbitmq.example.com:5672", "protocol": "amqp", "description": "`BROKER_URL`"},
        },
        "channels": {
            "spend": {
                "address": "spend",
                "description": "Dramatiq's queue: in Redis the list `dramatiq:spend` of ids and the hash "
                "`dramatiq:spend.msgs` of messages, in RabbitMQ the durable queue `spend`.",
                "messages": {
                    "ingest_spend": _ref("messages", "ingest_spend"),
                    "ingest_reported_totals": _ref("messages", "ingest_reported_totals"),
                },
            }
        },
        "operations": {
            "receiveSpend": {
                "action": "receive",
                "channel": channel,
                "summary": "Workers count each input once and enforce budgets in the same commit.",
            }
        },
        "components": {
            "messages": {
                "ingest_spend": _message("ingest_spend", "events", "SpendEvent", EVENT),
                "ingest_reported_totals": _message("ingest_reported_totals", "totals", "ReportedTotal", TOTAL),
            },
            "schemas": schemas(),
        },
    }
