"""The commands `train`, `init`, `import-config` and `port`."""

from __future__ import annotations

import json
import os
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
@click.option(
    "--cost",
    metavar="false_alarm=1,missed=20",
    help="What an error costs: the thresholds of an anomaly model are the cheapest ones.",
)
@click.option(
    "--review",
    "to_review",
    type=click.IntRange(min=1),
    metavar="ROWS",
    help="Write so many rows closest to the threshold into review.csv, for a person to give feedback on.",
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
    cost: str | None,
    to_review: int | None,
) -> None:
    """Train RECIPE (YAML or JSON) and write a run folder; prints the folder.

    RECIPE is a file, or the name of a recipe that onnxpress carries, such as anomaly.
    """
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
        if not recipe.suffix and not recipe.exists():
            from onnxpress.training.drafting import carried

            recipe = carried.find(str(recipe))
        costs = [] if cost is None else [f"model.cost={json.dumps(_costs(cost))}"]
        loaded = recipes.load(recipe, settings=[*settings, *costs], framework=framework)
        folder = stage.train(loaded, output=output, to_review=to_review or 0)
    elif resume is not None:
        if cost is not None:
            raise UsageError("a run goes on as it began", where="--cost")
        folder = stage.go_on(resume, output=output, to_review=to_review or 0)
    else:
        from onnxpress.training.pipeline import feedback as feedbacks

        assert run is not None
        assert feedback is not None
        from onnxpress.training.families.anomaly_decision import Cost

        folder = feedbacks.learn(
            run,
            feedback,
            only=only,
            output=output,
            allowed_drop=allowed_drop,
            cost=None if cost is None else Cost(**_costs(cost)),
            to_review=to_review or 0,
        )
    if folder is not None:
        click.echo(str(folder))


def _costs(text: str) -> dict[str, float]:
    """`false_alarm=1,missed=20` in numbers. Raises UsageError for what is not of this form."""
    from onnxpress.core.errors import UsageError

    costs = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if name.strip() not in {"false_alarm", "missed"} or not 0 < number < float("inf"):
            raise UsageError(f"cannot read {part!r}", where="--cost", hint="for example false_alarm=1,missed=20")
        costs[name.strip()] = number
    return costs


@click.command()
@click.argument("family", required=False)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Draft it from this file's columns: .csv, .tsv, .json, .jsonl or .npz.",
)
@click.option("--target", metavar="COLUMN", help="The column of labels, or of values to predict. With --from.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="The recipe's file.  [default: its name .yaml]"
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def init(family: str | None, source: Path | None, target: str | None, output: Path | None, force: bool) -> None:
    """Write a recipe to begin with; prints its file.

    FAMILY is a family, or one of the recipes that onnxpress carries. With --from it is drafted for your file, with what
    was told of every column beside it, and FAMILY only says how the columns are read.
    """
    from onnxpress.core.errors import UsageError
    from onnxpress.training.drafting import carried, draft

    if source is None:
        if target is not None:
            raise UsageError("--target is a column of the file in --from")
        if family is None:
            raise UsageError("give a family or --from FILE", hint=f"families: {', '.join(carried.OF_FAMILY)}")
        found = carried.find(family)
        path = output or Path(found.name)
        text = found.read_text(encoding="utf-8")
    else:
        path = output or Path(f"{source.stem}.yaml")
        place = Path(os.path.relpath(source.absolute(), path.absolute().parent)).as_posix()
        made = draft.of_file(source, place=place, family=family, target=target)
        text = made.text
        for line in made.said:
            click.echo(line, err=True)
    _write(path, text, force=force)


@click.command("import-config")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="The recipe's file.  [default: its name .yaml]"
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def import_config(file: Path, output: Path | None, force: bool) -> None:
    """Turn the settings of an existing project (JSON, YAML or TOML) into a recipe; prints its file.

    Known are those of the Open Seizure Database's trainers, of classifiers that read characters, and of autoencoders.
    What has no place in a recipe is listed.
    """
    from onnxpress.training.drafting import imported

    made = imported.of_file(file)
    for line in made.said:
        click.echo(line, err=True)
    path = output or Path(f"{file.stem}.yaml")
    _write(path, made.text, force=force)


def _write(path: Path, text: str, *, force: bool) -> None:
    """Write a recipe and print where it is. Raises UsageError rather than writing over a file."""
    from onnxpress.core.errors import UsageError
    from onnxpress.core.files import write_atomically

    if path.exists() and not force:
        raise UsageError(
            "there is such a file already", where=str(path), hint="--output names another, --force replaces it"
        )
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(path)) from None
    click.echo(str(path))


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
