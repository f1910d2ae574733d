"""The command `predict`: one question to a model file, or to a running server."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from onnxpress.core.options import provider as provider_option
from onnxpress.serving.cli import options

if TYPE_CHECKING:
    from onnxpress.core.arrays import Array
    from onnxpress.core.tensors import TensorSpec

    Ask = Callable[[dict[str, Array]], dict[str, Array]]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("model")
@click.argument("input_file", metavar="[INPUT]", type=click.Path(path_type=Path, allow_dash=True), required=False)
@click.option("--output", type=click.Path(path_type=Path), help="Write the answer here: .npz, .csv or JSON.")
@click.option("--interactive", is_flag=True, help="Ask for one JSON line after another, until quit.")
@provider_option
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "auto"]),
    help="In place of --provider; auto is cuda where a GPU can be used, else cpu.",
)
@options.custom_ops
@click.option("--token", help="Send this bearer token to the server; others may see it in the list of processes.")
@click.option("--token-file", type=_FILE, help="Send the bearer token in this file to the server.")
@click.option("--cacert", "--ca", "ca", type=_FILE, help="PEM file of who signed the server's certificate.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Send this header too. Repeatable.")
@click.pass_context
def predict(
    context: click.Context,
    /,
    model: str,
    input_file: Path | None,
    output: Path | None,
    interactive: bool,
    provider: str,
    device: str | None,
    custom_ops: tuple[str, ...],
    token: str | None,
    token_file: Path | None,
    ca: Path | None,
    headers: tuple[str, ...],
) -> None:
    """Ask MODEL for the answer to INPUT.

    MODEL is a path, or the URL of a served model: http://127.0.0.1:8000/v2/models/NAME. INPUT is a .json file (a V2
    request, {"input": values}, or a list of records), an .npz, a .csv with a header of column names, or - for JSON on
    stdin.
    """
    # numpy's BLAS runs nothing here; making its threads would cost 40 ms of the start.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from onnxpress.core.errors import UsageError
    from onnxpress.serving.cli import tensor_files

    if model.startswith(("http://", "https://")):
        specs, optional, ask = _at_a_server(model, _token(token, token_file), ca, headers)
    elif token is not None or token_file is not None or ca is not None or headers:
        raise UsageError("--token, --token-file, --cacert and --header are for a server, and MODEL is not a URL")
    else:
        from onnxpress.serving.engine.loading import load

        if device is not None:
            if context.get_parameter_source("provider") is ParameterSource.COMMANDLINE:
                raise UsageError("--device and --provider are both given", hint="leave one of them out")
            provider = _usable() if device == "auto" else device
        engine = load(model, provider=provider, custom_ops=custom_ops)
        specs, optional, ask = engine.inputs, engine.optional, engine.run
    if interactive:
        _converse(specs, optional, ask)
        return
    if input_file is None:
        raise UsageError("no INPUT", hint="name a .json, .npz or .csv file, - for stdin, or use --interactive")
    answers = ask(tensor_files.read_input(input_file, specs, optional))
    if output is None:
        click.echo(tensor_files.to_json(answers), nl=False)
    else:
        tensor_files.write(output, answers)


def _usable() -> str:
    """`cuda` where there is a GPU that can be used; else `cpu`, and why."""
    from onnxpress.core.errors import OnnxpressError
    from onnxpress.serving.engine import cuda
    from onnxpress.serving.engine.runtime import onnxruntime

    try:
        if "CUDAExecutionProvider" in onnxruntime().get_available_providers():
            cuda.load()
            return "cuda"
        why = "this onnxruntime has no CUDA provider"
    except OnnxpressError as error:
        why = error.what
    click.echo(f"runs on the CPU: {why}", err=True)
    return "cpu"


def _token(token: str | None, file: Path | None) -> str | None:
    """The token that was given, in one way or the other. Raises UsageError."""
    from onnxpress.core.errors import UsageError

    if file is None:
        return token
    if token is not None:
        raise UsageError("--token and --token-file are both given", hint="leave one of them out")
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the token cannot be read: {error}", where=str(file)) from None


def _headers(given: Sequence[str]) -> dict[str, str]:
    """`NAME: VALUE` as name → value. Raises UsageError."""
    from onnxpress.core.errors import UsageError

    found: dict[str, str] = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon:
            raise UsageError(f"--header {text!r} has no colon", hint="write 'NAME: VALUE'")
        if name.strip().lower() in (known.lower() for known in found):
            raise UsageError(f"--header {name.strip()!r} is given twice")
        found[name.strip()] = value.strip()
    return found


def _at_a_server(
    url: str, token: str | None, ca: Path | None, headers: Sequence[str]
) -> tuple[Sequence[TensorSpec], Sequence[TensorSpec], Ask]:
    """What a served model takes, what it may be given besides, and how to ask it."""
    from onnxpress.serving.client.address import split_model
    from onnxpress.serving.client.blocking import Client

    server, name, version = split_model(url)
    client = Client(server, token=token, ca=ca, headers=_headers(headers))
    click.get_current_context().call_on_close(client.close)
    told = client.metadata(name, version=version)
    return told.inputs, told.optional_inputs, lambda feeds: client.infer(name, feeds, version=version)


def _converse(specs: Sequence[TensorSpec], optional: Sequence[TensorSpec], ask: Ask) -> None:
    """One line in, one JSON line out, until `quit` or the end of the input; a mistake is said and the next line read.

    A line is JSON. Of a model that takes one text, it may be that text as it is.
    """
    import msgspec

    from onnxpress.core.errors import OnnxpressError
    from onnxpress.serving.cli import tensor_files

    terminal = sys.stdin.isatty()
    texts = len(specs) == 1 and specs[0].dtype == "string"
    if terminal:
        form = "one text a line" if texts else "one JSON object a line"
        click.echo(f"takes {', '.join(map(str, specs))}; {form}, end with quit", err=True)
    while True:
        if terminal:
            click.echo("> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            return
        line = line.strip()
        if line in ("quit", "exit"):
            return
        if not line:
            continue
        if texts and line[0] not in '{["':
            line = msgspec.json.encode(line).decode()
        try:
            answers = ask(tensor_files.from_json(line.encode(), specs, "this line", optional))
            click.echo(msgspec.json.encode({name: value.tolist() for name, value in answers.items()}))
        except OnnxpressError as error:
            click.echo(f"error: {error}", err=True)
