"""Makes the part of the reference of commands that comes from the help of the commands."""

from collections.abc import Iterator
from typing import Any

import typer

from cli.main import app


def page() -> str:
    """Every command in Markdown: a heading, its help, and a table of its arguments and options."""
    return "\n\n".join(_described("spendgate", typer.main.get_command(app)))


def _described(name: str, command: Any) -> Iterator[str]:
    subcommands = getattr(command, "commands", {})
    if name != "spendgate":
        level = "###" if " " in name.removeprefix("spendgate ") else "##"
        yield f"{level} {name}"
        yield _paragraph(command.help)
    parameters = [parameter for parameter in command.params if name != "spendgate" and parameter.name != "help"]
    if parameters:
        rows = [f"| {_spelled(one)} | {_default(one)} | {_paragraph(one.help)} |" for one in parameters]
        yield "\n".join(["| argument, option | default | |", "|---|---|---|", *rows])
    for part in sorted(subcommands):
        yield from _described(f"{name} {part}", subcommands[part])


def _paragraph(text: str | None) -> str:
    return " ".join((text or "").replace("\n\n", "\n").split()).replace("|", "\\|")


def _spelled(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`" + ("" if parameter.required else " (optional)")
    spelled = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
    kind = parameter.bare_type()
    if kind == "bool":
        return spelled
    return f"{spelled} {parameter.display_type(None) if '|' in parameter.display_type(None) else kind}".replace(
        "|", ", "
    )


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if value in {None, False, ""} or callable(value):
        return ""
    return f"`{getattr(value, 'value', value)}`"
