"""Options that several commands take, and those that are made of the server's settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from onnxpress.core.fields import Field

custom_ops = click.option(
    "--custom-ops",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    multiple=True,
    metavar="LIBRARY",
    help="Let the models use the operators of this shared library. Repeatable.",
)


class SettingOption(click.Option):
    """An option of one field of the server's settings; it may be given in the environment too."""

    def __init__(self, names: list[str], *, section: str, default_words: str | None = None, **attributes: Any) -> None:
        self.section, self.default_words = section, default_words
        super().__init__(names, **attributes)

    def get_help_extra(self, ctx: click.Context) -> Any:
        """As click's, with the default in words where None stands for something."""
        extra = super().get_help_extra(ctx)
        if self.default_words:
            extra["default"] = self.default_words
        return extra

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """As click's, but for what Kubernetes sets for a Service named onnxpress: ONNXPRESS_PORT=tcp://10.0.0.1:80."""
        value = super().resolve_envvar_value(ctx)
        if self.name == "port" and value is not None and value.startswith(("tcp://", "udp://")):
            return None
        return value


class SettingsCommand(click.Command):
    """A command whose help lists its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The sections in the order in which they come, what belongs to none at the end."""
        sections: dict[str, list[tuple[str, str]]] = {}
        others: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                section = getattr(parameter, "section", None)
                (others if section is None else sections.setdefault(section, [])).append(record)
        for title, records in {**sections, "Options": others}.items():
            with formatter.section(title):
                formatter.write_dl(records)


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for every field of the server's settings, in the order of its groups."""
    from onnxpress.core.fields import fields_of
    from onnxpress.serving.settings import GROUPS

    # click lists decorators from the last to the first.
    for struct in reversed(GROUPS.values()):
        section = (struct.__doc__ or struct.__name__).partition(":")[0]
        for field in reversed(fields_of(struct)):
            if field.extra.get("option", True):
                names, attributes = _attributes(field)
                command = click.option(*names, cls=SettingOption, section=section, **attributes)(command)
    return command


def given_settings(ctx: click.Context) -> dict[str, Any]:
    """The settings that stand on the command line or in the environment, by their fields' names."""
    said = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    return {
        name: value for name, value in ctx.params.items() if name != "config" and ctx.get_parameter_source(name) in said
    }


def _attributes(field: Field) -> tuple[list[str], dict[str, Any]]:
    """What `click.option` takes for the field: its names and its attributes."""
    name = field.name.replace("_", "-")
    attributes: dict[str, Any] = {
        "help": field.description,
        "default_words": field.extra.get("default"),
        "envvar": f"ONNXPRESS_{field.name.upper()}",
        "default": field.default,
        "show_default": field.default not in (None, False, ()) or isinstance(field.default, float),
    }
    if field.kind is bool:
        return ([f"--{name}/--no-{name}"] if field.default else [f"--{name}"]), {**attributes, "is_flag": True}
    items = get_args(field.kind) if get_origin(field.kind) is tuple else ()
    attributes["multiple"] = bool(items)
    attributes["type"] = _type(field, items[0] if items else field.kind)
    unit = field.extra.get("unit", "number" if field.bounds else "")
    attributes["metavar"] = field.extra.get("metavar", unit.upper()) or None
    return [f"--{name}"], attributes


def _type(field: Field, kind: Any) -> Any:
    low, high = field.bounds.get("gt", field.bounds.get("ge")), field.bounds.get("le")
    if kind is int:
        return click.IntRange(low, high)
    if kind is float:
        return click.FloatRange(low, high, min_open="gt" in field.bounds)
    if kind is Path:
        exists = bool(field.extra.get("file"))
        return click.Path(path_type=Path, exists=exists, dir_okay=not exists)
    return click.Choice(field.choices) if field.choices else str
