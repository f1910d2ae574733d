"""What the fit loop costs per epoch, beside a bare loop of the same framework on the same model.

`python -m benchmarks.fit_loop` trains the anomaly autoencoder and, where it fits, other families' networks on made-up
rows; epochs of ours and of the bare loop take turns, and the ratio of the medians is printed and recorded. The bare
loop is what a careful author writes: shuffle, step, validation loss; no schedule, selection, checkpoint or history.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks import machine
from onnxpress.core.dotted import load
from onnxpress.training.fitting import batches, loop
from onnxpress.training.fitting.framework_fit import framework_fit
from onnxpress.training.fitting.loop import Examples, Fit
from onnxpress.training.settings import Training

RECORDS = Path(__file__).parent / "records"
ROUNDS, ROWS, BATCH = 25, 2048, 32
SETTINGS = {"width": 30, "hidden": [22, 15, 9, 7, 9, 15, 22], "dropout": 0.2}


def main() -> None:
    """Print and record the ratios."""
    rows = np.random.default_rng(0).random((ROWS + 256, 30), np.float32)
    found = {}
    for framework, bare in (("pytorch", _bare_pytorch), ("tensorflow", _bare_tensorflow)):
        print(f"{framework}: {ROUNDS} epochs of each in turn", file=sys.stderr, flush=True)
        found[framework] = _compare(framework, bare, rows)
        figures = found[framework]
        print(
            f"{framework:12} ours {figures['ours_ms']:6.1f} ms an epoch, bare {figures['bare_ms']:6.1f} ms: "
            f"{figures['ratio']:.3f}"
        )
    today = datetime.now(UTC).date().isoformat()
    record = {"date": today, "machine": machine.describe(), "fit_loop": found}
    (RECORDS / f"{today}-fit-loop.json").write_text(json.dumps(record, indent=2) + "\n")


def _compare(framework: str, bare: Callable, rows: np.ndarray) -> dict[str, float]:
    half = framework_fit(framework)
    build = load(f"onnxpress.training.{framework}.models.autoencoder:build")
    training = Training(epochs=ROUNDS + 1, batch_size=BATCH, patience=ROUNDS + 1)
    half.seed(training)
    train, validation = rows[:ROWS], rows[ROWS:]
    ours: list[float] = []
    theirs: list[float] = []
    bare_epoch = bare(build(**SETTINGS), train, validation)
    started = time.perf_counter()

    def on_epoch(loss: float, figures: Mapping[str, float]) -> None:
        nonlocal started
        ours.append(time.perf_counter() - started)
        before = time.perf_counter()
        bare_epoch()
        theirs.append(time.perf_counter() - before)
        started = time.perf_counter()

    job = Fit(
        train=Examples({"scaled": train}, train),
        validation=Examples({"scaled": validation}, validation),
        training=training,
        on_epoch=on_epoch,
    )
    learner = half.learner(half.build(build, SETTINGS, training), job)
    started = time.perf_counter()
    loop.run(learner, job)
    medians = [1e3 * statistics.median(part[1:]) for part in (ours, theirs)]
    return {"ours_ms": medians[0], "bare_ms": medians[1], "ratio": medians[0] / medians[1]}


def _bare_pytorch(network, train: np.ndarray, validation: np.ndarray) -> Callable[[], float]:
    import torch

    x, held = torch.from_numpy(train), torch.from_numpy(validation)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, eps=1e-7)
    loss_of = torch.nn.MSELoss()

    def epoch() -> float:
        network.train()
        total = torch.zeros(())
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            loss = loss_of(network(x[rows]), x[rows])
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        network.eval()
        with torch.no_grad():
            return loss_of(network(held), held).item() + total.item()

    return epoch


def _bare_tensorflow(network, train: np.ndarray, validation: np.ndarray) -> Callable[[], float]:
    import keras
    import tensorflow as tf

    x, held = tf.constant(train), tf.constant(validation)
    optimizer = keras.optimizers.Adam(1e-3, epsilon=1e-7)
    optimizer.build(network.trainable_variables)
    counter = iter(range(10**9))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)])
    def step(rows):
        batch = tf.gather(x, rows)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((network(batch, training=True) - batch) ** 2)
        optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return loss

    def epoch() -> float:
        total = tf.zeros(())
        for rows in batches.of_epoch(len(train), BATCH, seed=0, epoch=next(counter)):
            total += step(tf.convert_to_tensor(rows)) * len(rows)
        answer = network(held, training=False)
        return float(tf.reduce_mean((answer - held) ** 2)) + float(total)

    return epoch


if __name__ == "__main__":
    main()
