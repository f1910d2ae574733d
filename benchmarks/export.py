"""`python -m benchmarks.export`: our export of a small model against the bare converter alone, process against process.

What is allowed is 1.5 times the bare converter's time and 5 seconds: a measurement, a child process and a published
folder come on top of the conversion.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.processes import in_turn, process

RECORDS = Path(__file__).parent / "records"
ONNXPRESS = str(Path(sys.executable).parent / "onnxpress")
FACTOR, SECONDS = 1.5, 5.0
MODELS = {
    "torch": """
import torch
def build():
    net = torch.nn.Sequential(torch.nn.Linear(30, 64), torch.nn.GELU(), torch.nn.LayerNorm(64), torch.nn.Linear(64, 2))
    return net.eval(), (torch.randn(4, 30),)
""",
    "keras": """
import keras
def build():
    x = keras.Input((30,), name="x")
    return keras.Model(x, keras.layers.Dense(2)(keras.layers.Dense(64, activation="relu")(x)))
""",
}
BARE = {
    "torch": """
import torch, small_torch
net, args = small_torch.build()
torch.onnx.export(net, args, "bare.onnx", dynamo=True, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
""",
    "keras": """
import tensorflow as tf, tf2onnx, small_keras
model = small_keras.build()
signature = [tf.TensorSpec([None, 30], tf.float32, name="x")]
call = tf.function(lambda x: model(x, training=False), input_signature=signature)
tf2onnx.convert.from_function(call, signature, opset=18, output_path="bare.onnx")
""",
}


def main(rounds: int = 3) -> None:
    """Measure, print, write `records/<date>-export.json`."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, source in MODELS.items():
            (Path(folder) / f"small_{name}.py").write_text(source)
            ours = [ONNXPRESS, "export", f"small_{name}.py:build", "--repository", "models"]
            contenders = {
                "bare converter": process([sys.executable, "-c", BARE[name]], folder=Path(folder)),
                "onnxpress export": process(ours, folder=Path(folder)),
            }
            print(name, file=sys.stderr)
            seconds = in_turn(contenders, rounds)
            bare, whole = (statistics.median(values) for values in seconds.values())
            allowed = FACTOR * bare + SECONDS
            figures[name] = {"bare_s": bare, "onnxpress_s": whole, "allowed_s": allowed, "within": whole <= allowed}
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "rounds": rounds,
        "export": figures,
    }
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{str(record['date'])[:10]}-export.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    for name, row in figures.items():
        print(
            f"{name:8} bare {row['bare_s']:5.1f} s  onnxpress export {row['onnxpress_s']:5.1f} s  "
            f"allowed {row['allowed_s']:5.1f} s"
        )


if __name__ == "__main__":
    main()
