"""`spendgate doctor`: checks whether the servers, the tables and the settings are as this version needs them."""

import textwrap
from typing import Final

import typer
from rich.markup import escape

from app.doctor.checkup import examine
from app.doctor.findings import Finding, Verdict
from cli.output import FOUND_EXIT, AsJson, console, print_json
from runtime.settings import settings

WIDEST: Final = 80
LABEL_WIDTH: Final = 18
"""Width of the column of checks, in characters."""

COLOURS: Final = {Verdict.RIGHT: "green", Verdict.UNSAFE: "yellow", Verdict.WRONG: "red"}


def doctor(as_json: AsJson = False) -> None:
    """Check servers, tables, roles, clock, connections, queue and keys. Exit code 1 if something is wrong.

    Each check is right, unsafe (it works, and can lose or delay something) or wrong; the last two say what to do.
    """
    settings().required_database_url()
    settings().required_queue_url()
    findings = examine()
    faults = sum(one.verdict is Verdict.WRONG for one in findings)
    if as_json:
        print_json({"is_right": not faults, "checks": [one.fields() for one in findings]})
    else:
        for one in findings:
            _print_finding(one)
    if faults:
        raise typer.Exit(FOUND_EXIT)


def _print_finding(finding: Finding) -> None:
    colour = COLOURS[finding.verdict]
    text = f"{finding.found}. {finding.advice[:1].upper()}{finding.advice[1:]}." if finding.advice else finding.found
    width = min(console.width, WIDEST)
    indent = " " * LABEL_WIDTH
    lines = textwrap.wrap(text, width, initial_indent=f"{finding.check:<{LABEL_WIDTH}}", subsequent_indent=indent)
    # the verdict is a word of its own line's start, so that it can be searched for without colours
    console.print(f"[{colour}]{finding.verdict:<8}[/{colour}]{escape(lines[0].strip())}", highlight=False)
    for line in lines[1:]:
        console.print(f"{' ' * 8}{escape(line)}", highlight=False)
