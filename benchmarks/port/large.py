"""`python -m benchmarks.port.large`: how long a model of 25 million parameters takes to port, and how much memory.

What the two frameworks and a port of a model of no size take is measured beside it, and subtracted.
"""

from __future__ import annotations

import json
import sys
import tempfile
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


def main() -> None:
    """Print both figures as JSON."""
    found: dict[str, Any] = {"machine": machine.describe()}
    for name in ("small", "large"):
        with tempfile.TemporaryDirectory() as folder:
            output = f"{folder}/nets_keras.py"
            command = [ONNXPRESS, "port", f"benchmarks.port.large:{name}", "--to", "tensorflow", "--output", output]
            ended = limited.run(command, folder=ROOT, seconds=600, gib=12)
        if ended.code:
            raise SystemExit(ended.stderr or ended.broken)
        found[name] = {"seconds": round(ended.seconds, 1), "peak_mb": round(ended.peak_gib * 1024)}
    weights = sum(p.nbytes for p in large()[0].parameters()) / 2**20
    more = found["large"]["peak_mb"] - found["small"]["peak_mb"]
    found["weights_mb"] = round(weights)
    found["times_its_weights"] = round(more / weights, 1)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
