"""The image has every package of ours and needs no root, and compose runs the processes of the Procfile."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.settings import Settings
from tests.cli.shell import REPOSITORY

CONTAINERFILE = (REPOSITORY / "Containerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
OURS = {name: one for name, one in COMPOSE["services"].items() if one["image"].startswith("${SPENDGATE_IMAGE")}


def instructions() -> list[tuple[str, str]]:
    """The instructions of the file, in order, with continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", CONTAINERFILE)
    lines = (line for line in joined.splitlines() if line and not line.startswith("#"))
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def copied() -> set[str]:
    """The paths of the checkout that the image is built from."""
    sources = [
        arguments.split()[:-1] for name, arguments in instructions() if name == "COPY" and "--from" not in arguments
    ]
    return {path.rstrip("/") for paths in sources for path in paths}


def test_image_is_built_from_every_package_and_the_hashed_lock() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = {"requirements.txt", "pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert copied() == {*packages, *files}
    assert all((REPOSITORY / path).exists() for path in copied())
    assert "--require-hashes" in CONTAINERFILE


@pytest.mark.parametrize("name", [".containerignore", ".dockerignore"])
def test_build_context_holds_what_the_image_copies_and_nothing_else(name: str) -> None:
    lines = (REPOSITORY / name).read_text().split()
    assert lines[0] == "**"
    assert {line[1:].removesuffix("/**") for line in lines if line.startswith("!")} == copied()


def test_image_runs_as_a_numbered_user_from_a_pinned_base_and_stops_on_sigterm() -> None:
    last = dict(instructions())
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"])
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert last["CMD"].startswith("[")
    bases = [arguments.split()[0] for name, arguments in instructions() if name == "FROM"]
    assert all(re.search(r":\d", base) for base in bases)
    order = [name for name, _ in instructions()]
    assert "COPY" not in order[order.index("USER") :]


def test_image_checks_the_health_of_each_mode_as_compose_does() -> None:
    check = dict(instructions())["HEALTHCHECK"]
    command = check.partition(" CMD ")[2]
    for process in ("worker", "scheduler"):
        assert COMPOSE["services"][process]["healthcheck"]["test"] == ["CMD", *json.loads(command)]
    assert all("healthcheck" in OURS[name] for name in OURS if name != "migrate")


def test_image_holds_no_secret() -> None:
    set_here = [arguments for name, arguments in instructions() if name in {"ENV", "ARG"}]
    assert not re.search(r"(?i)password|secret|token|_key", " ".join(set_here))


def test_compose_runs_the_processes_of_the_procfile() -> None:
    procfile = dict(line.split(": ", 1) for line in (REPOSITORY / "Procfile").read_text().splitlines())
    for process in ("web", "worker", "scheduler"):
        assert " ".join(OURS[process]["command"]) in procfile[process]
    assert "spendgate migrate" in " ".join(OURS["migrate"]["command"])


def test_compose_sets_only_settings_that_exist() -> None:
    known = {str(field.validation_alias.choices[0]) for field in Settings.model_fields.values()}  # type: ignore[union-attr]
    roles = {f"SPENDGATE_{role}_PASSWORD" for role in ("MIGRATOR", "WORKER", "WEB", "READER")}
    for service in OURS.values():
        assert set(service["environment"]) <= known | roles


def test_services_of_compose_need_no_root_and_no_writable_file_system() -> None:
    for service in OURS.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - in the container
        assert service["stop_grace_period"] == "35s"


def test_services_of_compose_wait_for_services_that_are_checked() -> None:
    for service in COMPOSE["services"].values():
        for name, wanted in service.get("depends_on", {}).items():
            needs_check = wanted["condition"] == "service_healthy"
            assert not needs_check or "healthcheck" in COMPOSE["services"][name]
    mounted = {volume.partition(":")[0] for one in COMPOSE["services"].values() for volume in one.get("volumes", ())}
    for source in mounted:
        assert source in COMPOSE["volumes"] or (REPOSITORY / source).exists()


def test_compose_publishes_the_pages_on_this_machine_only_by_default() -> None:
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert published == [
        "${SPENDGATE_PUBLISH:-127.0.0.1:8000}:8000",
        "${SPENDGATE_GRAFANA_PUBLISH:-127.0.0.1:3000}:3000",
    ]


def test_hadolint_accepts_the_containerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    checked = subprocess.run([hadolint, REPOSITORY / "Containerfile"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")
