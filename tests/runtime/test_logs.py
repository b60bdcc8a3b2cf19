"""Every log line of a process is one JSON object, also for lines of libraries and for hostile values."""

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.logs import _DescriptorHandler
from tests.cli.shell import REPOSITORY, UNCHANGED, Env, environment, run

CONFIGURED = """
import logging, warnings
import structlog
from runtime import logs
logs.configure()
log = structlog.get_logger()
"""
FORGED = 'x\\n{"event": "forged", "level": "info"}\\r\\n\\x1b[2K\\u2028y'


def written(script: str, env: Env = UNCHANGED) -> list[dict[str, Any]]:
    """Runs the script and returns the JSON lines of its standard output; fails if it writes to standard error."""
    result = run("-c", CONFIGURED + script, env=env)
    assert (result.code, result.err) == (0, "")
    return [json.loads(line) for line in result.out.split("\n")[:-1]]


def test_line_has_event_level_time_and_fields() -> None:
    (line,) = written("log.info('spend.ingested', brand_id=7, amount_micros=9_007_199_254_740_993)")
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "spend.ingested",
        "level": "info",
        "brand_id": 7,
        "amount_micros": 9_007_199_254_740_993,
    }


def test_info_each_writes_the_same_lines_as_info() -> None:
    texts = ["x" * 3000, "x\ny", '"campaign_id": 1,', {"campaign_id": 1}, "z"]
    fields = f"[({{'campaign_id': 0, 'holds': [text], 'text': text}}, [n, n + 1, 7]) for n, text in enumerate({texts})]"
    bound = f"structlog.contextvars.bind_contextvars(message_id='m'); several = {fields} * 5\n"
    together = written(bound + "logs.info_each('campaign.paused', 'campaign_id', several)")
    each = written(
        f"{bound}for fields, values in several:\n    for value in values:\n"
        "        log.info('campaign.paused', **{**fields, 'campaign_id': value})"
    )
    assert len(together) == 75
    assert [line | {"at": ""} for line in together] == [line | {"at": ""} for line in each]


def test_info_each_follows_log_level_and_log_format() -> None:
    script = "logs.info_each('campaign.paused', 'campaign_id', [({}, range(30))])"
    assert written(script, {"LOG_LEVEL": "WARNING"}) == []
    result = run("-c", CONFIGURED + script, env={"LOG_FORMAT": "console"})
    assert len(result.out.splitlines()) == 30
    assert "campaign.paused campaign_id=29" in result.out


def test_info_each_ignores_a_closed_output() -> None:
    script = "import os; os.close(1); logs.info_each('campaign.paused', 'campaign_id', [({}, range(30))])"
    assert run("-c", CONFIGURED + script + "; os._exit(7)").code == 7


def test_line_of_a_library_is_json_with_a_stable_event() -> None:
    logger = "logging.getLogger('dramatiq.worker')"
    (line,) = written(f"{logger}.warning('cannot\\n%s', 'connect', extra={{'queue': 'spend'}})")
    assert line["event"] == "library.dramatiq"
    assert line["logger"] == "dramatiq.worker"
    assert line["message"] == "cannot\nconnect"
    assert line["queue"] == "spend"
    assert line["level"] == "warning"


def test_python_warning_is_json() -> None:
    (line,) = written("warnings.simplefilter('always'); warnings.warn('old ways')")
    assert "old ways" in line["message"]


def test_bound_context_variables_appear_on_every_line() -> None:
    bound = "structlog.contextvars.bind_contextvars(message_id='m1')"
    lines = written(f"{bound}; logging.getLogger('redis').warning('x'); log.info('y')")
    assert [line["message_id"] for line in lines] == ["m1", "m1"]


def test_exception_is_logged_without_values_of_variables() -> None:
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


def test_hostile_values_cannot_forge_a_line() -> None:
    for script in (
        f"log.info('brand.made', name='{FORGED}')",
        f"log.info('brand.made', **{{'{FORGED}': 1}})",
        f"logging.getLogger('x').warning('{FORGED}')",
        f"logging.getLogger('{FORGED}').warning('x')",
    ):
        (line,) = written(script)
        assert line["event"] != "forged"


LOGGING = """
import json, sys
for line in sys.stdin:
    given = json.loads(line)
    event, fields = given["event"], given["fields"]
    log.info(event, **fields)
    with structlog.contextvars.bound_contextvars(**fields):
        logging.getLogger(event).warning("%s %s", event, fields, extra={"extra": fields})
    try:
        raise RuntimeError(event) from ValueError(event)
    except RuntimeError:
        log.error(event, exc_info=True)
    print("logged", file=sys.stderr, flush=True)
"""
"""Logs each input three times: by our logger, by a library's logger with context and extra fields, as an exception."""

CONTROL_CHARACTERS = "\n\r\x0b\x0c\x1b\x1c\x1d\x1e\x7f\x85\x9b\u2028\u2029\u202e\u2066\u2069"
RAW = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
CHARACTERS = st.one_of(st.sampled_from(CONTROL_CHARACTERS), st.sampled_from(" ='\"\\{}a"), st.characters())
TEXTS = st.lists(CHARACTERS, max_size=12).map("".join)  # text() would rarely choose a control character
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
FIELDS = st.dictionaries(TEXTS.filter(lambda name: name != "event"), VALUES, max_size=4)

LogInput = Callable[[object], list[str]]


@pytest.fixture(scope="module", params=["json", "console"])
def logging_process(request: pytest.FixtureRequest) -> Iterator[tuple[str, LogInput]]:
    """Runs a process that logs each input; yields its log format and a function from an input to the lines written."""
    with (
        tempfile.NamedTemporaryFile() as out,
        subprocess.Popen(
            [sys.executable, "-c", CONFIGURED + LOGGING],
            cwd=REPOSITORY,
            env=environment({"LOG_FORMAT": request.param, "PYTHONIOENCODING": "utf-8"}),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdin
        assert process.stderr
        sink, stdin, stderr = Path(out.name), process.stdin, process.stderr
        read = 0

        def log_input(given: object) -> list[str]:
            nonlocal read
            stdin.write(json.dumps(given) + "\n")
            stdin.flush()
            assert stderr.readline() == "logged\n", stderr.read()
            written = sink.read_bytes()[read:]
            read += len(written)
            return written.decode().split("\n")[:-1]

        yield request.param, log_input
        stdin.close()
        assert process.wait(20) == 0


@settings(max_examples=150, deadline=None)
@given(event=TEXTS, fields=FIELDS)
def test_every_value_stays_on_one_line_without_control_characters(
    logging_process: tuple[str, LogInput], event: str, fields: Any
) -> None:
    log_format, log_input = logging_process
    lines = log_input({"event": event, "fields": fields})
    assert "\n".join(lines).splitlines() == lines
    assert not any(map(RAW.search, lines))
    own, foreign, failed, *below = lines
    if log_format == "json":
        assert below == []
        assert [json.loads(line)["level"] for line in (own, foreign, failed)] == ["info", "warning", "error"]
    else:
        assert all(line.startswith("    ") for line in below)
        assert sum("RuntimeError: " in line for line in below) == 1


def test_circular_value_is_logged_as_text() -> None:
    own, foreign = written("x = {(1, 2): 3}; x['x'] = x; log.info('a', x=x); logging.getLogger('b').error('%s', x)")
    assert (own["event"], own["x"]) == ("a", "{(1, 2): 3, 'x': {...}}")
    assert foreign["message"] == own["x"]


def test_lone_surrogate_does_not_stop_the_log() -> None:
    first, second = written("log.info('a', name='\\udcff'); log.info('b')")
    assert (first["event"], second["event"]) == ("a", "b")


def test_value_without_a_json_form_is_logged_as_text() -> None:
    (line,) = written("import decimal; log.info('a', amount=decimal.Decimal('1.5'), names={1})")
    assert line["amount"] == "1.5"


def test_long_field_is_truncated() -> None:
    own, foreign = written("log.info('a', payload='x' * 100_000); logging.getLogger('b').error('y' * 100_000)")
    assert len(own["payload"]) < 3_000
    assert len(foreign["message"]) < 3_000


@pytest.mark.parametrize(("level", "expected_lines"), [("DEBUG", 4), ("INFO", 3), ("warning", 2), ("ERROR", 1)])
def test_log_level_applies_to_our_loggers_and_those_of_libraries(level: str, expected_lines: int) -> None:
    for logger in ("log", "logging.getLogger('redis')"):
        script = "".join(f"{logger}.{name}('x');" for name in ("debug", "info", "warning", "error"))
        assert len(written(script, {"LOG_LEVEL": level})) == expected_lines


@pytest.mark.parametrize("name", ["periodiq", "alembic", "uvicorn.error", "httpx"])
def test_chatty_library_logs_only_warnings(name: str) -> None:
    (line,) = written(f"logging.getLogger('{name}').info('step'); logging.getLogger('{name}').warning('wrong')")
    assert line["message"] == "wrong"


def test_console_format_in_a_pipe_has_no_colours() -> None:
    result = run("-c", CONFIGURED + "log.info('campaign.paused', campaign_id=7)", env={"LOG_FORMAT": "console"})
    assert result.out.count("\n") == 1
    assert "campaign.paused" in result.out
    assert "campaign_id=7" in result.out
    assert "\x1b" not in result.out


def test_configure_for_command_logs_only_errors_to_stderr() -> None:
    script = """
import logging, structlog
from runtime import logs
logs.configure_for_command()
log = structlog.get_logger()
log.info("seen.by.nobody")
log.error("went.wrong")
logging.getLogger("redis").warning("nor this")
"""
    result = run("-c", script)
    assert result.out == ""
    assert "went.wrong" in result.err
    assert "nobody" not in result.err
    assert "nor this" not in result.err


class Unprintable:
    """A value that cannot be converted to text, like a message nested too deeply."""

    def __str__(self) -> str:
        raise RecursionError


def test_line_that_cannot_be_formatted_is_replaced_by_log_not_written() -> None:
    record = logging.LogRecord("dramatiq", logging.ERROR, "", 0, "failed: %s", (Unprintable(),), None)
    reads, writes = os.pipe()
    _DescriptorHandler(writes).handle(record)
    os.close(writes)
    with os.fdopen(reads) as output:
        line = json.loads(output.read())
    assert (line["event"], line["logger"], line["level"]) == ("log.not_written", "dramatiq", "error")


def test_handler_ignores_a_pipe_without_a_reader() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    _DescriptorHandler(writes).handle(logging.LogRecord("dramatiq", logging.ERROR, "", 0, "unread", (), None))
    os.close(writes)
