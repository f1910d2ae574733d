"""The commands `train` and `port`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

_OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where the run's folder goes.",
)


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@click.option("--framework", type=click.Choice(["pytorch", "tensorflow"]), help="Instead of the recipe's.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a field: training.epochs=5.")
@_OUTPUT
@click.option("--resume", type=click.Path(path_type=Path), help="Go on with a run that was killed, instead of RECIPE.")
@click.option(
    "--from", "run", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Fine-tune this run's model."
)
@click.option(
    "--feedback",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="CSV of rows with a column feedback: false_alarm or missed. With --from.",
)
@click.option(
    "--only", multiple=True, default=("decoder",), show_default=True, help="The layers that learn from feedback."
)
@click.option(
    "--allowed-drop", default=0.02, show_default=True, help="Of ROC AUC on the old held-out rows; more is refused."
)
def train(
    recipe: Path | None,
    framework: str | None,
    settings: tuple[str, ...],
    output: Path,
    resume: Path | None,
    run: Path | None,
    feedback: Path | None,
    only: tuple[str, ...],
    allowed_drop: float,
) -> None:
    """Train RECIPE (YAML or JSON) and write a run folder; prints the folder."""
    from onnxpress.core.errors import UsageError
    from onnxpress.training import recipe as recipes
    from onnxpress.training.pipeline import stage

    if [recipe, resume, run].count(None) != 2:
        raise UsageError("give one of a recipe, --resume RUN and --from RUN")
    if (run is None) != (feedback is None):
        raise UsageError("--from and --feedback belong together")
    if recipe is None and (framework or settings):
        raise UsageError("--framework and --set change a recipe; a run goes on as it began")
    folder: Path | None
    if recipe is not None:
        folder = stage.train(recipes.load(recipe, settings=settings, framework=framework), output=output)
    elif resume is not None:
        folder = stage.go_on(resume, output=output)
    else:
        from onnxpress.training.pipeline import feedback as feedbacks

        assert run is not None
        assert feedback is not None
        folder = feedbacks.learn(run, feedback, only=only, output=output, allowed_drop=allowed_drop)
    if folder is not None:
        click.echo(str(folder))


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--to", type=click.Choice(["pytorch", "tensorflow"]), required=True, help="The other framework.")
@_OUTPUT
def port(run: Path, to: Literal["pytorch", "tensorflow"], output: Path) -> None:
    """Write the model of RUN in the other framework, with the same weights; prints the new run folder.

    Both networks are asked the held-out rows; nothing is written unless they answer alike.
    """
    from onnxpress.core.golden import LIMIT
    from onnxpress.training.pipeline import port as porting

    folder, multiple = porting.port(run, to=to, output=output)
    click.echo(f"both frameworks agree within {multiple:.2g} of {LIMIT:g} noise floors", err=True)
    click.echo(str(folder))
