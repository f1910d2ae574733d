"""A contender measured from its name: trained where it is a recipe, asked in its framework, exported, asked again."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from onnxpress.core.documents import read_document
from onnxpress.core.errors import OnnxpressError, UsageError
from onnxpress.export.comparison import answers
from onnxpress.export.comparison.asking import Job, in_a_process
from onnxpress.export.comparison.figures import Contender, Training
from onnxpress.export.source import SourceRef

_RECIPES = (".yaml", ".yml", ".json")
_MODULE_OF = {"pytorch": "torch", "tensorflow": "tensorflow", "sklearn": "sklearn", "onnx": "onnx"}
_IMPORTS = 3
_PROGRAM = """
import atexit, resource, sys
place = sys.argv.pop(1)
atexit.register(lambda: open(place, "w").write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)))
from onnxpress.core.cli import main
main()
"""
"""the command line, which tells at its end how much memory it took"""
_COUNTS = {"parameters", "epochs", "best_epoch", "seconds", "train_rows", "validation_rows", "held_out_rows"}
"""what `metrics.json` holds besides metrics"""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured of every contender."""

    batches: list[int]
    seconds: float
    """of each figure"""
    epochs: int | None
    """of recipes, in place of their own"""
    patience: float
    """seconds that one step may take"""


def contenders(ref: SourceRef) -> Iterator[tuple[str, SourceRef]]:
    """The framework asked for and the source, of a recipe one for each framework; else one, its framework unknown.

    Raises UsageError for a recipe that is not there.
    """
    if not _is_recipe(ref.reference):
        yield "", ref
        return
    path = Path(ref.reference)
    if not path.is_file():
        raise UsageError("there is no such recipe", where=ref.reference)
    document = read_document(path)
    model = document.get("model") if isinstance(document, dict) else None
    own = isinstance(model, str) or (isinstance(model, dict) and model.get("family") == "own")
    for framework in ("",) if own else ("pytorch", "tensorflow"):
        yield framework, ref


def _is_recipe(reference: str) -> bool:
    return Path(reference).suffix in _RECIPES and ":" not in reference


def measured(ref: SourceRef, framework: str, wish: Wish, folder: Path) -> Contender:
    """All figures of one contender; what fails is said in it, and the rest measured. `folder` takes what is made."""
    found = Contender(name=ref.reference, framework=framework)
    try:
        if _is_recipe(ref.reference):
            training, run = _trained(Path(ref.reference), framework, wish, folder)
            found = msgspec.structs.replace(found, training=training)
            # It was trained this moment, of a recipe whose code ran for it.
            ref = SourceRef(reference=str(run), trust_run=True)
        data = ref.samples
        if data is not None:
            ref = msgspec.structs.replace(ref, samples=answers.without_target(data, folder))
        found = _asked(found, ref, wish, data)
        return _exported(found, ref, wish, folder, data)
    except OnnxpressError as error:
        return msgspec.structs.replace(found, failed=str(error))


def import_seconds(framework: str) -> float:
    """Median wall time of a fresh process that imports the framework's package, or ONNX Runtime."""
    module = _MODULE_OF.get(framework, framework)
    taken = []
    for _ in range(_IMPORTS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _asked(found: Contender, ref: SourceRef, wish: Wish, data: Path | None) -> Contender:
    asked = in_a_process(Job(ref=ref, rows=data, batches=wish.batches, seconds=wish.seconds), patience=wish.patience)
    if asked.failed:
        raise OnnxpressError(asked.failed)
    return msgspec.structs.replace(
        found,
        framework=asked.framework,
        parameters=asked.parameters,
        eager=asked.eager,
        compiled=asked.compiled,
        peak_memory=asked.peak_memory,
        metrics=asked.metrics,
    )


def _exported(found: Contender, ref: SourceRef, wish: Wish, folder: Path, data: Path | None) -> Contender:
    repository = folder / "models"
    options = [option for spec in ref.inputs for option in ("--input", str(spec))]
    for name, value in (("--samples", ref.samples), ("--weights", ref.weights), ("--preprocess", ref.preprocess)):
        options += [name, str(value)] if value is not None else []
    options += ["--trust-pickle"] if ref.trust_pickle else []
    options += ["--trust-run"] if ref.trust_run else []
    name = f"contender-{found.framework}-{len(list(repository.glob('*')))}"
    command = ["export", ref.reference, "--name", name, "--repository", str(repository), "--json", *options]
    text, _ = _run(command, wish.patience)
    document = json.loads(text)
    version = Path(document["folder"])
    asked = in_a_process(
        Job(version=version, rows=data, batches=wish.batches, seconds=wish.seconds), patience=wish.patience
    )
    worst = document["equivalence"]["worst_multiple"]
    return msgspec.structs.replace(
        found,
        runtime=msgspec.structs.replace(asked.eager, failed=asked.failed or asked.eager.failed),
        runtime_memory=asked.peak_memory or None,
        runtime_metrics=asked.metrics,
        multiple=float("inf") if worst is None else float(worst),
    )


def _trained(recipe: Path, framework: str, wish: Wish, folder: Path) -> tuple[Training, Path]:
    command = ["train", str(recipe), "--output", str(folder / "runs")]
    command += ["--framework", framework] if framework else []
    command += ["--set", f"training.epochs={wish.epochs}"] if wish.epochs else []
    text, peak = _run(command, wish.patience)
    run = Path(text.strip().splitlines()[-1])
    metrics = json.loads((run / "metrics.json").read_text())
    return Training(
        seconds_per_epoch=metrics["seconds"] / metrics["epochs"],
        epochs=metrics["epochs"],
        peak_memory=peak,
        metrics={name: float(value) for name, value in metrics.items() if name not in _COUNTS},
    ), run


def _run(arguments: Sequence[str], patience: float) -> tuple[str, int]:
    """stdout and the peak memory in bytes of `onnxpress …`. Raises OnnxpressError with its last words."""
    with tempfile.NamedTemporaryFile() as told:
        command = [sys.executable, "-P", "-c", _PROGRAM, told.name, *arguments]
        try:
            done = subprocess.run(command, capture_output=True, timeout=patience, check=False)
        except subprocess.TimeoutExpired:
            raise OnnxpressError(f"{arguments[0]} took more than {patience:g} s") from None
        peak = int(told.read() or 0)
    if done.returncode != 0:
        words = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        said = next((line for line in words if line.startswith("error: ")), words[-1] if words else "it said nothing")
        raise OnnxpressError(f"{arguments[0]}: {said.removeprefix('error: ')}")
    return done.stdout.decode(), peak * (1 if sys.platform == "darwin" else 1024)
