"""Options that commands of several packages take."""

from __future__ import annotations

import click

from onnxpress.core.errors import UsageError


def _checked(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The text itself goes on, once `device.parse` has read it."""
    from onnxpress.core.device import parse

    try:
        parse(value)
    except UsageError as error:
        raise click.BadParameter(f"{error.what}; {error.hint}", ctx, param) from None
    return value


json_document = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
provider = click.option(
    "--provider",
    callback=_checked,
    default="cpu",
    show_default=True,
    metavar="DEVICE",
    help="Where to run the model: cpu, cuda or cuda:N, with options after commas; see docs/cuda.md.",
)
