"""Workers notice that their queue belongs to another database, or to an earlier state of theirs."""

from uuid import uuid4

from structlog.testing import capture_logs

from app.processes import report
from db.connections import ProcessKind
from db.engine import committed
from db.repository.health.processes import Process
from db.repository.reading import feed
from tests.world import World

WARNING = "queue.of_another_database"


def warnings_of(kind: ProcessKind) -> list[dict[str, object]]:
    """The warnings that a process of this kind logs when it reports."""
    with capture_logs() as logs:
        report(Process(uuid4(), kind, "1", "here", 1, None))
    return [dict(line) for line in logs]


def test_worker_warns_when_its_queue_had_another_epoch(world: World) -> None:
    del world
    warnings_of(ProcessKind.WORKER)  # the queue may have the epoch of an earlier test
    assert warnings_of(ProcessKind.WORKER) == []
    committed(feed.begin_epoch)
    assert warnings_of(ProcessKind.WEB) == []
    (warning,) = warnings_of(ProcessKind.WORKER)
    assert (warning["event"], warning["log_level"]) == (WARNING, "warning")
    assert warning["epoch"] != warning["epoch_before"]
    assert warnings_of(ProcessKind.WORKER) == []
