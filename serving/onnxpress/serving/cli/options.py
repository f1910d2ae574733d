"""Options that several commands take."""

from __future__ import annotations

import click

custom_ops = click.option(
    "--custom-ops",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    multiple=True,
    metavar="LIBRARY",
    help="Let the models use the operators of this shared library.",
)
