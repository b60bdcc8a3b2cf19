"""`python -m tests.faults.worker`: the worker processes as deployed, with an actor that kills its process.

SPENDGATE_FAULTS_SILENT_MS sets the milliseconds of silence after which a worker counts as dead, SPENDGATE_FAULTS_PART
the campaigns of a large brand in one transaction, SPENDGATE_FAULTS_RETURNS how often a message is bundled again.
"""

import os
import signal
import sys

import dramatiq

from app import passes
from delivery.broker import get_broker
from delivery.redis import consumer as redis_consumer
from tests.world import eventually
from workers import __main__

broker = get_broker()


@dramatiq.actor(broker=broker, queue_name="spend", max_retries=0)
def kill_the_process(how: str) -> None:
    """Ends the process that runs it: by SIGKILL, or by exiting with code 3."""
    if how == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
        eventually(lambda: False)
    os._exit(3)


if __name__ == "__main__":
    silent_ms = int(os.environ.get("SPENDGATE_FAULTS_SILENT_MS", redis_consumer.SILENT_MS))
    vars(redis_consumer)["SILENT_MS"] = silent_ms
    returns = int(os.environ.get("SPENDGATE_FAULTS_RETURNS", redis_consumer.RETURNS_BUNDLED))
    vars(redis_consumer)["RETURNS_BUNDLED"] = returns
    vars(passes)["CAMPAIGNS_A_PART"] = int(os.environ.get("SPENDGATE_FAULTS_PART", passes.CAMPAIGNS_A_PART))
    sys.exit(__main__.main())
