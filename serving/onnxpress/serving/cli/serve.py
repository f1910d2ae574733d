"""The command `serve`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from onnxpress.serving.cli import options


@click.command(cls=options.SettingsCommand)
@click.argument("path", type=click.Path(path_type=Path), default=Path("models"), envvar="ONNXPRESS_PATH")
@options.settings_options
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="ONNXPRESS_CONFIG",
    help="Read settings from this JSON, TOML or YAML file.",
)
@click.pass_context
def serve(context: click.Context, /, config: Path | None, **_: Any) -> None:
    """Serve the models at PATH (an .onnx file, a version, a model or a repository; default: models) over HTTP.

    Prints its URL on stdout once it is ready, or once loading is over where models failed; before that, every model has
    replayed its golden samples. SIGHUP has tokens and certificate read again. With --workers it restarts the workers
    one after another without refusing a request.

    Every option is an environment variable too: --max-body is ONNXPRESS_MAX_BODY. What is said on the command line
    goes before the environment, and that before the file of --config.
    """
    from onnxpress.serving import server, settings_file

    settings = settings_file.load(config, options.given_settings(context))
    server.leave(server.run(settings, on_ready=_tell))


def _tell(url: str) -> None:
    """Print the URL. Where stdout cannot be written the server answers all the same."""
    try:
        click.echo(url)
    except OSError as error:
        from onnxpress.serving import log

        sys.stdout = None  # or Python's exit would fail at what is left in it
        log.say(f"serving at {url}, which stdout did not take: {error.strerror}")
