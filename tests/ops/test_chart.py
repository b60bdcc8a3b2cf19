"""The Helm chart: its values, schema and templates agree, and helm renders it where it is installed."""

import json
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

helm = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")

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
        assert "/healthz" in services[process]["healthcheck"]["test"][-1]


def test_metric_of_the_autoscaling_exists() -> None:
    from docs.reference.metric_names import metrics  # noqa: PLC0415

    assert metrics()[VALUES["worker"]["autoscaling"]["metric"]].labels == ("queue",)


@helm
def test_helm_lints_the_chart() -> None:
    subprocess.run(["helm", "lint", "--strict", str(CHART)], check=True)


@helm
@pytest.mark.parametrize("values", VARIANTS)
def test_helm_renders_the_chart(values: dict[str, Any]) -> None:
    rendered = subprocess.run(
        ["helm", "template", "one", str(CHART), "--values", "-"],
        input=yaml.safe_dump(values),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kinds = [one["kind"] for one in yaml.safe_load_all(rendered) if one]
    assert kinds.count("Deployment") == 3
    assert "Job" in kinds
