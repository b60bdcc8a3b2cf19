"""`python -m benchmarks.idle_worker`: the worker processes as deployed, with an actor that does nothing."""

import sys

import dramatiq

from delivery.broker import get_broker
from workers import __main__

broker = get_broker()


@dramatiq.actor(broker=broker, queue_name="spend")
def do_nothing(**kwargs: object) -> None:
    """Does nothing, so that only the delivery of the message takes time."""
    del kwargs


if __name__ == "__main__":
    sys.exit(__main__.main())
