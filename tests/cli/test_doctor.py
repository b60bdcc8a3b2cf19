"""`spendgate doctor`: its exit code, its JSON, and lines that fit a terminal of 80 columns."""

import pytest

from tests.cli.shell import shell
from tests.world import World

UNREACHABLE = {"DATABASE_URL": "postgresql://app:hidden@127.0.0.1:1/spendgate"}


def test_doctor_says_what_to_do_and_exits_with_1_for_a_fault(world: World) -> None:
    world.execute("UPDATE alembic_version SET version_num = '0004'")
    result = shell("doctor", env={"COLUMNS": "80"})
    assert result.code == 1
    assert "wrong   tables" in result.out
    assert "Run `spendgate migrate`." in " ".join(result.out.split())
    assert max(map(len, result.out.splitlines())) <= 80


def test_doctor_gives_its_findings_as_json(world: World) -> None:
    result = shell("doctor", "--json")
    wrong = [one["check"] for one in result.data["checks"] if one["verdict"] == "wrong"]
    assert result.data["is_right"] is (not wrong)
    assert result.code == bool(wrong)
    assert {"check", "verdict", "found", "advice"} == set(result.data["checks"][0])


@pytest.mark.parametrize("servers", [UNREACHABLE, {**UNREACHABLE, "REDIS_URL": "redis://:hidden@127.0.0.1:1/0"}])
def test_doctor_reports_servers_that_do_not_answer(world: World, servers: dict[str, str]) -> None:
    result = shell("doctor", "--json", env=servers)
    wrong = {one["check"] for one in result.data["checks"] if one["verdict"] == "wrong"}
    assert ("redis" in wrong) is ("REDIS_URL" in servers)
    assert "postgres" in wrong
    assert "hidden" not in result.out + result.err
