"""What the three networks of `projects` learn: windows of motion, names of domains, rows of a table."""

from __future__ import annotations

import csv
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.training.data import simulated

CHARACTERS = string.ascii_lowercase + string.digits + "-._"
"""number 0 is for what is not there"""
_LENGTH = 32
_NAMES = 5000
_SAMPLES = 125
_NOISE = 150.0
"""mg, on top of what the simulated sensor has: else every window is told rightly by every network"""
_WORDS = "book cloud play shop tech home news game media world food star blue green smart photo live data health art"


@dataclass(frozen=True)
class Rows:
    """Inputs in the order of a network's arguments, each (rows, ...), and labels (rows,) as whole numbers."""

    inputs: tuple[Array, ...]
    labels: Array

    def __getitem__(self, part: Any) -> Rows:
        return Rows(tuple(one[part] for one in self.inputs), self.labels[part])


def seizures(_folder: Path | None) -> Rows:
    """Windows of a wrist's accelerometer (rows, 3, 125) in g; whether a convulsion shakes it."""
    generator = np.random.default_rng(3)
    windows, labels = [], []
    for event in simulated.events(420, seed=3, datapoints=5):
        for datapoint in event["datapoints"]:
            motion = np.asarray(datapoint["rawData3D"]).reshape(_SAMPLES, 3).T
            windows.append((motion + _NOISE * generator.standard_normal(motion.shape)) / 1000)
            labels.append(event["type"] == "Seizure")
    return _mixed((np.asarray(windows, np.float32),), np.asarray(labels, np.int64))


def domains(folder: Path | None) -> Rows:
    """Characters of domain names (rows, 32) as numbers; whether an algorithm made the name.

    They are those of `folder`'s domains.csv. Without a folder they are drawn: words, and letters by chance.
    """
    if folder is None:
        generator = np.random.default_rng(4)
        pairs = [_drawn(made, generator) for made in generator.random(7000) < 0.5]
    else:
        with (folder / "domains.csv").open() as file:
            pairs = [(row["domain"], row["label"] == "dga") for row in csv.DictReader(file)]
    pairs = [pairs[n] for n in np.random.default_rng(6).permutation(len(pairs))[:_NAMES]]
    tokens = np.zeros((len(pairs), _LENGTH), np.int64)
    for number, (name, _) in enumerate(pairs):
        for place, character in enumerate(name[:_LENGTH]):
            tokens[number, place] = CHARACTERS.find(character) + 1
    return _mixed((tokens,), np.asarray([made for _, made in pairs], np.int64))


def _drawn(made: bool, generator: Any) -> tuple[str, bool]:
    if made and generator.random() < 0.7:
        name = "".join(generator.choice(list(string.ascii_lowercase), int(generator.integers(6, 18))))
    else:
        name = "".join(generator.choice(_WORDS.split(), int(generator.integers(1, 4))))
        letters = list(name)
        letters[int(generator.integers(len(letters)))] = str(generator.choice(list(string.ascii_lowercase)))
        name = "".join(letters)
    return name + str(generator.choice([".com", ".net", ".org"])), bool(made)


def table(_folder: Path | None) -> Rows:
    """Three columns of categories (rows, 3), six of numbers (rows, 6); three classes by both, with noise."""
    generator = np.random.default_rng(5)
    count = 7000
    categories = np.stack([generator.integers(0, most, count) for most in (8, 5, 12)], axis=1)
    numbers = generator.standard_normal((count, 6))
    scores = numbers @ generator.standard_normal((6, 3)) * 0.7
    for column, most in enumerate((8, 5, 12)):
        scores += generator.standard_normal((most, 3))[categories[:, column]]
        scores += generator.standard_normal((most, 3))[categories[:, column]] * numbers[:, [column]]
    labels = (scores + 0.8 * generator.gumbel(size=scores.shape)).argmax(axis=1)
    wide = (numbers * [1, 40, 0.1, 5, 1000, 2] + [0, 35, 1, -3, 500, 0]).astype(np.float32)
    return _mixed((categories.astype(np.int64), wide), labels.astype(np.int64))


def _mixed(inputs: tuple[Array, ...], labels: Array) -> Rows:
    return Rows(inputs, labels)[np.random.default_rng(6).permutation(len(labels))]
