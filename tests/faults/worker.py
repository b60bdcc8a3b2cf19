"""`python -m tests.faults.worker`: the worker processes as they are, and actors that no process survives.

SPENDGATE_FAULTS_SILENT_MS sets after how much silence a worker is called dead, SPENDGATE_FAULTS_PART how many campaigns
of a large brand are enforced in one transaction.
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
    """Ends the process in which it runs: by a signal that cannot be caught, or by itself."""
    if how == "signal":
        os.kill(os.getpid(), signal.SIGKILL)
        eventually(lambda: False)
    os._exit(3)


if __name__ == "__main__":
    silent_ms = int(os.environ.get("SPENDGATE_FAULTS_SILENT_MS", redis_consumer.SILENT_MS))
    vars(redis_consumer)["SILENT_MS"] = silent_ms
    vars(passes)["CAMPAIGNS_A_PART"] = int(os.environ.get("SPENDGATE_FAULTS_PART", passes.CAMPAIGNS_A_PART))
    sys.exit(__main__.main())
