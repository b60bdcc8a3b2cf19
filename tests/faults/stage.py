"""Shared parts of the tests with the model: an empty database, brands in product and model, figures of the ledger."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from app.edits import editing
from db.engine import snapshot
from db.repository.access.audit import Edit
from domain.periods import Period
from domain.schedules import Daypart
from tests import citus
from tests.faults.model import Brand, Campaign, Model
from tests.faults.table import add_line
from tests.world import World


def make_brand(
    connection: Connection, model: Model, at: datetime, zone: str, campaigns: Sequence[Campaign]
) -> tuple[int, list[int]]:
    """Creates a brand and campaigns with these facts in the product and in the model; returns their ids."""
    edit = Edit("test", at)
    brand = editing.create_brand(connection, "Brand", zone, "USD", edit)
    model.brands[brand] = Brand(zone)
    made = []
    for place, facts in enumerate(campaigns):
        name = f"{brand}-{place}"
        flight: dict[str, Any] = {"starts_on": facts.starts_on, "ends_on": facts.ends_on}
        campaign = editing.create_campaign(connection, brand, name, edit, platform="meta", external_id=name, **flight)
        if facts.parts:
            editing.set_schedule(connection, campaign, tuple(Daypart(*part) for part in facts.parts), edit)
        model.campaigns[campaign] = replace(facts, brand=brand, external_id=name)
        made.append(campaign)
    return brand, made


def set_limit(
    connection: Connection, model: Model, at: datetime, brand: int, campaign: int | None, period: str, limit: int
) -> None:
    """Sets a limit of a brand or campaign in the product and in the model."""
    editing.set_budget(connection, brand, campaign, Period(period), limit, Edit("test", at))
    model.limits[brand, campaign, period] = limit


def empty_database(world: World) -> None:
    """Truncates the test's database, including ids and watermarks; faster than a new database."""
    tables = "brands, spend_events, status_changes, hold_changes, rejected_events, watermarks, budget_limits"
    tables += ", audit_entries"
    tables += ", directory_brands, directory_campaigns" if citus.is_used() else ""
    world.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")


def stored_holds() -> dict[int, set[str]]:
    """The stored holds of each campaign, by its id."""
    with snapshot() as connection:
        rows = connection.exec_driver_sql("SELECT id, holds FROM campaigns")
        return {campaign: set(holds) for campaign, holds in rows}


def compare_ledger(model: Model, world: World) -> Counter[str]:
    """The number of events in the model, and how many the ledger lacks (`lost`) or has twice (`doubled`)."""
    rows = world.rows("SELECT campaign_id, amount_micros FROM spend_events")
    found = Counter((row["campaign_id"], row["amount_micros"]) for row in rows)
    expected = Counter((campaign, micros) for campaign, _, micros in model.ledger.values())
    lost, doubled = (expected - found).total(), (found - expected).total()
    return Counter(events=expected.total(), lost=lost, doubled=doubled)


@contextmanager
def without_logs() -> Iterator[None]:
    """Suppresses log lines during the block, of which there would be one for each of many thousand steps."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def add_figures(fault: str, times: int, figures: Counter[str]) -> None:
    """Adds one line to the table of faults."""
    counts = {name: figures[name] for name in ("events", "lost", "doubled")}
    add_line({"fault": fault, "times": times, **counts, "recovery_seconds": None})
