"""`make demo`: one real model in both frameworks, from raw data to a served answer, through the command line alone.

The autoencoder learns benign measurements of scikit-learn's breast-cancer table; malignant ones are its anomalies.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from serving import infer, seconds_to_first_answer, served

ROOT = Path(__file__).parent.parent
ONNXPRESS = [str(Path(sys.executable).parent / "onnxpress")]
FRAMEWORKS = ("pytorch", "tensorflow")
RECIPE = ROOT / "recipes" / "anomaly.yaml"
RUNS, MODELS = ROOT / "runs", ROOT / "models"


def run(*arguments: str) -> str:
    """An onnxpress command; its last line on stdout. Its talk goes straight to stderr."""
    print(f"\n$ onnxpress {' '.join(arguments)}", flush=True)
    done = subprocess.run([*ONNXPRESS, *arguments], stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    if done.returncode != 0:
        raise SystemExit(done.returncode)
    result = done.stdout.strip()
    print(result, flush=True)
    return result.splitlines()[-1]


def publish(framework: str) -> tuple[Path, Path]:
    """Train and export; the run folder and the published version."""
    trained = run("train", str(RECIPE.relative_to(ROOT)), "--framework", framework, "--output", RUNS.name)
    published = run("export", trained, "--name", f"anomaly-{framework}", "--repository", MODELS.name)
    return ROOT / trained, ROOT / published


def main() -> None:
    """The whole story; leaves nothing running."""
    started = time.monotonic()
    made = {framework: publish(framework) for framework in FRAMEWORKS}
    samples = np.load(made["pytorch"][0] / "samples.npz")
    rows, truth = samples["features"], samples["target"].astype(bool)
    print(f"\n$ onnxpress serve {MODELS.name} --port 0")
    with served(ONNXPRESS, MODELS) as url:
        print(url)
        answers = {framework: infer(url, f"anomaly-{framework}", {"features": rows}) for framework in FRAMEWORKS}
    first = seconds_to_first_answer(ONNXPRESS, MODELS, "anomaly-pytorch", {"features": rows[:1]})
    print(f"\nasked about {len(rows)} held-out rows, {truth.sum()} of them malignant")
    print(f"{'row':>4}  {'truth':10}" + "".join(f"{framework:>26}" for framework in FRAMEWORKS))
    for row in (*np.flatnonzero(truth)[:4], *np.flatnonzero(~truth)[:4]):
        cells = "".join(
            f"{'ANOMALY' if answer['is_anomaly'][row] else 'normal':>16} ({answer['score'][row]:.4f})"
            for answer in answers.values()
        )
        print(f"{row:>4}  {'malignant' if truth[row] else 'benign':10}{cells}")
    print(f"\n{'':34}" + "".join(f"{framework:>14}" for framework in FRAMEWORKS))
    figures = {framework: figures_of(*made[framework], answers[framework], truth) for framework in FRAMEWORKS}
    for label in figures["pytorch"]:
        print(f"{label:34}" + "".join(f"{figures[framework][label]:>14}" for framework in FRAMEWORKS))
    both = answers["pytorch"]["is_anomaly"] == answers["tensorflow"]["is_anomaly"]
    print(f"{'frameworks decide alike':34}{f'{both.mean():.0%} of rows':>14}")
    print(f"{'server start to first answer':34}{f'{first:.2f} s':>14}   (no framework imported)")
    run_folder = made["pytorch"][0].relative_to(ROOT)
    print(f"\ndone in {time.monotonic() - started:.0f} s. Try next:")
    print(f"  .venv/bin/onnxpress inspect {MODELS.name}/anomaly-pytorch")
    print(f"  .venv/bin/onnxpress predict {MODELS.name}/anomaly-pytorch {run_folder}/samples.npz")
    print(f"  .venv/bin/onnxpress serve {MODELS.name}   # then: curl 127.0.0.1:8000/v2/models/anomaly-pytorch")
    print(f"  look at {run_folder}/scores.png; make bench; make wheel-smoke")


def figures_of(trained: Path, published: Path, answer: dict[str, np.ndarray], truth: np.ndarray) -> dict[str, str]:
    """What the table shows of one framework: the run's figures, the evidence, and what the server answered."""
    metrics = json.loads((trained / "metrics.json").read_text())
    evidence = json.loads((published / "equivalence.json").read_text())
    found = answer["is_anomaly"]
    return {
        "parameters": f"{metrics['parameters']:,}",
        "ROC AUC (held-out)": f"{metrics['roc_auc']:.3f}",
        "detection rate (served)": f"{found[truth].mean():.1%}",
        "false-alarm rate (served)": f"{found[~truth].mean():.1%}",
        "equivalence, noise floors": f"{evidence['worst_multiple']:.2g} of {evidence['limit']:g}",
        "rows alone = in a batch": "yes" if evidence["batch_safe"] else "no",
    }


if __name__ == "__main__":
    main()
