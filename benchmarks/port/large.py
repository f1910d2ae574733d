"""`python -m benchmarks.port.large`: how long a model of 25 million parameters takes to port, and how much memory.

Both ways. Beside it stand what a port of a model of no size takes, and what a process takes that makes the model and
asks it once. The record goes to benchmarks/records/, and `python -m benchmarks.port --page` puts it on the page.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import machine
from benchmarks.sweeps import limited

ROOT = Path(__file__).parents[2]
ONNXPRESS = str(Path(sys.executable).parent / "onnxpress")


class Encoder(nn.Module):
    """Blocks of attention over (batch, 16, width)."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 16, width) → (batch, 5)."""
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(dim=1))


class Block(nn.Module):
    """Attention and a dense part, each around a residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 8, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) → the same."""
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


def large() -> Any:
    """25.2 million parameters."""
    return Encoder(512, 8), torch.randn(4, 16, 512)


def small() -> Any:
    """The same code, of no size."""
    return Encoder(16, 2), torch.randn(4, 16, 16)


def _keras(width: int, depth: int) -> Any:
    """The same in Keras."""
    import keras
    from keras import layers

    x = keras.Input((16, width), name="x")
    states = x
    for _ in range(depth):
        normed = layers.LayerNormalization(epsilon=1e-5)(states)
        states = states + layers.MultiHeadAttention(8, width // 8)(normed, normed)
        normed = layers.LayerNormalization(epsilon=1e-5)(states)
        states = states + layers.Dense(width)(layers.Dense(4 * width, activation="gelu")(normed))
    return keras.Model(x, layers.Dense(5)(layers.GlobalAveragePooling1D()(states)))


def keras_large() -> Any:
    """25.2 million parameters."""
    return _keras(512, 8)


def keras_small() -> Any:
    """The same code, of no size."""
    return _keras(16, 2)


_ASKED = {
    "pytorch": "from benchmarks.port.large import large; model, x = large(); model.eval()(x)",
    "tensorflow": "import numpy as np\nfrom benchmarks.port.large import keras_large as large\n"
    "large().predict(np.zeros((4, 16, 512), np.float32))",
}
_PORTED = {"tensorflow": ("small", "large"), "pytorch": ("keras_small", "keras_large")}


def _measured(command: list[str]) -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = limited.run(command, folder=ROOT, seconds=900, gib=12)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.code:
        raise SystemExit(ended.stderr or ended.broken)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(ended.seconds, 1), "cpu_seconds": round(cpu, 1), "peak_mb": round(ended.peak_gib * 1024)}


def main() -> None:
    """Print the figures of both ways as JSON, and keep them."""
    weights = round(sum(p.nbytes for p in large()[0].parameters()) / 2**20)
    record: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "weights_mb": weights,
    }
    for to, names in _PORTED.items():
        source = "pytorch" if to == "tensorflow" else "tensorflow"
        found: dict[str, Any] = {"asked_once": _measured([sys.executable, "-c", _ASKED[source]])}
        for size, name in zip(("small", "large"), names, strict=True):
            with tempfile.TemporaryDirectory() as folder:
                given = ["port", f"benchmarks.port.large:{name}", "--to", to, "--output", f"{folder}/nets.py"]
                found[size] = _measured([ONNXPRESS, *given])
        peak = found["large"]["peak_mb"]
        found["times_its_weights"] = round((peak - found["small"]["peak_mb"]) / weights, 1)
        found["times_its_process"] = round(peak / found["asked_once"]["peak_mb"], 1)
        record[f"to {to}"] = found
    (ROOT / "benchmarks" / "records" / f"{record['date'][:10]}-port-large.json").write_text(
        json.dumps(record, indent=1) + "\n"
    )
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
