"""The command `train`."""

from __future__ import annotations

from pathlib import Path

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
