"""Each minute a worker checks its queue's database and forgets brands that it found locked long ago."""

from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from app.ingest.locked_brands import locked_brands
from app.processes import report
from db.connections import ProcessKind
from db.engine import committed
from db.repository.health.processes import Process
from db.repository.reading import status_feed
from runtime.metrics import registry
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
    committed(status_feed.begin_epoch)
    assert warnings_of(ProcessKind.WEB) == []
    (warning,) = warnings_of(ProcessKind.WORKER)
    assert (warning["event"], warning["log_level"]) == (WARNING, "warning")
    assert warning["epoch"] != warning["epoch_before"]
    assert warnings_of(ProcessKind.WORKER) == []


def test_worker_forgets_a_locked_brand_whose_spend_did_not_return_to_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    del world
    locked_brands.add([7])
    warnings_of(ProcessKind.WORKER)
    assert locked_brands.ids() == {7}
    assert locked_gauge() == 1
    monkeypatch.setattr("app.ingest.locked_brands.STALE_SECONDS", -10.0)
    warnings_of(ProcessKind.WORKER)
    assert locked_brands.ids() == frozenset()
    assert locked_gauge() == 0


def locked_gauge() -> float | None:
    return registry.get_sample_value("spendgate_locked_brands")
