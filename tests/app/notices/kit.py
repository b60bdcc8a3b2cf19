"""Shared helpers of the tests of webhooks: endpoints, and runs of their actors in this process."""

from typing import Any

from app.notices import runs, webhooks
from db.repository.access.audit import Edit
from runtime import clock
from tests.receivers.server import Receiver
from tests.world import World


def endpoint(receiver: Receiver, path: str = "/hook", *types: str, brand: int | None = None) -> int:
    """Creates an endpoint at this path of the receiver, and returns its id."""
    made, _ = webhooks.add(receiver.url + path, types, "", brand, Edit("test", clock.now()))
    return made


def deliver(*endpoints: int) -> None:
    """Runs the actor of each endpoint once."""
    for endpoint_id in endpoints:
        runs.deliver(endpoint_id)


def deliveries(world: World, endpoint_id: int) -> list[dict[str, Any]]:
    """The endpoint's deliveries in the order in which they were made."""
    return world.rows("SELECT * FROM webhook_deliveries WHERE endpoint_id = %s ORDER BY id", endpoint_id)


def states(world: World, endpoint_id: int) -> list[tuple[str, str]]:
    """The types and states of the endpoint's deliveries in the order in which they were made."""
    return [(row["type"], row["state"]) for row in deliveries(world, endpoint_id)]
