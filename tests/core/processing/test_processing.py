"""Each processing step against its formula written out in plain Python."""

from __future__ import annotations

import math
from typing import get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onnxpress.core.processing import MeanSquaredError, Processing, Scale, Step, Threshold, Unscale, apply

values = st.floats(-1e6, 1e6, width=32)
tables = arrays.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 6)), elements=values)


def columns(data: st.DataObject, table: np.ndarray) -> list[float]:
    return data.draw(st.lists(values, min_size=table.shape[1], max_size=table.shape[1]))


@given(tables, st.data())
def test_scale_is_input_minus_offset_times_factor(table: np.ndarray, data: st.DataObject) -> None:
    offset, factor = columns(data, table), columns(data, table)
    step = Scale(input="raw", output="scaled", offset=offset, factor=factor)
    got = apply([step], {"raw": table}, dtype="float64")["scaled"]
    want = [[(float(x) - o) * f for x, o, f in zip(row, offset, factor, strict=True)] for row in table]
    assert got.dtype == np.float64
    assert got.tolist() == want


@given(tables, st.data())
def test_unscale_is_input_times_unit_plus_offset(table: np.ndarray, data: st.DataObject) -> None:
    offset, unit = columns(data, table), columns(data, table)
    step = Unscale(input="scaled", output="raw", offset=offset, unit=unit)
    got = apply([step], {"scaled": table}, dtype="float64")["raw"]
    assert got.tolist() == [[float(x) * u + o for x, u, o in zip(row, unit, offset, strict=True)] for row in table]


def test_unscale_takes_scale_back() -> None:
    rows = np.array([[1.0, 20.0], [3.0, 80.0]], np.float32)
    there = Scale(input="raw", output="scaled", offset=[1.0, 20.0], factor=[1 / 2, 1 / 60])
    back = Unscale(input="scaled", output="again", offset=[1.0, 20.0], unit=[2.0, 60.0])
    known = apply([there, back], {"raw": rows})
    assert known["scaled"].tolist() == [[0.0, 0.0], [1.0, 1.0]]
    np.testing.assert_allclose(known["again"], rows, rtol=1e-6)


@given(tables, st.data())
def test_mean_squared_error_is_the_mean_over_the_last_axis(table: np.ndarray, data: st.DataObject) -> None:
    other = data.draw(arrays.arrays(np.float32, table.shape, elements=values))
    step = MeanSquaredError(input="reconstruction", target="features", output="score")
    got = apply([step], {"reconstruction": other, "features": table}, dtype="float64")["score"]
    want = [
        math.fsum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True)) / table.shape[1]
        for x, y in zip(other, table, strict=True)
    ]
    assert got.shape == (table.shape[0],)
    np.testing.assert_allclose(got, want, rtol=1e-13)


@given(arrays.arrays(np.float32, 5, elements=values), values)
def test_threshold_is_strictly_greater(scores: np.ndarray, limit: float) -> None:
    got = apply([Threshold(input="score", output="is_anomaly", value=limit)], {"score": scores})["is_anomaly"]
    assert got.dtype == np.bool_
    assert got.tolist() == [float(score) > limit for score in scores]


def test_a_score_that_is_the_threshold_is_no_anomaly_and_nan_is_none() -> None:
    limit = float(np.float32(0.1))
    scores = np.array([limit, np.nextafter(np.float32(limit), np.float32(1)), np.nan], np.float32)
    got = apply([Threshold(input="score", output="flag", value=limit)], {"score": scores})["flag"]
    assert got.tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_compute_in_the_dtype_asked_for(dtype: str) -> None:
    table = {"raw": np.ones((2, 3), np.float32)}
    scale = Scale(input="raw", output="scaled", offset=[0.0] * 3, factor=[0.1] * 3)
    error = MeanSquaredError(input="scaled", target="raw", output="score")
    known = apply([scale, error], table, dtype=dtype)
    assert [known[name].dtype.name for name in ("scaled", "score")] == [dtype, dtype]
    assert set(table) == {"raw"}, "the caller's dict is not touched"


def test_a_processing_survives_json_with_its_kinds_of_step() -> None:
    described = Processing(
        before=[Scale(input="raw", output="scaled", offset=[0.5], factor=[2.0])],
        after=[
            Unscale(input="network", output="reconstruction", offset=[0.5], unit=[0.5]),
            MeanSquaredError(input="network", target="scaled", output="score"),
            Threshold(input="score", output="is_anomaly", value=0.25),
        ],
    )
    assert msgspec.json.decode(msgspec.json.encode(described), type=Processing) == described


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_cannot_hold_are_refused_where_they_are_made(wrong: float) -> None:
    with pytest.raises(ValueError, match="column 1 has factor"):
        Scale(input="raw", output="scaled", offset=[0.0, 0.0], factor=[1.0, wrong])
    with pytest.raises(ValueError, match="column 0 has unit"):
        Unscale(input="scaled", output="raw", offset=[wrong], unit=[1.0])
    with pytest.raises(ValueError, match="'score' is not a finite number"):
        Threshold(input="score", output="flag", value=wrong)


def test_columns_must_pair_up() -> None:
    with pytest.raises(ValueError, match="factor has 1 columns, offset 2"):
        Scale(input="raw", output="scaled", offset=[0.0, 0.0], factor=[1.0])


def test_the_names_of_the_steps_in_files_stay() -> None:
    """Run folders and recipes hold them: a class may be renamed, its name in a file may not."""
    tags = [kind.__struct_config__.tag for kind in get_args(Step)]
    assert tags == [
        *("scale", "unscale", "impute", "mean_squared_error", "stack", "concatenate", "lookup", "one_hot", "squeeze"),
        *(
            "characters",
            "words",
            "character_features",
            "character_ngrams",
            "image",
            "magnitude",
            "standardise",
            "spectrogram",
            "softmax",
            "sigmoid",
            "platt",
        ),
        *("temperature", "isotonic", "threshold", "any", "label", "label_at", "top_k", "maximum", "pick"),
        *("isolation_forest", "all", "weighted_sum"),
    ]
