"""The command `predict`: one question to a model file, or to a running server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from onnxpress.core.options import provider as provider_option
from onnxpress.serving.cli import options


@click.command()
@click.argument("model")
@click.argument("input_file", metavar="[INPUT]", type=click.Path(path_type=Path, allow_dash=True), required=False)
@click.option("--output", type=click.Path(path_type=Path), help="Write the answer here; .npz or JSON by its name.")
@click.option("--interactive", is_flag=True, help="Ask for one JSON line after another.")
@provider_option
@options.custom_ops
def predict(
    model: str,
    input_file: Path | None,
    output: Path | None,
    interactive: bool,
    provider: str,
    custom_ops: tuple[str, ...],
) -> None:
    """Ask MODEL for the answer to INPUT.

    MODEL is a path, or the URL of a served model: http://127.0.0.1:8000/v2/models/NAME. INPUT is a .json file (a V2
    request, or {"input": values}), an .npz, a .csv with a header of column names, or - for JSON on stdin.
    """
    # numpy's BLAS runs nothing here; making its threads would cost 40 ms of the start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from onnxpress.core.errors import UsageError
    from onnxpress.serving.cli import tensor_files as client

    ask: client.Remote | client.Local
    if model.startswith(("http://", "https://")):
        ask = client.Remote(model)
    else:
        ask = client.Local(Path(model), provider, custom_ops)
    if interactive:
        _converse(ask)
        return
    if input_file is None:
        raise UsageError("no INPUT", hint="name a .json, .npz or .csv file, - for stdin, or use --interactive")
    answers = ask(client.read_input(input_file, ask.inputs()))
    if output is None:
        click.echo(client.to_json(answers))
    else:
        client.write(output, answers)


def _converse(ask: Any) -> None:
    """One JSON line in, one JSON line out, until the end of the input; a mistake is said and the next line read."""
    import msgspec

    from onnxpress.core.errors import OnnxpressError
    from onnxpress.serving.cli import tensor_files as client

    specs = ask.inputs()
    terminal = sys.stdin.isatty()
    if terminal:
        click.echo(f"takes {', '.join(map(str, specs))}; one JSON object a line, end with Ctrl-D", err=True)
    while True:
        if terminal:
            click.echo("> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            return
        if not line.strip():
            continue
        try:
            answers = ask(client.from_json(line.encode(), specs, "this line"))
            click.echo(msgspec.json.encode({name: value.tolist() for name, value in answers.items()}))
        except OnnxpressError as error:
            click.echo(f"error: {error}", err=True)
