"""The versions of Python that the package names are those that the workflow runs, and the image uses one of them."""

import re
import tomllib

import yaml

from tests.cli.shell import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
NAMED = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["project"]["classifiers"]))


def test_workflow_runs_each_version_that_the_package_names() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == NAMED


def test_oldest_version_is_that_of_the_linters_and_the_lock() -> None:
    assert PROJECT["project"]["requires-python"] == f">={NAMED[0]}"
    assert PROJECT["tool"]["mypy"]["python_version"] == NAMED[0]
    assert f"--python-version {NAMED[0]}" in (REPOSITORY / "Makefile").read_text()


def test_image_uses_a_version_that_the_package_names() -> None:
    bases = re.findall(r"^FROM python:(3\.\d+)-", (REPOSITORY / "Containerfile").read_text(), re.MULTILINE)
    assert len(set(bases)) == 1
    assert bases[0] in NAMED
