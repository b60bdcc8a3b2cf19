"""Rows of the tables of alerts that Postgres's constraints refuse, each with the name of the constraint."""

ALERT = "INSERT INTO alerts (kind, subject, episode, raised_at, {}) VALUES ('overspend', 's', 'e', now(), {})"
RESOLVED = ALERT.format("state, resolved_at, resolved_because", "'resolved', now(), 'gone'")
CHANNEL = """INSERT INTO alert_channels (id, name, scheme, encrypted_url, created_at, created_by)
    VALUES ({}, '{}', 'slack', '', now(), 'ada')"""
OPS = CHANNEL.format(1, "ops")
ROUTE = "INSERT INTO alert_routes (channel_id, kind, timing) VALUES (1, {}, '{}')"
MUTE = "INSERT INTO alert_mutes (kind, until, muted_at, muted_by) VALUES ({}, {}, now(), 'ada')"
MESSAGE = """INSERT INTO alert_messages (channel_id, alert_id, event, is_digest, due_at, attempts, sent_at, dropped_at)
    VALUES (1, 1, '{}', false, now(), {}, {}, {})"""
WAITING = MESSAGE.format("raised", 0, "NULL", "NULL")
ATTEMPT = """INSERT INTO alert_attempts (channel_id, purpose, attempted_at, duration_ms, alerts, is_delivered)
    VALUES (1, 'never', now(), 0, 0, true)"""
SETTINGS = "INSERT INTO alert_settings VALUES (1, '{}', now())"
HOURS = "INSERT INTO spend_hours VALUES (1, {}, '{}', '{}', 1)"
OF_ONE_ALERT = f"{OPS}; {ALERT.format('id', 1)}; "

REFUSED_ALERT_ROWS = [
    ("ck_alerts_kind_known", RESOLVED.replace("overspend", "never")),
    ("ck_alerts_state_known", ALERT.format("state", "'never'")),
    ("ck_alerts_resolved_because_known", RESOLVED.replace("gone", "never")),
    ("ck_alerts_resolved_at_with_state", ALERT.format("state", "'resolved'")),
    ("ck_alerts_resolved_with_reason", ALERT.format("state, resolved_at", "'resolved', now()")),
    ("ck_alerts_acknowledged_by_someone", ALERT.format("acknowledged_at", "now()")),
    ("ck_alerts_threshold_not_negative", ALERT.format("threshold", -1)),
    ("ck_alerts_campaign_of_brand", ALERT.format("campaign_id", 1)),
    ("uq_alerts_kind_subject", f"{RESOLVED}; {RESOLVED}"),
    ("uq_alerts_open", f"{ALERT.format('threshold', 1)}; {ALERT.format('threshold', 2)}"),
    ("ck_alert_settings_thresholds_in_percent", SETTINGS.format("{0}")),
    ("ck_alert_settings_thresholds_in_percent", SETTINGS.format("{1001}")),
    ("ck_alert_settings_thresholds_in_percent", SETTINGS.format("{1,2,3,4,5,6,7,8,9,10,11}")),
    ("ck_alert_channels_name_not_empty", CHANNEL.format(1, "")),
    ("uq_alert_channels_name", f"{OPS}; {CHANNEL.format(2, 'ops')}"),
    ("ck_alert_routes_kind_known", "; ".join((OPS, ROUTE.format("'never'", "now")))),
    ("ck_alert_routes_timing_known", f"{OPS}; {ROUTE.format('NULL', 'soon')}"),
    ("uq_alert_routes_channel_id_brand_id_kind", "; ".join((OPS, *(ROUTE.format("NULL", "now"),) * 2))),
    ("ck_alert_mutes_kind_known", MUTE.format("'never'", "now() + interval '1 hour'")),
    ("ck_alert_mutes_until_later", MUTE.format("NULL", "now()")),
    ("ck_alert_messages_event_known", OF_ONE_ALERT + MESSAGE.format("never", 0, "NULL", "NULL")),
    ("ck_alert_messages_attempts_not_negative", OF_ONE_ALERT + MESSAGE.format("raised", -1, "NULL", "NULL")),
    ("ck_alert_messages_sent_or_dropped", OF_ONE_ALERT + MESSAGE.format("raised", 1, "now()", "now()")),
    ("uq_alert_messages_channel_id_alert_id_event", f"{OF_ONE_ALERT}{WAITING}; {WAITING}"),
    ("ck_alert_attempts_purpose_known", f"{OPS}; {ATTEMPT}"),
    ("ck_spend_hours_of_one", HOURS.format(1, "adserver", "{1}")),
    ("ck_spend_hours_hours_not_empty", HOURS.format(1, "", "{}")),
]
"""(name of the constraint, statements), for a database with a brand of the id 1."""
