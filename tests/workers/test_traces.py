"""Processes with SPENDGATE_TRACING send the spans of requests, messages and SQL as one trace to a collector."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import httpx2 as httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from app import access
from delivery.bundles import MAX_MESSAGES
from delivery.messages import Fault, read
from domain.access import KeyScope
from tests.cli.shell import REPOSITORY, Service, environment, run, serving
from tests.collector import Collector, attributes, collecting
from tests.kit import broker, message_of, put_message
from tests.ports import free_port
from tests.queues import ON_REDIS
from tests.world import UNIT, World, eventually

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID = bytes.fromhex(CALLER.split("-")[1])
PATIENCE_SECONDS = 100
UNSAMPLED = CALLER[:-1] + "0"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.fixture
def processes(world: World) -> Iterator[ExitStack]:
    """Ends the processes of a test."""
    del world
    with ExitStack() as stack:
        yield stack


def worker(processes: ExitStack, collector: Collector, tmp_path: Path) -> Service:
    """A worker of one process with one thread, so that it fetches waiting messages together."""
    env = {
        **collector.env,
        "SPENDGATE_WORKER_PROCESSES": "1",
        "SPENDGATE_WORKER_THREADS": "1",
        "SPENDGATE_WORKER_METRICS_PORT": "0",
    }
    return processes.enter_context(serving("-m", "workers", output=tmp_path / "worker", env=env))


def web(processes: ExitStack, collector: Collector, tmp_path: Path) -> httpx.Client:
    port = free_port()
    env = {**collector.env, "PORT": str(port)}
    processes.enter_context(serving("-m", "web", output=tmp_path / "web", env=env))
    _, key = access.create_key("Sender", [KeyScope.SPEND_WRITE], "test")
    client = processes.enter_context(
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=60)
    )
    eventually(lambda: _answers(client), PATIENCE_SECONDS)
    return client


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def path_to(spans: list[Span], last: Span) -> list[str]:
    """The names of the spans from the caller down to `last`."""
    by_id = {span.span_id: span for span in spans}
    names = [last.name]
    while last.parent_span_id in by_id:
        last = by_id[last.parent_span_id]
        names.insert(0, last.name)
    assert last.parent_span_id == bytes.fromhex(CALLER.split("-")[2])
    return names


WRITES = re.compile(r"INSERT INTO spend_events|count_spend\(")
"""The statement that writes spend events on one server, or on a cluster."""


def test_one_trace_leads_from_the_callers_request_to_the_commit(
    world: World, processes: ExitStack, collector: Collector, tmp_path: Path
) -> None:
    campaign = world.campaign(world.brand(daily=3 * UNIT))
    client = web(processes, collector, tmp_path)
    service = worker(processes, collector, tmp_path)
    events = {"events": [world.event(campaign, UNIT)]}
    assert client.post("/api/spend/", json=events, headers={"traceparent": CALLER}).status_code == 202

    eventually(lambda: len(collector.spans(TRACE_ID, "process ingest_spend")) == 1, PATIENCE_SECONDS)
    eventually(lambda: len(collector.spans(TRACE_ID, "POST /api/spend/")) == 1, PATIENCE_SECONDS)
    spans = collector.spans(TRACE_ID)
    write, commit = next(
        (one, after)
        for one in spans
        for after in spans
        if WRITES.search(attributes(one).get("db.query.text", ""))
        if (after.name, after.parent_span_id) == ("COMMIT", one.parent_span_id)
    )
    assert write.end_time_unix_nano <= commit.start_time_unix_nano
    way = ["POST /api/spend/", "send ingest_spend", "process ingest_spend", "group commit", "COMMIT"]
    assert path_to(spans, commit) == way
    assert collector.services == {"spendgate-web", "spendgate-worker"}
    (request,) = collector.spans(TRACE_ID, "POST /api/spend/")
    assert request.kind == Span.SPAN_KIND_SERVER
    assert attributes(request)["http.response.status_code"] == 202
    (line,) = service.logged("spend.ingested")
    assert line["trace_id"] == CALLER.split("-")[1]
    assert str(UNIT) not in "".join(str(attributes(span)) for span in spans)


@ON_REDIS
def test_bundle_has_one_span_that_links_to_each_sender(
    world: World, processes: ExitStack, collector: Collector, tmp_path: Path
) -> None:
    campaign = world.campaign(world.brand(daily=99 * UNIT))
    senders = {f"00-{uuid4().hex}-{uuid4().hex[:16]}-0{number % 2}" for number in range(5)}
    for sender in senders:
        put_message(kwargs={"events": [world.event(campaign, UNIT)]}, options={"traceparent": sender})
    put_message(kwargs={"events": [world.event(campaign, UNIT)]})
    worker(processes, collector, tmp_path)
    eventually(lambda: bool(collector.spans(name="process ingest_spend")), PATIENCE_SECONDS)
    (bundle,) = collector.spans(name="process ingest_spend")
    assert {(link.trace_id.hex(), link.span_id.hex()) for link in bundle.links} == {
        tuple(sender.split("-")[1:3]) for sender in senders
    }
    assert bundle.trace_id.hex() in {sender.split("-")[1] for sender in senders if sender.endswith("01")}
    assert attributes(bundle)["messaging.batch.message_count"] == 6 <= MAX_MESSAGES
    assert world.spent(campaign) == 6 * UNIT


def test_message_that_fails_marks_its_span(
    world: World, processes: ExitStack, collector: Collector, tmp_path: Path
) -> None:
    put_message("evaluate_budgets", "enforcement", kwargs={"no_such": 1}, options={"traceparent": CALLER})
    worker(processes, collector, tmp_path)
    eventually(lambda: bool(collector.spans(TRACE_ID, "process evaluate_budgets")), PATIENCE_SECONDS)
    failed = collector.spans(TRACE_ID, "process evaluate_budgets")[0]
    assert failed.status.code == Status.STATUS_CODE_ERROR


def test_unsampled_caller_makes_no_spans(
    world: World, processes: ExitStack, collector: Collector, tmp_path: Path
) -> None:
    client = web(processes, collector, tmp_path)
    for sent in (UNSAMPLED, CALLER):
        assert client.post("/api/spend/", json={"events": []}, headers={"traceparent": sent}).status_code in {202, 422}
    eventually(lambda: bool(collector.spans(TRACE_ID, "POST /api/spend/")), PATIENCE_SECONDS)
    assert len(collector.spans(TRACE_ID, "POST /api/spend/")) == 1


def test_process_ends_in_time_if_the_collector_does_not_answer(
    world: World, processes: ExitStack, collector: Collector, tmp_path: Path
) -> None:
    campaign = world.campaign(world.brand())
    gone = Collector(free_port())
    service = worker(processes, gone, tmp_path)
    put_message(kwargs={"events": [world.event(campaign, UNIT)]})
    eventually(lambda: bool(service.logged("spend.ingested")), PATIENCE_SECONDS)
    service.send(signal.SIGTERM)
    assert service.code() == 0


@pytest.mark.parametrize(
    "traceparent", ["", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "01-" + CALLER[3:], CALLER + "-x", 7, None]
)
def test_invalid_traceparent_of_a_message_is_dropped(traceparent: object) -> None:
    sent = json.dumps(message_of("ingest_spend", "spend", "a", options={"traceparent": traceparent})).encode()
    checked = read(sent, "spend", broker.actors)
    assert not isinstance(checked, Fault)
    assert "traceparent" not in checked.options


def test_without_the_setting_nothing_of_the_exporter_is_imported() -> None:
    code = (
        "import sys; from delivery import broker; from db import engine; from web.http import traced\n"
        "from runtime import tracing\n"
        "tracing.start('web'); broker.get_broker()\n"
        "names = ('opentelemetry.exporter', 'opentelemetry.sdk.trace', 'runtime.traces')\n"
        "print([name for name in sys.modules if name.startswith(names)])"
    )
    assert run("-c", code).out.strip() == "[]"


def test_setting_without_the_packages_ends_a_process_with_one_line() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.exporter'] = None; sys.argv = ['web']\n"
        "import runpy; runpy.run_module('web', run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=environment({"SPENDGATE_TRACING": "true"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "SPENDGATE_TRACING: needs more packages; install them with `pip install spendgate[tracing]`"
    ]
