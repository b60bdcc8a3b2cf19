"""Actors that enforce the rules on brands."""

import dramatiq

from app import passes
from app.enforcement import enforce_brands
from delivery.broker import get_broker
from delivery.queues import QUEUE_OF
from domain.causes import Cause


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["evaluate_budgets"])
def evaluate_budgets(brand_ids: list[int]) -> None:
    """Enforces the brands, with the cause `edit`. Other programs may enqueue this after they edited rows by SQL."""
    enforce_brands(brand_ids, Cause.EDIT)


@dramatiq.actor(broker=get_broker(), queue_name=QUEUE_OF["continue_enforcement"])
def continue_enforcement(brand_id: int) -> None:
    """Continues the pass of a brand: the enforcement of very many campaigns, in parts. Does nothing if it has none."""
    passes.continue_pass(brand_id)
