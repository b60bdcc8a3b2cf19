"""What a process writes is one JSON object a line, whoever wrote it and whatever it holds."""

import json
from typing import Any

import pytest

from tests.cli.shell import UNCHANGED, Env, run

CONFIGURED = """
import logging, warnings
import structlog
from runtime import logs
logs.configure()
log = structlog.get_logger()
"""
FORGED = 'x\\n{"event": "forged", "level": "info"}\\r\\n\\x1b[2K\\u2028y'


def written(script: str, env: Env = UNCHANGED) -> list[dict[str, Any]]:
    """The lines that a process with this script writes on standard output, and nothing else anywhere."""
    told = run("-c", CONFIGURED + script, env=env)
    assert (told.code, told.err) == (0, "")
    return [json.loads(line) for line in told.out.split("\n")[:-1]]


def test_a_line_has_its_event_level_moment_and_fields() -> None:
    (line,) = written("log.info('spend.ingested', brand_id=7, amount_micros=9_007_199_254_740_993)")
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "spend.ingested",
        "level": "info",
        "brand_id": 7,
        "amount_micros": 9_007_199_254_740_993,
    }


def test_a_librarys_line_is_json_too_under_a_stable_name() -> None:
    logger = "logging.getLogger('dramatiq.worker')"
    (line,) = written(f"{logger}.warning('cannot\\n%s', 'connect', extra={{'queue': 'spend'}})")
    assert line["event"] == "library.dramatiq"
    assert line["logger"] == "dramatiq.worker"
    assert line["message"] == "cannot\nconnect"
    assert line["queue"] == "spend"
    assert line["level"] == "warning"


def test_a_warning_of_python_is_json_too() -> None:
    (line,) = written("warnings.simplefilter('always'); warnings.warn('old ways')")
    assert "old ways" in line["message"]


def test_what_is_bound_to_a_message_is_on_its_lines() -> None:
    bound = "structlog.contextvars.bind_contextvars(message_id='m1')"
    lines = written(f"{bound}; logging.getLogger('redis').warning('x'); log.info('y')")
    assert [line["message_id"] for line in lines] == ["m1", "m1"]


def test_an_exception_is_told_without_the_values_of_its_variables() -> None:
    script = """
def connect(password):
    raise RuntimeError("it broke")
for logger in (log, logging.getLogger("redis")):
    try:
        connect("hidden" + "-value")
    except RuntimeError:
        logger.exception("gone")
"""
    for line in written(script):
        assert line["exception"][0]["exc_type"] == "RuntimeError"
        assert line["exception"][0]["exc_value"] == "it broke"
        assert "connect" in {frame["name"] for frame in line["exception"][0]["frames"]}
        assert "hidden-value" not in json.dumps(line)


def test_no_name_can_forge_a_line() -> None:
    for script in (
        f"log.info('brand.made', name='{FORGED}')",
        f"log.info('brand.made', **{{'{FORGED}': 1}})",
        f"logging.getLogger('x').warning('{FORGED}')",
        f"logging.getLogger('{FORGED}').warning('x')",
    ):
        (line,) = written(script)
        assert line["event"] != "forged"


def test_a_name_that_is_no_unicode_does_not_stop_the_log() -> None:
    first, second = written("log.info('a', name='\\udcff'); log.info('b')")
    assert (first["event"], second["event"]) == ("a", "b")


def test_a_value_that_is_no_json_is_told_as_text() -> None:
    (line,) = written("import decimal; log.info('a', amount=decimal.Decimal('1.5'), names={1})")
    assert line["amount"] == "1.5"


def test_a_long_field_is_cut() -> None:
    own, foreign = written("log.info('a', payload='x' * 100_000); logging.getLogger('b').error('y' * 100_000)")
    assert len(own["payload"]) < 3_000
    assert len(foreign["message"]) < 3_000


@pytest.mark.parametrize(("level", "told"), [("DEBUG", 4), ("INFO", 3), ("warning", 2), ("ERROR", 1)])
def test_the_level_holds_for_our_lines_and_those_of_libraries(level: str, told: int) -> None:
    for logger in ("log", "logging.getLogger('redis')"):
        script = "".join(f"{logger}.{name}('x');" for name in ("debug", "info", "warning", "error"))
        assert len(written(script, {"LOG_LEVEL": level})) == told


@pytest.mark.parametrize("name", ["periodiq", "alembic", "uvicorn.error", "httpx"])
def test_of_a_chatty_library_only_what_goes_wrong_is_told(name: str) -> None:
    (line,) = written(f"logging.getLogger('{name}').info('step'); logging.getLogger('{name}').warning('wrong')")
    assert line["message"] == "wrong"


def test_the_format_for_people_is_no_json_and_has_no_colours_in_a_pipe() -> None:
    told = run("-c", CONFIGURED + "log.info('campaign.paused', campaign_id=7)", env={"LOG_FORMAT": "console"})
    assert told.out.count("\n") == 1
    assert "campaign.paused" in told.out
    assert "campaign_id=7" in told.out
    assert "\x1b" not in told.out


def test_a_command_of_a_person_tells_only_what_goes_wrong_and_on_stderr() -> None:
    script = """
import logging, structlog
from runtime import logs
logs.quiet()
log = structlog.get_logger()
log.info("seen.by.nobody")
log.error("went.wrong")
logging.getLogger("redis").warning("nor this")
"""
    told = run("-c", script)
    assert told.out == ""
    assert "went.wrong" in told.err
    assert "nobody" not in told.err
    assert "nor this" not in told.err
