"""The Helm chart: its values, schema and templates agree, and helm renders it where it is installed."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml

from runtime.settings import Settings
from tests.cli.shell import REPOSITORY
from tests.releases import present_version

CHART = REPOSITORY / "ops/chart"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = {path.name: path.read_text() for path in sorted((CHART / "templates").iterdir())}
NAMED = re.compile(r"\.Values\.([\w.]+)")
SCOPED = "worker.autoscaling"
"""The part of the values that a template enters by `with`."""

SDK = os.environ.get("SPENDGATE_TEST_HELM")
"""A Python with the package helm-python-sdk, which holds Helm's own code; it serves where no `helm` is installed."""

helm = pytest.mark.skipif(shutil.which("helm") is None and SDK is None, reason="neither helm nor its SDK is installed")

LINT_BY_SDK = """
import json, sys, helm_python
report = helm_python.lint(sys.argv[1], strict=True)
sys.exit(json.dumps(report) if report["errors"] or any(one["severity"] > 1 for one in report["messages"]) else 0)
"""
RENDER_BY_SDK = """
import sys, helm_python
with helm_python.Chart.load(sys.argv[1]) as chart:
    values = helm_python.values_from_yaml(sys.stdin.read())
    chart.validate_schema(values)
    manifests = chart.render(values, name="one")
print("\\n---\\n".join(text for name, text in manifests.items() if name.endswith(".yaml")))
"""

VARIANTS: list[dict[str, Any]] = [
    {},
    {"worker": {"autoscaling": {"enabled": True}}, "podMonitors": {"enabled": True}, "migrate": {"createRoles": True}},
    {
        "image": {"tag": "1.2", "pullSecrets": ["registry"]},
        "disruptionBudget": {"enabled": False},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "spendgate", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "podAnnotations": {"team": "ads"},
        "settings": {"SPENDGATE_MAX_EVENT_AGE_DAYS": 30},
    },
]


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The paths of the values that are no map, or an empty one."""
    for name, value in values.items():
        if isinstance(value, dict) and value and name not in {"settings", "resources"}:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_templates_name_each_value_and_no_other() -> None:
    text = "\n".join(TEMPLATES.values())
    scoped = TEMPLATES["autoscaling.yaml"]
    names = set(NAMED.findall(text)) | {f"{SCOPED}.{name}" for name in re.findall(r"(?<![\w$.])\.([a-z]\w*)", scoped)}
    known = set(leaves(VALUES))
    assert {name for name in names if name not in known} == {SCOPED}
    assert known - names == set()


def test_schema_accepts_the_values_and_refuses_other_names() -> None:
    validator = jsonschema_rs.Draft7Validator(SCHEMA)
    assert [error.message for error in validator.iter_errors(VALUES)] == []
    for wrong in (
        {**VALUES, "replicas": 3},
        {**VALUES, "web": {**VALUES["web"], "replica": 3}},
        {**VALUES, "settings": {"lower": 1}},
        {**VALUES, "settings": {"LOG_LEVEL": {"a": 1}}},
        {**VALUES, "scheduler": {**VALUES["scheduler"], "replicas": -1}},
    ):
        assert not validator.is_valid(wrong), wrong


def test_schema_names_each_value() -> None:
    def described(schema: dict[str, Any], values: dict[str, Any]) -> None:
        for name, value in values.items():
            part = schema["properties"][name]
            if isinstance(value, dict) and "properties" in part:
                described(part, value)

    described(SCHEMA, VALUES)


def test_chart_has_the_version_of_the_package_and_settings_that_exist() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == present_version()
    variables = {str(field.validation_alias.choices[0]) for field in Settings.model_fields.values()}  # type: ignore[union-attr]
    text = "\n".join([*TEMPLATES.values(), (CHART / "values.yaml").read_text()])
    assert set(re.findall(r"SPENDGATE_[A-Z_]+[A-Z]", text)) <= variables
    assert set(VALUES["settings"]) <= variables


def test_containers_run_the_commands_of_compose() -> None:
    services = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["services"]
    for process in ("web", "worker", "scheduler"):
        command = ", ".join(services[process]["command"])
        assert f"command: [{command}]" in TEMPLATES[f"{process}.yaml"]


def test_no_probe_and_no_health_check_of_a_process_reads_the_servers() -> None:
    services = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["services"]
    for process in ("worker", "scheduler"):
        assert set(re.findall(r"path: (/\w+)", TEMPLATES[f"{process}.yaml"])) == {"/healthz"}
        assert services[process]["healthcheck"]["test"] == ["CMD", "python", "-m", "runtime.healthcheck"]


def test_metric_of_the_autoscaling_exists() -> None:
    from docs.reference.metric_names import metrics  # noqa: PLC0415

    assert metrics()[VALUES["worker"]["autoscaling"]["metric"]].labels == ("queue",)


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The manifests that Helm makes of the chart."""
    of_helm = ["helm", "template", "one", str(CHART), "--values", "-"]
    done = subprocess.run(
        of_helm if shutil.which("helm") else [str(SDK), "-c", RENDER_BY_SDK, str(CHART)],
        input=yaml.safe_dump(values),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def of_kind(manifests: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """The manifests of a kind, by name."""
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


@helm
def test_helm_lints_the_chart() -> None:
    of_helm = ["helm", "lint", "--strict", str(CHART)]
    subprocess.run(of_helm if shutil.which("helm") else [str(SDK), "-c", LINT_BY_SDK, str(CHART)], check=True)


@helm
@pytest.mark.parametrize("values", VARIANTS)
def test_helm_renders_the_chart(values: dict[str, Any]) -> None:
    manifests = rendered(values)
    assert of_kind(manifests, "Deployment").keys() == {"one-web", "one-worker", "one-scheduler"}
    (job,) = of_kind(manifests, "Job").values()
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    for name, deployment in of_kind(manifests, "Deployment").items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert ("readinessProbe" in container) == (name == "one-web")
        selector = deployment["spec"]["selector"]["matchLabels"]
        assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    budgets = of_kind(manifests, "PodDisruptionBudget")
    assert set(budgets) == (set() if values.get("disruptionBudget") else {"one-web", "one-worker"})


@helm
def test_workers_are_scaled_by_the_age_of_the_queue_alone() -> None:
    manifests = rendered({"worker": {"autoscaling": {"enabled": True}}})
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler").values()
    (metric,) = scaler["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == VALUES["worker"]["autoscaling"]["metric"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == "one-worker"
    assert "replicas" not in of_kind(manifests, "Deployment")["one-worker"]["spec"]


@helm
def test_large_numbers_reach_processes_with_all_their_digits() -> None:
    settings = {"SPENDGATE_MAX_MESSAGE_BYTES": 36_000_000, "SPENDGATE_CLOCK_SPEED": 2.5, "SPENDGATE_TRACING": True}
    worker = of_kind(rendered({"settings": settings}), "Deployment")["one-worker"]
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    env = {one["name"]: one["value"] for one in container["env"]}
    assert [env[name] for name in settings] == ["36000000", "2.5", "true"]
