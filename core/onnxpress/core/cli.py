"""The command `onnxpress`: a table of subcommands, each imported only when it is called.

`onnxpress --help` stays quick because help texts stand in the table; a test holds that it imports no numpy.
"""

from __future__ import annotations

import gc
import importlib
import sys
import traceback
from typing import NoReturn

import click

from onnxpress.core.errors import OnnxpressError

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("onnxpress.training.cli:init", "Write a recipe to begin with, or draft one from a file."),
    "import-config": ("onnxpress.training.cli:import_config", "Turn an existing project's settings into a recipe."),
    "train": ("onnxpress.training.cli:train", "Train a recipe; writes a run folder."),
    "port": ("onnxpress.export.port.cli:port", "Write a model in the other framework: code, weights, what is proven."),
    "export": ("onnxpress.export.cli:export", "Convert a model to ONNX, measure equivalence, publish a version."),
    "verify": ("onnxpress.export.cli:verify", "Check a published version, or compare a model with its source."),
    "compare": (
        "onnxpress.export.comparison.cli:compare",
        "Measure models side by side, framework and ONNX Runtime.",
    ),
    "derive": (
        "onnxpress.export.derive.cli:derive",
        "Make a smaller or quicker version; publish it if its decisions stay.",
    ),
    "inspect": ("onnxpress.serving.cli.inspect:inspect", "Show a model's signature, contract and evidence."),
    "explain": ("onnxpress.serving.cli.explain:explain", "Show with which options a model is served, and why."),
    "tune": ("onnxpress.serving.cli.tune:tune", "Measure threads, batches and optimisation levels; keep the best."),
    "serve": ("onnxpress.serving.cli.serve:serve", "Serve a model or a repository over HTTP."),
    "predict": ("onnxpress.serving.cli.predict:predict", "Ask a model, or a running server, for answers."),
    "doctor": ("onnxpress.serving.cli.doctor:doctor", "Show what is installed here and what is missing."),
}

PORT_OF_RUNS = "onnxpress.training.cli:port"
"""what `port` hands a run folder to: its model is one of the families, which have a twin in each framework"""


def command(where: str) -> click.Command:
    """The command at a dotted path, `module:attribute`; its module is imported now."""
    module, _, attribute = where.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, click.Command)
    return found


class LazyGroup(click.Group):
    """A click group whose subcommands are named by dotted path and imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return command(COMMANDS[cmd_name][0])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}; there are: {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"onnxpress {version('onnxpress')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def root(debug: bool) -> None:
    """Train in PyTorch or TensorFlow, export to ONNX, measure that it says the same, serve it light."""
    if not gc.isenabled():  # `command` put it off until the command's modules are here, which they are
        gc.freeze()
        gc.enable()


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 refused or failed, 2 wrong usage."""
    arguments = sys.argv[1:] if args is None else args
    debug = "--debug" in arguments
    # --debug is taken wherever it stands: nobody wants to learn where it goes while an error is on the screen.
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = root.main(arguments, prog_name="onnxpress", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except OnnxpressError as error:
        if debug:
            traceback.print_exc()
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        # A full disk, a missing right, a port in use: the machine's state, not a fault of this program.
        if debug:
            traceback.print_exc()
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        sys.exit(1)
    except Exception as error:
        if debug:
            traceback.print_exc()
        if (short := _shortage(error)) is not None:
            click.echo(f"error: {short}", err=True)
            sys.exit(1)
        click.echo(f"internal error: {type(error).__name__}: {error}\n  hint: run again with --debug", err=True)
        sys.exit(1)


def _shortage(error: Exception) -> str | None:
    """What the machine, or a limit set for this process, is short of; None where the error says nothing of that."""
    if isinstance(error, MemoryError):
        return f"there is not enough memory{f': {error}' if str(error) else ''}"
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return "no thread can be had: a limit of memory or of processes is in the way"
    return None
