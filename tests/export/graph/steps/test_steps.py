"""Every processing step says the same in numpy and in ONNX, at every batch size, and survives a trip through JSON."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("onnx")

from tests.export.graph.steps.step_graph import COLUMN, FLAGS, FLOATS, IDS, IMAGES, NUMBERS, TEXT, WINDOWS, draw, graph

from onnxpress.core import processing
from onnxpress.core.arrays import Array
from onnxpress.core.processing import Processing, Step, apply
from onnxpress.core.processing.forest import Tree
from onnxpress.core.tensors import TensorSpec

REDUCING = (
    processing.MeanSquaredError,
    processing.Magnitude,
    processing.Spectrogram,
    processing.Isotonic,
    processing.Label,
    processing.Maximum,
    processing.CharacterFeatures,
    processing.CharacterNgrams,
)
"""ONNX Runtime 1.31 gives a reduction or product over an empty batch another shape than the standard says"""
LABELS = ["a", "b", "c", "d"]
TREE = Tree(feature=[0, -1, 2, -1, -1], cut=[0.5, 0, -0.25, 0, 0], left=[1, -1, 3, -1, -1], right=[2, -1, 4, -1, -1],
            value=[0, 1.5, 0, 3.0, 2.25])  # fmt: skip
OTHER = Tree(feature=[3, -1, -1], cut=[0.1, 0, 0], left=[1, -1, -1], right=[2, -1, -1], value=[0, 4.0, 1.0])

CASES: list[tuple[TensorSpec, Step]] = [
    (FLOATS, processing.Scale(input="x", output="y", offset=[1, 2, 3, 4], factor=[0.5, 1, 2, -1])),
    (FLOATS, processing.Unscale(input="x", output="y", offset=[1, 2, 3, 4], unit=[0.5, 1, 2, -1])),
    (FLOATS, processing.Impute(input="x", output="y", values=[9, 8, 7, 6])),
    (FLOATS, processing.MeanSquaredError(input="x", target="x", output="y")),
    (COLUMN, processing.Stack(inputs=["x", "x"], output="y")),
    (IDS, processing.Stack(inputs=["x", "x", "x"], output="y")),
    (FLOATS, processing.Concatenate(inputs=["x", "x"], output="y")),
    (TensorSpec(name="x", dtype="float32", shape=("batch", 1)), processing.Squeeze(input="x", output="y")),
    (TEXT, processing.Lookup(input="x", output="y", values=["café", "b", "Ω"])),
    (IDS, processing.OneHot(input="x", output="y", size=3)),
    (TEXT, processing.Characters(input="x", output="y", alphabet="abcé", length=5)),
    (TEXT, processing.Characters(input="x", output="y", alphabet="abAB", length=1, fold_case=False)),
    (TEXT, processing.Words(input="x", output="y", vocabulary=["b", "café", "abc"], length=3)),
    (TEXT, processing.Words(input="x", output="y", vocabulary=["<pad>", "<UNK>", "b", "aAbBcC"], length=2, first=0,
                            fold_case=False, mask="z")),
    (TEXT, processing.Words(input="x", output="y/ids", vocabulary=["b", "ü"], length=1, separators="é", padding=9,
                            unknown=9, first=4, mask="y/mask")),
    (NUMBERS, processing.CharacterFeatures(input="x", output="y", alphabet="a-1")),
    (NUMBERS, processing.CharacterFeatures(input="x", output="y", alphabet="a.", features=("entropy",))),
    (NUMBERS, processing.CharacterFeatures(input="x", output="y", alphabet="a.", features=("dots", "length"))),
    (NUMBERS, processing.CharacterNgrams(input="x", output="y", n=2, buckets=5)),
    (NUMBERS, processing.CharacterNgrams(input="x", output="y", n=1, buckets=64)),
    (NUMBERS, processing.CharacterNgrams(input="x", output="y", n=7, buckets=4)),
    (IMAGES, processing.Image(input="x", output="y", height=7, width=5, channels="last")),
    (IMAGES, processing.Image(input="x", output="y", height=12, width=30, mean=(0.5, 0.4, 0.3), std=(0.2, 0.5, 1))),
    (WINDOWS, processing.Magnitude(input="x", output="y")),
    (WINDOWS, processing.Standardise(input="x", output="y")),
    (WINDOWS, processing.Spectrogram(input="x", output="y", window=16, hop=5)),
    (FLOATS, processing.Softmax(input="x", output="y")),
    (FLOATS, processing.Sigmoid(input="x", output="y")),
    (FLOATS, processing.Platt(input="x", output="y", slope=1.5, intercept=-0.25)),
    (FLOATS, processing.Temperature(input="x", output="y", temperature=1.7)),
    (COLUMN, processing.Isotonic(input="x", output="y", x=[-1, 0, 0.5, 2], y=[0, 0.25, 0.25, 1])),
    (COLUMN, processing.Isotonic(input="x", output="y", x=[0.5, 1.5], y=[0.25, 0.25])),
    (FLOATS, processing.Threshold(input="x", output="y", value=0.25)),
    (FLAGS, processing.AnyOf(inputs=["x", "x"], output="y")),
    (FLAGS, processing.AllOf(inputs=["x", "x"], output="y")),
    (FLOATS, processing.WeightedSum(inputs=["x", "x", "x"], output="y", weights=[0.6, -1.7, 40.0])),
    (FLOATS, processing.Label(input="x", output="y", labels=LABELS)),
    (FLAGS, processing.BinaryLabel(input="x", output="y", labels=["no", "yes"])),
    (FLOATS, processing.TopK(input="x", output="y", labels=LABELS, k=2, scores="z")),
    (FLOATS, processing.Maximum(input="x", output="y")),
    (FLOATS, processing.Pick(input="x", output="y", column=2)),
    (FLOATS, processing.IsolationForest(input="x", output="y", trees=[TREE, OTHER], rows=16)),
]  # fmt: skip


def agree(found: Array, expected: Array, name: str) -> None:
    assert found.shape == expected.shape, name
    if expected.dtype == object or expected.dtype.kind in "biu":
        assert found.tolist() == expected.tolist(), name
    else:
        np.testing.assert_allclose(found, expected, rtol=3e-6, atol=3e-6, err_msg=name)


@pytest.mark.parametrize(
    ("spec", "step"), CASES, ids=[f"{type(step).__name__}-{n}" for n, (_, step) in enumerate(CASES)]
)
def test_both_forms_say_the_same_at_every_batch_size(spec: TensorSpec, step: Step) -> None:
    engine = graph(spec, step)
    for batch in (1, 2, 7, 64) if isinstance(step, REDUCING) else (1, 2, 7, 64, 0):
        x = draw(spec, batch)
        if isinstance(step, processing.Impute):
            x[::2, 1] = np.nan
        found = engine.run({"x": x})
        expected = apply([step], {"x": x})
        del expected["x"]
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            agree(found[name], array, f"batch {batch}, {name}")


@pytest.mark.parametrize(
    ("spec", "step"), CASES, ids=[f"{type(step).__name__}-{n}" for n, (_, step) in enumerate(CASES)]
)
def test_float64_is_the_same_to_float32s_digits(spec: TensorSpec, step: Step) -> None:
    x = draw(spec, 9)
    narrow, wide = (apply([step], {"x": x}, dtype=dtype) for dtype in ("float32", "float64"))
    for name in narrow.keys() - {"x"}:
        if narrow[name].dtype.kind == "f" and not isinstance(step, processing.Squeeze | processing.TopK):
            assert wide[name].dtype == np.float64, name
        agree(narrow[name], wide[name], name)


@pytest.mark.parametrize(
    ("spec", "step"), CASES, ids=[f"{type(step).__name__}-{n}" for n, (_, step) in enumerate(CASES)]
)
def test_a_step_knows_what_it_reads_and_makes(spec: TensorSpec, step: Step) -> None:
    class Watched(dict[str, Array]):
        def __getitem__(self, name: str) -> Array:
            read.add(name)
            return super().__getitem__(name)

    read: set[str] = set()
    made = step.outputs(Watched(x=draw(spec, 3)), "float32")
    assert read == set(step.reads)
    assert list(made) == step.makes


def test_raw_inputs_are_what_no_step_before_makes() -> None:
    steps: list[Step] = [
        processing.Words(input="text", output="ids", mask="mask", vocabulary=["a"], length=1),
        processing.Stack(inputs=["age", "size"], output="columns"),
        processing.Concatenate(inputs=["columns", "mask", "ids"], output="all"),
        processing.Squeeze(input="text", output="again"),
    ]
    assert processing.raw_inputs(steps) == ["text", "age", "size"]


def test_every_kind_of_step_is_tried_and_survives_json() -> None:
    assert {type(step) for _, step in CASES} == set(typing.get_args(Step))
    every = Processing(after=[step for _, step in CASES])
    assert msgspec.json.decode(msgspec.json.encode(every), type=Processing) == every


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: processing.Lookup(input="x", output="y", values=[]), "values is empty"),
        (lambda: processing.Lookup(input="x", output="y", values=["a", "a"]), "'a' twice"),
        (lambda: processing.Characters(input="x", output="y", alphabet="aA", length=3), "has capitals"),
        (lambda: processing.Characters(input="x", output="y", alphabet="aba", length=3), "'a' twice"),
        (lambda: processing.Words(input="x", output="y", vocabulary=["a", "a"], length=3), "'a' twice"),
        (lambda: processing.Words(input="x", output="y", vocabulary=["a", ""], length=3), "'': it is empty"),
        (lambda: processing.Words(input="x", output="y", vocabulary=["New York"], length=3), "has a separator in it"),
        (lambda: processing.Words(input="x", output="y", vocabulary=["Rome"], length=3), "its capitals"),
        (lambda: processing.Words(input="x", output="y", vocabulary=["a"], length=3, mask="y"), "both named 'y'"),
        (lambda: processing.Words(input="x", output="y", vocabulary=["a"], length=3, separators=""), "is empty"),
        (lambda: processing.Image(input="x", output="y", height=1, width=1, std=(1, 1)), "3 channels in mean and 2"),
        (lambda: processing.Image(input="x", output="y", height=1, width=1, std=(1, 0, 1)), "must be above 0"),
        (lambda: processing.Image(input="x", output="y", height=1, width=1, mean=(1, 0, float("nan"))), "finite"),
        (lambda: processing.Impute(input="x", output="y", values=[float("nan")]), "must be finite"),
        (lambda: processing.Isotonic(input="x", output="y", x=[1, 1], y=[0, 1]), "must ascend"),
        (lambda: processing.Isotonic(input="x", output="y", x=[1], y=[0]), "1 knots in x and 1 in y"),
        (lambda: processing.Threshold(input="x", output="y", value=float("inf")), "not a finite number"),
        (lambda: processing.TopK(input="x", output="y", labels=["a"], k=2, scores="z"), "the best 2 of 1"),
        (lambda: processing.Platt(input="x", output="y", slope=float("inf"), intercept=0), "must be finite"),
    ],
)
def test_a_description_that_means_nothing_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
