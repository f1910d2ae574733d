"""The options of a source that several commands take, named after the fields of SourceRef, into which they go."""

from __future__ import annotations

from pathlib import Path

import click

INPUT = click.option(
    "--input", "inputs", multiple=True, metavar="SPEC", help="An input, as 'x:float32[batch,3,224,224]'. Repeatable."
)
SAMPLES = click.option(
    "--samples", type=click.Path(path_type=Path), metavar="FILE.npz", help="Real input rows, one array per input."
)
WEIGHTS = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For module:attribute: a state dict (.safetensors, .pt), a checkpoint, or Keras's .weights.h5.",
)
TRUST_PICKLE = click.option(
    "--trust-pickle", is_flag=True, help="Read a scikit-learn pickle or a .pt2 file: it can run any code."
)
TRUST_RUN = click.option(
    "--trust-run", is_flag=True, help="Let a run folder call a factory of your own: it names any function."
)
