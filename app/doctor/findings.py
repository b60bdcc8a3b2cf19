"""The result of one check of a deployment: right, or with a sentence about the remedy."""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import structlog

log = structlog.get_logger()


class Verdict(StrEnum):
    """The result of a check. `right`: nothing is to be done. `unsafe`: it works today, and can lose or delay something.

    `wrong`: it does not work, or loses something already.
    """

    RIGHT = "right"
    UNSAFE = "unsafe"
    WRONG = "wrong"


class Finding(NamedTuple):
    """The result of one check. `found`: the state that it found; `advice`: the remedy, empty if it is right."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""

    def fields(self) -> dict[str, Any]:
        """The finding as the fields of a JSON object."""
        return self._asdict()


def right(check: str, found: str) -> Finding:
    """The finding of a check that found everything right."""
    return Finding(check, Verdict.RIGHT, found)


def unsafe(check: str, found: str, advice: str) -> Finding:
    """The finding of a risk: it works today, and can lose or delay something."""
    return Finding(check, Verdict.UNSAFE, found, advice)


def wrong(check: str, found: str, advice: str) -> Finding:
    """The finding of a fault: it does not work, or loses something already."""
    return Finding(check, Verdict.WRONG, found, advice)


Check = Callable[[], Iterator[Finding]]


def log_findings(findings: Sequence[Finding]) -> None:
    """Logs each finding that is not right: a risk as a warning, a fault as an error."""
    for one in findings:
        if one.verdict is Verdict.UNSAFE:
            log.warning("deployment.unsafe", check=one.check, found=one.found, advice=one.advice)
        elif one.verdict is Verdict.WRONG:
            log.error("deployment.wrong", check=one.check, found=one.found, advice=one.advice)
