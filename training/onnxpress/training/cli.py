"""The commands `train` and `port`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--framework", type=click.Choice(["pytorch", "tensorflow"]), help="Instead of the recipe's.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a field: training.epochs=5.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), show_default=True)
def train(recipe: Path, framework: str | None, settings: tuple[str, ...], output: Path) -> None:
    """Train RECIPE (YAML or JSON) and write a run folder; prints the folder."""
    from onnxpress.training import recipe as recipes
    from onnxpress.training import stage

    click.echo(str(stage.train(recipes.load(recipe, settings=settings, framework=framework), output=output)))


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--to", type=click.Choice(["pytorch", "tensorflow"]), required=True, help="The other framework.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), show_default=True)
def port(run: Path, to: Literal["pytorch", "tensorflow"], output: Path) -> None:
    """Write the model of RUN in the other framework, with the same weights; prints the new run folder.

    Both networks are asked the held-out rows; nothing is written unless they answer alike.
    """
    from onnxpress.training import port as porting

    folder, multiple = porting.port(run, to=to, output=output)
    click.echo(f"both frameworks agree within {multiple:.2g} of {porting.LIMIT:g} noise floors", err=True)
    click.echo(str(folder))
