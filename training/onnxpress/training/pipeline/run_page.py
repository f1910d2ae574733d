"""`run.html`: a run to look at, made of the files in its folder. One file, no script, nothing fetched."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from onnxpress.core import run as runs
from onnxpress.core.files import write_atomically
from onnxpress.core.html_page import page, scrolling
from onnxpress.training.pipeline.figures import classes, warnings
from onnxpress.training.pipeline.metrics_table import plain

FILE_NAME = "run.html"
_OF_FIT = {"parameters", "epochs", "best_epoch", "seconds", "train_rows", "validation_rows", "held_out_rows"}
_FOLDS = "folds_"
_CHOICES = ("threshold", "cost", "threshold_percentile", "combine", "isolation_forest", "calibration")
"""fields of a recipe's model that say how thresholds are chosen and probabilities made"""
_PICTURES = {
    "loss.png": "Loss by epoch", "scores.png": "Scores of held-out rows", "confusion.png": "Confusion",
    "curves.png": "ROC and precision-recall", "reliability.png": "Calibration", "values.png": "Values",
    "importance.png": "Importance of columns", "dependence.png": "How the answer follows a column",
}  # fmt: skip
"""those that are shown first, and what they show; others follow under their own names"""
_STYLE = """
.warnings { border-left: .35rem solid var(--bad); background: var(--box); padding: .6rem 1.2rem; border-radius: .3rem; }
.warnings ul { margin: .3rem 0; padding-left: 1.1rem; }
th, td { padding: .3rem 1.2rem .3rem 0; }
figure { margin: 1rem 0; overflow-x: auto; } img { max-width: 100%; min-width: 34rem; height: auto; background: #fff;
  border-radius: .3rem; }
details { margin: .6rem 0; } pre { overflow-x: auto; background: var(--box); padding: .8rem; border-radius: .3rem; }
"""


def write(folder: Path) -> None:
    """Write the page of a run whose other files are there. Raises BadData where it is no run."""
    write_atomically(folder / FILE_NAME, render(folder).encode())


def render(folder: Path) -> str:
    """The page's text. Raises BadData where `folder` is no run."""
    run = runs.read(folder)
    read: dict[str, Any] = {
        name: _read(folder / f"{name}.json") for name in ("metrics", "history", "data", "confusion", "recipe")
    }
    # JSON has no word for what is no number.
    read["metrics"] = {n: math.nan if value is None else value for n, value in (read["metrics"] or {}).items()}
    body = [
        f'<p class="soft">trained in {escape(run.framework)} by <code>{escape(run.model)}</code></p>',
        *_warnings(read),
        *_figures(read["metrics"]),
        *_by_class(read["confusion"]),
        *_pictures(folder),
        *_thresholds(run, read["recipe"]),
        *_contract(run),
        *_data(read["data"]),
        *_raw("What was read", read["data"]),
        *_raw("The recipe, all settings resolved", read["recipe"]),
        *_next(run),
    ]
    return page(run.name, run.name, body, style=_STYLE)


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.is_file() else None


def _warnings(read: Mapping[str, Any]) -> Iterator[str]:
    said = warnings(read["history"], read["metrics"], classes(read["confusion"]))
    if said:
        yield '<div class="warnings"><strong>Before you trust it</strong><ul>'
        yield from (f"<li>{escape(sentence)}</li>" for sentence in said)
        yield "</ul></div>"


def _figures(metrics: Mapping[str, float]) -> Iterator[str]:
    of_fit = {name: value for name, value in metrics.items() if name in _OF_FIT}
    folds = {name: value for name, value in metrics.items() if name.startswith(_FOLDS)}
    yield '<h2>Figures</h2><p class="soft">Of held-out rows, which the network never saw.</p>'
    yield from _table({name: value for name, value in metrics.items() if name not in of_fit | folds})
    yield from _over_folds(folds)
    yield "<h2>The fit</h2>"
    yield from _table(of_fit)


def _over_folds(metrics: Mapping[str, float]) -> Iterator[str]:
    """Mean and standard deviation of each figure in one row."""
    means = {name: value for name, value in metrics.items() if f"{name}_sd" in metrics}
    if not means:
        return
    yield '<h2>Over the folds</h2><p class="soft">Of the networks of all folds, each by itself.</p>'
    yield scrolling("Figures")
    yield '<table><tr><th></th><th class="number">mean</th><th class="number">deviation</th></tr>'
    for name, mean in means.items():
        numbers = "".join(f'<td class="number">{plain(value)}</td>' for value in (mean, metrics[f"{name}_sd"]))
        yield f"<tr><th>{escape(name.removeprefix(_FOLDS).replace('_', ' '))}</th>{numbers}</tr>"
    yield "</table></div>"
    rest = {name for name in metrics if name not in means and name.removesuffix("_sd") not in means}
    if rest:
        yield '<p class="soft">Harrell-Davis quantiles of the folds&#39; thresholds:</p>'
        yield from _table({name.removeprefix(_FOLDS): metrics[name] for name in metrics if name in rest})


def _table(figures: Mapping[str, float]) -> Iterator[str]:
    yield f"{scrolling('Figures')}<table>"
    for name, value in figures.items():
        yield f'<tr><th>{escape(name.replace("_", " "))}</th><td class="number">{plain(value)}</td></tr>'
    yield "</table></div>"


def _by_class(confusion: Mapping[str, Any] | None) -> Iterator[str]:
    rows = classes(confusion)
    if not rows:
        return
    yield f"<h2>By class</h2>{scrolling('By class')}<table>"
    titles = "".join(f'<th class="number">{title}</th>' for title in ("held-out rows", "recall", "precision", "F1"))
    yield f"<tr><th>label</th>{titles}</tr>"
    for one in rows:
        figures = "".join(f'<td class="number">{value:.3f}</td>' for value in (one.recall, one.precision, one.f1))
        yield f'<tr><td>{escape(one.label)}</td><td class="number">{one.rows}</td>{figures}</tr>'
    yield "</table></div>"


def _pictures(folder: Path) -> Iterator[str]:
    found = {path.name: path for path in sorted(folder.glob("*.png"))}
    ordered = [name for name in _PICTURES if name in found] + [name for name in found if name not in _PICTURES]
    for name in ordered:
        title = _PICTURES.get(name, Path(name).stem.replace("_", " "))
        content = base64.b64encode(found[name].read_bytes()).decode()
        image = f'<img alt="{escape(title)}" src="data:image/png;base64,{content}">'
        yield f"<h2>{escape(title)}</h2><figure>{image}</figure>"


def _thresholds(run: runs.Run, recipe: Any) -> Iterator[str]:
    """Each threshold, and what the recipe says of how they are chosen."""
    if not run.thresholds:
        return
    title = "The threshold" if len(run.thresholds) == 1 else "The thresholds"
    yield f"<h2>{title}</h2>{scrolling(title)}<table>"
    for name, value in run.thresholds.items():
        yield f'<tr><th>{escape(name)}</th><td class="number">{plain(value)}</td></tr>'
    yield "</table></div>"
    model = (recipe or {}).get("model")
    said = {name: model[name] for name in _CHOICES if model.get(name) is not None} if isinstance(model, dict) else {}
    if "isolation_forest" not in said:
        said.pop("combine", None)  # there is one score
    if said:
        words = "; ".join(f"{name.replace('_', ' ')} {_words(value)}" for name, value in said.items())
        yield f'<p class="soft">As the recipe has it: {escape(words)}.</p>'


def _words(value: Any) -> str:
    """`metric youden, at least (recall 0.9)`; what is not given is left out."""
    if isinstance(value, dict):
        given = {name: one for name, one in value.items() if one not in (None, {}, [])}
        return ", ".join(
            f"{name.replace('_', ' ')} ({_words(one)})" if isinstance(one, dict) else f"{name.replace('_', ' ')} {one}"
            for name, one in given.items()
        )
    return str(value)


def _data(data: Any) -> Iterator[str]:
    """How many rows there were, of which labels, and what was missing or left out; the rest is folded away."""
    told = {name: value for name, value in (data or {}).items() if name not in ("files", "records") and value}
    if told:
        yield f"<h2>Data</h2>{scrolling('Data')}<table>"
        for name, value in told.items():
            text = f"{value:,}" if isinstance(value, int) else _words(value)
            yield f"<tr><th>{escape(name.replace('_', ' '))}</th><td>{escape(text)}</td></tr>"
        yield "</table></div>"


def _contract(run: runs.Run) -> Iterator[str]:
    yield f"<h2>What callers send and receive</h2>{scrolling('What callers send and receive')}<table>"
    for kind, specs in (("sends", run.inputs), ("receives", run.outputs)):
        for spec in specs:
            labels = ", ".join(run.labels.get(spec.name, [])[:12])
            yield f"<tr><th>{kind}</th><td><code>{escape(str(spec))}</code></td><td>{escape(labels)}</td></tr>"
    yield "</table></div>"


def _raw(title: str, document: Any) -> Iterator[str]:
    if document:
        text = escape(json.dumps(document, indent=2, ensure_ascii=False))
        yield f"<details><summary>{escape(title)}</summary><pre>{text}</pre></details>"


def _next(run: runs.Run) -> Iterator[str]:
    yield "<h2>Next</h2>"
    where = "# from the folder that holds the run"
    yield f"<pre>onnxpress export {escape(run.name)}   {where}\nonnxpress serve models/</pre>"
