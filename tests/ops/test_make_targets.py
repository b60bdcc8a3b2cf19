"""Each test that the Makefile or the order of tests names exists: a renamed file leaves no leg without its tests."""

import os
import re
import subprocess

from tests.cli.shell import REPOSITORY
from tests.conftest import LONG

OF_MAKE = ("ARGS", "MAKEFLAGS", "MAKEOVERRIDES")
"""Variables that a `make test ARGS=…` around this test gives to every make below it."""


def named_tests() -> list[str]:
    """The paths of tests in the commands of the legs on other brokers, as make prints them, each once."""
    targets = ["test-redis", "test-rabbitmq", "test", "faults"]
    printed = subprocess.run(
        ["make", "--dry-run", "--always-make", "SPENDGATE_TEST_RABBITMQ=x", *targets],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if name not in OF_MAKE},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return sorted(set(re.findall(r"(?<=\s)tests/[\w/.:]+", printed)))


def test_each_test_that_the_makefile_names_exists() -> None:
    named = named_tests()
    assert len(named) > 10
    for path, _, function in (name.partition("::") for name in named):
        file = REPOSITORY / path
        assert file.exists(), path
        assert not function or f"def {function}(" in file.read_text(), f"{path}::{function}"


def test_each_prefix_of_long_tests_names_some() -> None:
    for prefix in LONG:
        path = REPOSITORY / prefix
        assert path.is_dir() or list(path.parent.glob(f"{path.name}*.py")), prefix
