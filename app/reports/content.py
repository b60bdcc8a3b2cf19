"""The content of a monthly report as it is stored: amounts in micros, times in seconds, dates in ISO 8601."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from db.repository.platforms.bounds import bounds_of_brand
from db.repository.reports import overspends, report_facts
from domain.budgets import Scope
from domain.campaigns import EffectiveStatus
from domain.holds import Hold
from domain.periods import Period, Window, day_starts_at
from domain.reporting.history import stretches
from domain.reporting.monthly import (
    INSTANT,
    LimitWindow,
    MonthFacts,
    Span,
    days_exhausted,
    differences,
    limit_windows,
    times_of,
)
from domain.reporting.overspend import Overspend, explain_overspend, held_at
from domain.zones import time_zone

NOT_OVERSPENT = Overspend(None, None, None, None, None)


def content_of_month(connection: Connection, brand: Mapping[str, Any], month: Window, at: datetime) -> dict[str, Any]:
    """The report of the brand's month, from the rows that `connection` reads now.

    If the month has not ended at `at`, the report covers the time up to and including `at`. Leaves out campaigns
    without counted spend in the month that were archived, or did not exist, all the time.
    """
    zone = time_zone(brand["time_zone"])
    assert month.end_day is not None  # noqa: S101 - a month ends
    starts_at, ends_at = day_starts_at(month.first_day, zone), day_starts_at(month.end_day, zone)
    span = Span(starts_at, min(ends_at, at + INSTANT))
    facts = report_facts.facts_of_month(connection, brand["id"], zone, month, span)
    campaign_ids = _reported(facts)
    entries = list(limit_windows(facts, campaign_ids))
    ran_out = days_exhausted(entries, zone)
    times = _times(facts, campaign_ids)
    toggles = report_facts.status_changes(connection, brand["id"], span)
    known_toggles = None if times["served_seconds"] is None else 0
    return {
        "brand_id": brand["id"],
        "brand": brand["name"],
        "currency": brand["currency"],
        "time_zone": zone.key,
        "month": f"{month.first_day:%Y-%m}",
        "complete": at >= ends_at,
        "first_day": month.first_day.isoformat(),
        "end_day": month.end_day.isoformat(),
        **_spent(facts, None),
        **times,
        "days_exhausted": ran_out.get(None, {}),
        "paused": toggles.get(EffectiveStatus.INACTIVE, known_toggles),
        "activated": toggles.get(EffectiveStatus.ACTIVE, known_toggles),
        "campaigns": [_campaign(facts, campaign_id, ran_out.get(campaign_id, {})) for campaign_id in campaign_ids],
        "limits": _limits(connection, brand["id"], facts, entries),
        "bounds": [
            {"platform": one.platform, "account": one.account_id, "currency": one.currency, **one.bound._asdict()}
            for one in bounds_of_brand(connection, brand["id"])
            if one.bound is not None
        ],
    }


def _campaign(facts: MonthFacts, campaign_id: int, ran_out: Mapping[str, str]) -> dict[str, Any]:
    return {
        "campaign_id": campaign_id,
        "name": facts.names[campaign_id],
        **_spent(facts, campaign_id),
        **_times(facts, [campaign_id]),
        "days_exhausted": ran_out,
    }


def _reported(facts: MonthFacts) -> list[int]:
    return [
        campaign_id
        for campaign_id in facts.names
        if facts.spent_by_day(campaign_id)
        or any(Hold.ARCHIVED not in part.holds for part in _stretches_of_month(facts, campaign_id))
    ]


def _stretches_of_month(facts: MonthFacts, campaign_id: int) -> list[Any]:
    return list(stretches(facts.holds.get(campaign_id, ()), facts.span.starts_at, facts.span.ends_at))


def _spent(facts: MonthFacts, campaign_id: int | None) -> dict[str, Any]:
    by_day = {day.isoformat(): micros for day, micros in sorted(facts.spent_by_day(campaign_id).items())}
    return {"spent_micros": sum(by_day.values()), "by_day": by_day}


def _times(facts: MonthFacts, campaign_ids: Sequence[int]) -> dict[str, Any]:
    """The time that the campaigns served and were held, in seconds; None if their history does not reach the month."""
    parts = [part for campaign_id in campaign_ids for part in _stretches_of_month(facts, campaign_id)]
    times = times_of(parts)
    is_known = bool(parts) or not campaign_ids
    return {
        "served_seconds": times.served_seconds if is_known else None,
        "held_seconds": dict(times.held_seconds),
        "held_by_budgets_seconds": times.held_by_budgets_seconds if is_known else None,
        "in_budget_permille": times.in_budget_permille,
    }


def _limits(
    connection: Connection, brand_id: int, facts: MonthFacts, entries: Sequence[LimitWindow]
) -> list[dict[str, Any]]:
    overspent = [entry for entry in entries if entry.overspend_micros]
    crossings = overspends.crossings(connection, brand_id, facts, overspent)
    held = [held_at(entry, crossing.reached_at) for entry, crossing in zip(overspent, crossings, strict=True)]
    late = overspends.received_late(connection, brand_id, facts, overspent, held)
    delayed = overspends.confirmed_late(connection, brand_id, facts, overspent, held)
    overspend_of = {
        id(entry): explain_overspend(entry, crossing, received, delayed_micros)
        for entry, crossing, received, delayed_micros in zip(overspent, crossings, late, delayed, strict=True)
    }
    return [_limit(facts, entry, overspend_of.get(id(entry), NOT_OVERSPENT)) for entry in entries]


def _limit(facts: MonthFacts, entry: LimitWindow, overspend: Overspend) -> dict[str, Any]:
    first_day, end_day = entry.window.first_day, entry.window.end_day
    return {
        "scope": (Scope.BRAND if entry.campaign_id is None else Scope.CAMPAIGN).value,
        "campaign_id": entry.campaign_id,
        "campaign": None if entry.campaign_id is None else facts.names[entry.campaign_id],
        "period": entry.period.value,
        "first_day": None if entry.period is Period.LIFETIME else first_day.isoformat(),
        "end_day": None if end_day is None else end_day.isoformat(),
        "complete": entry.complete,
        "limit_micros": entry.limit_micros,
        "spent_micros": entry.spent_micros,
        "used_permille": entry.used_permille,
        "overspend_micros": entry.overspend_micros,
        "exhausted": [
            {"from": _iso(span.starts_at), "until": _iso(span.ends_at) if span.ends_at < entry.span.ends_at else None}
            for span in entry.exhausted
        ],
        "reached_at": _iso(overspend.reached_at),
        "held_at": _iso(overspend.held_at),
        "delay_seconds": overspend.delay_seconds,
        "after_hold_micros": overspend.after_hold_micros,
        "confirmation_delay_micros": overspend.confirmation_delay_micros,
        "cause": None if overspend.cause is None else overspend.cause.value,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def closed_section(content: Mapping[str, Any], first: Mapping[str, Any] | None, at: datetime) -> dict[str, Any]:
    """The report's section `closed`: spend in the first stored version, and the differences to it since.

    `first`: that version; None: `content`, generated at `at`, is the first one.
    """
    then = content if first is None else first["content"]
    campaigns_now, campaigns_then = _by_campaign(content), _by_campaign(then)
    names = {
        str(campaign["campaign_id"]): campaign["name"] for report in (then, content) for campaign in report["campaigns"]
    }
    return {
        "generated_at": _iso(at if first is None else first["generated_at"]),
        "spent_micros": then["spent_micros"],
        "by_day": then["by_day"],
        "restated_micros": content["spent_micros"] - then["spent_micros"],
        "restated_by_day": differences(content["by_day"], then["by_day"]),
        "restated_by_campaign": [
            {"campaign_id": int(campaign_id), "name": names[campaign_id], "restated_micros": micros}
            for campaign_id, micros in differences(campaigns_now, campaigns_then).items()
        ],
    }


def _by_campaign(content: Mapping[str, Any]) -> dict[str, int]:
    return {str(campaign["campaign_id"]): campaign["spent_micros"] for campaign in content["campaigns"]}
