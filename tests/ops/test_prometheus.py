"""Alert rules and the dashboard fit the metrics, and a real Prometheus answers every panel from a running service."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml

from delivery.outgoing import send, send_events
from docs.reference.metric_names import metrics
from tests.cli.shell import REPOSITORY, serving
from tests.kit import queue
from tests.ports import free_port
from tests.world import UNIT, World, eventually

RULES = REPOSITORY / "ops/prometheus"
PANELS: list[dict[str, Any]] = json.loads((REPOSITORY / "ops/grafana/dashboards/spendgate.json").read_text())["panels"]
ALERTS: list[dict[str, Any]] = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"][0]["rules"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]

OF_FAULTS = ('reason="deadlock"', 'outcome="failed"', 'outcome="rejected"', "5..", "offset", "platform_oldest")
"""Parts of comparisons whose series begin with the first fault, the second day or the first account."""

LEFT_SIDES = {
    left
    for alert in ALERTS
    for left in re.findall(r"(?:^| or | and )((?:(?! or max| or time| and ).)+?) (?:>|<|==) [0-9]", alert["expr"])
    if not any(part in left for part in OF_FAULTS)
}
"""The left sides of the rules' comparisons: without a sample of them a rule can never fire."""

PATIENCE_SECONDS = 150
"""The scheduler sends the first jobs at the next full minute, and rates need two scrapes after them."""

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


@promtool
def test_promtool_accepts_the_rules_and_each_alert_fires_on_its_series_alone() -> None:
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        checked = subprocess.run(["promtool", *command], cwd=RULES, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_is_tested_when_it_fires_and_when_it_does_not() -> None:
    tests = yaml.safe_load((RULES / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    names = {alert["alert"] for alert in ALERTS}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


def test_each_alert_has_a_section_of_the_runbook() -> None:
    text = (REPOSITORY / "docs/operations/runbook.md").read_text()
    for alert in ALERTS:
        page, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert page == "docs/operations/runbook.md"
        title = next(line[3:] for line in text.splitlines() if line.lower().replace(" ", "-") == f"##-{anchor}")
        section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
        assert f"`{alert['alert']}`" in section
        assert all(f"- **{label}:**" in section for label in ("Effect", "Look at", "Do"))


@pytest.mark.parametrize("query", [*QUERIES, *(alert["expr"] for alert in ALERTS)])
def test_queries_name_metrics_and_labels_that_exist(query: str) -> None:
    known = metrics()
    for name in re.findall(r"spendgate_[a-z_]+", query.replace("spendgate-", "")):
        metric = known.get(name) or known[re.sub(r"_(bucket|sum|count)$", "", name)]
        for _, labels in re.findall(rf"({name}){{([^}}]*)}}", query):
            assert set(re.findall(r"(\w+)=", labels)) <= {*metric.labels, "job"}, name
        assert not {"job", "instance"} & set(metric.labels), "Prometheus replaces these labels by its own"


@pytest.fixture
def prometheus(world: World, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a Prometheus that scrapes a web process, a worker and a scheduler every second."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    web, worker, scheduler, port = free_port(), free_port(), free_port(), free_port()
    config = yaml.safe_load((RULES / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s"}
    config.pop("rule_files")
    for job, target in zip(config["scrape_configs"], (web, worker, scheduler), strict=True):
        job["static_configs"] = [{"targets": [f"127.0.0.1:{target}"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    arguments = [f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    processes = (
        (("-m", "web"), {"PORT": str(web)}),
        (("-m", "workers"), {"SPENDGATE_WORKER_METRICS_PORT": str(worker), "SPENDGATE_WORKER_PROCESSES": "1"}),
        (("-m", "workers.scheduler"), {"SPENDGATE_SCHEDULER_METRICS_PORT": str(scheduler)}),
    )
    with ExitStack() as stack:
        for number, (argv, env) in enumerate(processes):
            stack.enter_context(serving(*argv, output=tmp_path / f"output-{number}", env=env, by_exec=True))
        log = stack.enter_context((tmp_path / "log").open("wb"))
        server = subprocess.Popen(
            ["prometheus", *arguments, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
        stack.callback(server.wait)
        stack.callback(server.terminate)
        yield stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))


def _result(prometheus: httpx.Client, query: str) -> list[dict[str, Any]]:
    """The samples of a query; empty as long as Prometheus does not answer. Fails for a query that is wrong."""
    query = query.replace("$__rate_interval", "1m")
    try:
        answer = prometheus.get("/api/v1/query", params={"query": query})
    except httpx.TransportError:
        return []
    assert answer.status_code in {200, 503}, answer.text
    return list(answer.json()["data"]["result"]) if answer.status_code == 200 else []


def test_real_prometheus_answers_each_panel_and_rule_from_a_running_service(
    prometheus: httpx.Client, world: World, request: pytest.FixtureRequest
) -> None:
    campaign = world.campaign(world.brand(daily=3 * UNIT))
    unanswered = {*QUERIES, *LEFT_SIDES}
    request.addfinalizer(partial(queue().config_set, "maxmemory", 0))
    queue().config_set("maxmemory", "1gb")

    def are_answered() -> bool:
        send_events([world.event(campaign, UNIT)])
        send("roll_up_hours")
        send("reset_daily_budgets")
        send("maintain_ledger")
        unanswered.difference_update([query for query in unanswered if _result(prometheus, query)])
        return not unanswered

    eventually(are_answered, PATIENCE_SECONDS)
    eventually(lambda: all(one["value"][1] == "1" for one in _result(prometheus, "up")))
