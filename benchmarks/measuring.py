"""`python -m benchmarks.measuring`: what the measurement costs beyond the conversion, in seconds and in memory.

A small model in each framework, a graph of more than 500 nodes that is wrong and must be explained, and a network of a
hundred million parameters. Each is a process of its own; memory is what it held at most while measuring, the model and
its graph among it, above its size with the framework imported.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.processes import resident

RECORDS = Path(__file__).parent / "records"
SMALL_S, LARGE_S, MEMORY, EXPLAINED_S = 5.0, 60.0, 4.0, 20.0
MODELS = {
    "small torch": """
import torch
def build():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(30, 64), torch.nn.GELU(), torch.nn.LayerNorm(64), torch.nn.Linear(64, 2))
    return net.eval(), (torch.randn(4, 30),)
""",
    "small Keras": """
import keras
def build():
    x = keras.Input((30,), name="x")
    return keras.Model(x, keras.layers.Dense(2)(keras.layers.Dense(64, activation="relu")(x)))
""",
    "500 nodes": """
import torch
from torch import nn
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.wide, self.narrow = nn.LayerNorm(64), nn.Linear(64, 256), nn.Linear(256, 64)
    def forward(self, x):
        return x + self.narrow(nn.functional.gelu(self.wide(self.norm(x))))
def build():
    torch.manual_seed(0)
    return nn.Sequential(*[Block() for _ in range(60)]).eval(), (torch.randn(4, 16, 64),)
""",
    "100 M parameters": """
import torch
from torch import nn
class Base(nn.Module):
    def __init__(self, wide=768):
        super().__init__()
        self.tokens, self.places = nn.Embedding(30000, wide), nn.Embedding(512, wide)
        layer = nn.TransformerEncoderLayer(wide, 12, 4 * wide, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 12, enable_nested_tensor=False)
        self.head = nn.Linear(wide, 5)
    def forward(self, ids):
        h = self.tokens(ids) + self.places(torch.arange(ids.shape[1], device=ids.device))
        return self.head(self.encoder(h).mean(1))
def build():
    torch.manual_seed(0)
    return Base().eval(), torch.randint(0, 30000, (4, 64))
""",
}


def main() -> None:
    """Measure, print, write `records/<date>-measuring.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(MODELS))
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.probe:
        print(json.dumps(probe(chosen.probe)))
        return
    figures = {}
    for name in [chosen.only] if chosen.only else MODELS:
        print(name, file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "benchmarks.measuring", "--probe", name]
        figures[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    record = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine.describe(), "cost": figures}
    path = RECORDS / f"{str(record['date'])[:10]}-measuring.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    for name, row in figures.items():
        print(
            f"{name:18} {row['nodes']:5} nodes {row['parameters'] / 1e6:7.2f} M parameters  measured in "
            f"{row['measure_s']:5.1f} s, {row['memory_mb']:5.0f} MB ({row['memory_mb'] / row['model_mb']:.1f} models)"
            + (f"  explained in {row['explain_s']:.1f} s: {row['layer']}" if "layer" in row else "")
        )
    print(f"aims: {SMALL_S:g} s for a small model, {LARGE_S:g} s and {MEMORY:g} times the model for a large one, an ")
    print(f"explanation of 500 nodes within {EXPLAINED_S:g} s; {path.relative_to(RECORDS.parent.parent)}")


def probe(name: str) -> dict[str, Any]:
    """One model, prepared, converted and compared in this process."""
    from onnxpress.export.pipeline.convert import convert
    from onnxpress.export.pipeline.explain import explained
    from onnxpress.export.pipeline.measure import measure
    from onnxpress.export.pipeline.prepare import prepare
    from onnxpress.export.sources.resolve import resolve

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "probed.py").write_text(MODELS[name])
        (folder / "out").mkdir()
        framework = "tensorflow" if "keras" in MODELS[name] else "torch"
        __import__(framework)
        before = resident(os.getpid())
        source = resolve(f"{folder / 'probed.py'}:build")
        prepared = prepare(source)
        converted = convert(prepared, folder / "out")
        parameters = sum(value.size for value in prepared.network.parameters().values())
        row: dict[str, Any] = {"nodes": len(converted.graph.graph.node), "parameters": parameters}
        row["model_mb"] = sum(value.nbytes for value in prepared.network.parameters().values()) / 1e6
        with _Memory(before) as memory:
            started = time.monotonic()
            report = measure(prepared, converted).report
            row["measure_s"] = time.monotonic() - started
        row |= {"memory_mb": memory.peak / 1e6, "equivalent": report.equivalent}
        row["floor"] = report.floor
        if name == "500 nodes":
            wrong = next(node for node in converted.graph.graph.node[400:] if node.op_type == "LayerNormalization")
            next(attribute for attribute in wrong.attribute if attribute.name == "epsilon").f = 1e-3
            report = measure(prepared, converted).report
            started = time.monotonic()
            found = explained(prepared, converted, report).explanation
            row |= {"explain_s": time.monotonic() - started, "layer": found.layer if found else None}
    return row


class _Memory:
    """The most resident bytes above `before`, seen every hundredth of a second."""

    def __init__(self, before: int) -> None:
        self.peak, self._before, self._ended = 0, before, threading.Event()

    def __enter__(self) -> _Memory:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self.peak = max(self.peak, resident(os.getpid()) - self._before)


if __name__ == "__main__":
    main()
