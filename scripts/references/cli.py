"""docs/cli.md: every command with its arguments and options, as click has them."""

from __future__ import annotations

import inspect
from typing import Any

import click
from scripts.references.markdown import MADE, table

from onnxpress.core.cli import COMMANDS, root

_INTRODUCTION = """\
# The command line

{made}

`onnxpress COMMAND --help` shows the same in a terminal. `--debug`, anywhere on the line, shows the traceback of an
error. Results go to stdout, all else to stderr. Where a command has `--json`, stdout holds one JSON document.

| exit code | means |
| --- | --- |
| 0 | done |
| 1 | refused or failed: not equivalent, a bad model, bad data |
| 2 | wrong usage: an option, a recipe or a setting |
| 130 | interrupted by control-C |

{commands}
"""


def page() -> str:
    """The whole page."""
    context = click.Context(root, info_name="onnxpress")
    commands = table(
        ["command", "does"], ([f"[`{name}`](#onnxpress-{name})", text] for name, (_, text) in COMMANDS.items())
    )
    sections = [_command(name, context) for name in COMMANDS]
    made = MADE.format(what="commands' options")
    return _INTRODUCTION.format(made=made, commands=commands) + "\n" + "\n".join(sections)


def _command(name: str, parent: click.Context) -> str:
    command = root.get_command(parent, name)
    assert command is not None
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join(["onnxpress", name, *command.collect_usage_pieces(context)])
    text = inspect.cleandoc(command.help or "")
    sections: dict[str, list[list[str]]] = {}
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and "--help" not in parameter.opts:
            sections.setdefault(getattr(parameter, "section", ""), []).append(_row(parameter, context))
    parts = [f"## onnxpress {name}", f"`{usage}`", text]
    # Options that belong to no section of their own come first, as the general ones.
    for section, rows in sorted(sections.items(), key=lambda pair: bool(pair[0])):
        parts += [f"### {section}"] if section else []
        parts.append(table(["option", "takes", "default", "what it does"], rows))
    if any(getattr(one, "section", "") for one in command.params):
        parts.append("[The server's options](serving-options.md) has the variables and the names in a file.")
    return "\n\n".join(parts) + "\n"


def _row(option: click.Option, context: click.Context) -> list[str]:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    extra = option.get_help_extra(context)
    default = str(extra.get("default", ""))
    described = option.help or ""
    if isinstance(option.default, float):
        default = f"{option.default:g}"
    if "required" in extra:
        default = "required"
    elif "[default: " in described:  # in the text, where it is a rule and no value
        described, _, default = described.partition("[default: ")
        default, described = default.rstrip("]"), described.strip()
    in_words = default == "required" or " " in default or not default
    return [names, _takes(option), default if in_words else f"`{default}`", described]


def _takes(option: click.Option) -> str:
    """What stands behind the option: nothing for a flag."""
    if option.is_flag:
        return ""
    kind: Any = option.type
    if isinstance(kind, click.Choice):
        shown = " or ".join(f"`{choice}`" for choice in kind.choices)
    elif isinstance(kind, click.types._NumberRangeBase):
        shown = ", ".join(filter(None, ["integer" if isinstance(kind, click.IntRange) else "number", _range(kind)]))
    elif option.metavar:
        shown = option.metavar.lower() if option.metavar in ("FILE", "PATH") else f"`{option.metavar}`"
    else:
        shown = {"float": "number", "directory": "folder"}.get(kind.name, kind.name)
    return f"{shown}, several times" if option.multiple else shown


def _range(kind: Any) -> str:
    low, high = kind.min, kind.max
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"{'above' if kind.min_open else 'at least'} {low}"
    return "" if high is None else f"at most {high}"
