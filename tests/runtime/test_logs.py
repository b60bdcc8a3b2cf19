"""What a process writes is one JSON object a line, whoever wrote it and whatever it holds."""

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


def test_many_lines_of_one_event_are_as_they_are_by_themselves() -> None:
    fields = "[{'campaign_id': n, 'holds': [name]} for n, name in enumerate(['x' * 3000, 'x\\ny', *['z'] * 60])]"
    bound = f"structlog.contextvars.bind_contextvars(message_id='m'); several = {fields}\n"
    together = written(bound + "logs.info_each('campaign.paused', several)")
    each = written(bound + "for one in several: log.info('campaign.paused', **one)")
    assert len(together) == 62
    assert [line | {"at": ""} for line in together] == [line | {"at": ""} for line in each]


def test_many_lines_are_told_at_their_level_and_in_their_format() -> None:
    script = "logs.info_each('campaign.paused', [{'campaign_id': n} for n in range(30)])"
    assert written(script, {"LOG_LEVEL": "WARNING"}) == []
    told = run("-c", CONFIGURED + script, env={"LOG_FORMAT": "console"})
    assert len(told.out.splitlines()) == 30
    assert "campaign.paused campaign_id=29" in told.out


def test_many_lines_that_nobody_reads_stop_nothing() -> None:
    script = "import os; os.close(1); logs.info_each('campaign.paused', [{'campaign_id': n} for n in range(30)])"
    assert run("-c", CONFIGURED + script + "; os._exit(7)").code == 7


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


LOGGING = """
import json, sys
for line in sys.stdin:
    told = json.loads(line)
    log.info(told["event"], **told["fields"])
    with structlog.contextvars.bound_contextvars(**told["fields"]):
        logging.getLogger(told["event"]).warning("%s %s", told["event"], told["fields"], extra={"told": told["fields"]})
    try:
        raise RuntimeError(told["event"]) from ValueError(told["event"])
    except RuntimeError:
        log.error(told["event"], exc_info=True)
    print("told", file=sys.stderr, flush=True)
"""
"""Each input is logged by a logger of ours, by a library's with context and extra fields, and as an exception."""

ACTING = "\n\r\x0b\x0c\x1b\x1c\x1d\x1e\x7f\x85\x9b\u2028\u2029\u202e\u2066\u2069"
RAW = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
CHARACTERS = st.one_of(st.sampled_from(ACTING), st.sampled_from(" ='\"\\{}a"), st.characters())
TEXTS = st.lists(CHARACTERS, max_size=12).map("".join)  # text() would seldom choose one of the few
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)
FIELDS = st.dictionaries(TEXTS.filter(lambda name: name != "event"), VALUES, max_size=4)

Tell = Callable[[object], list[str]]


@pytest.fixture(scope="module", params=["json", "console"])
def teller(request: pytest.FixtureRequest) -> Iterator[tuple[str, Tell]]:
    """A process that logs whatever it is told: its format, and what it wrote of one input, by the lines' own ends."""
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

        def tell(told: object) -> list[str]:
            nonlocal read
            stdin.write(json.dumps(told) + "\n")
            stdin.flush()
            assert stderr.readline() == "told\n", stderr.read()
            written = sink.read_bytes()[read:]
            read += len(written)
            return written.decode().split("\n")[:-1]

        yield request.param, tell
        stdin.close()
        assert process.wait(20) == 0


@settings(max_examples=150, deadline=None)
@given(event=TEXTS, fields=FIELDS)
def test_every_line_is_one_line_for_whoever_splits_it(teller: tuple[str, Tell], event: str, fields: Any) -> None:
    log_format, tell = teller
    lines = tell({"event": event, "fields": fields})
    assert "\n".join(lines).splitlines() == lines
    assert not any(map(RAW.search, lines))
    own, foreign, failed, *below = lines
    if log_format == "json":
        assert below == []
        assert [json.loads(line)["level"] for line in (own, foreign, failed)] == ["info", "warning", "error"]
    else:
        assert all(line.startswith("    ") for line in below)
        assert sum("RuntimeError: " in line for line in below) == 1


def test_what_json_has_no_form_for_is_told_as_text() -> None:
    own, foreign = written("x = {(1, 2): 3}; x['x'] = x; log.info('a', x=x); logging.getLogger('b').error('%s', x)")
    assert (own["event"], own["x"]) == ("a", "{(1, 2): 3, 'x': {...}}")
    assert foreign["message"] == own["x"]


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


class Unspeakable:
    """As deep as a message may be nested: no text can be made of it."""

    def __str__(self) -> str:
        raise RecursionError


def test_a_line_that_cannot_be_written_is_told_and_stops_nothing() -> None:
    record = logging.LogRecord("dramatiq", logging.ERROR, "", 0, "failed: %s", (Unspeakable(),), None)
    reads, writes = os.pipe()
    _DescriptorHandler(writes).handle(record)
    os.close(writes)
    with os.fdopen(reads) as told:
        line = json.loads(told.read())
    assert (line["event"], line["logger"], line["level"]) == ("log.not_written", "dramatiq", "error")


def test_a_log_that_nobody_reads_stops_nothing() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    _DescriptorHandler(writes).handle(logging.LogRecord("dramatiq", logging.ERROR, "", 0, "unread", (), None))
    os.close(writes)
