"""Simulated events of a wrist device, in the form of real ones: for trying things where real ones may not be shared.

`python -m onnxpress.training.data.simulated events.json` writes a file. What it holds is made up: a convulsion is a
4 to 6 Hz shaking that grows, slows down and ends, over gravity and noise; the other events are walking, tooth
brushing, typing and rest.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from onnxpress.core.files import write_atomically

_RATE = 25.0  # Hz
_SAMPLES = 125  # of one datapoint
_GRAVITY = 1000.0  # mg
_OTHERS = {"walking": (1.9, 250.0), "tooth brushing": (3.2, 350.0), "typing": (7.0, 40.0), "rest": (0.3, 8.0)}
"""kind → (frequency in Hz, amplitude in mg)"""


def events(count: int, *, seed: int, datapoints: int = 9) -> list[dict[str, Any]]:
    """`count` events, every third a seizure, as `data.motion.Events` reads them."""
    generator = np.random.default_rng(seed)
    recorded = []
    for number in range(count):
        seizure = number % 3 == 0
        kind = "convulsion" if seizure else list(_OTHERS)[int(generator.integers(len(_OTHERS)))]
        motion = _convulsion(datapoints, generator) if seizure else _habit(kind, datapoints, generator)
        recorded.append(
            {
                "id": f"simulated-{seed}-{number}",
                "type": "Seizure" if seizure else "False Alarm",
                "subType": kind,
                "simulated": True,
                "datapoints": [
                    {
                        "rawData3D": [round(float(value), 1) for value in motion[at : at + _SAMPLES].ravel()],
                        "hr": int(generator.normal(115 if seizure else 75, 8)),
                    }
                    for at in range(0, len(motion), _SAMPLES)
                ],
            }
        )
    return recorded


def _convulsion(datapoints: int, generator: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
    time = np.arange(datapoints * _SAMPLES) / _RATE
    share = time / time[-1]
    frequency = generator.uniform(5, 6) - generator.uniform(1, 2) * share
    phase = 2 * math.pi * np.cumsum(frequency) / _RATE
    amplitude = generator.uniform(300, 700) * np.sin(math.pi * np.clip(share * 1.1, 0, 1)) ** 0.5
    return _worn(np.sign(np.sin(phase)) * np.abs(np.sin(phase)) ** 0.5 * amplitude, generator)


def _habit(kind: str, datapoints: int, generator: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float64]]:
    frequency, amplitude = _OTHERS[kind]
    time = np.arange(datapoints * _SAMPLES) / _RATE
    phase = 2 * math.pi * frequency * generator.uniform(0.85, 1.15) * time + generator.uniform(0, 6)
    swing = np.sin(phase) + 0.3 * np.sin(2 * phase + 1)
    pauses = np.repeat(generator.random(datapoints) > 0.2, _SAMPLES)
    return _worn(swing * amplitude * generator.uniform(0.6, 1.4) * pauses, generator)


def _worn(
    motion: np.ndarray[Any, np.dtype[np.float64]], generator: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One motion seen by three axes of a turned wrist, with gravity and the sensor's noise; (samples, 3) in mg."""
    along, down = (vector / np.linalg.norm(vector) for vector in generator.standard_normal((2, 3)))
    noise = 12 * generator.standard_normal((len(motion), 3))
    return motion[:, None] * along + _GRAVITY * down + noise


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--events", "count", default=60, show_default=True, help="How many.")
@click.option("--seed", default=0, show_default=True)
def main(path: Path, count: int, seed: int) -> None:
    """Write simulated events to PATH."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.encode(events(count, seed=seed)))
    click.echo(str(path))


if __name__ == "__main__":
    main()
