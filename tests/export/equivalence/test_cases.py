"""Cases cover the samples, the declared domain, the edges and every named dimension, and are reproducible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.tensors import Domain, TensorSpec, bind_dimensions, parse_spec
from onnxpress.export.equivalence import noise_floor
from onnxpress.export.equivalence.cases import BATCHES, LARGE_BATCH, cases
from onnxpress.export.equivalence.values import Shown

sizes = st.one_of(st.integers(1, 4), st.sampled_from(["length", "channels"]))
specs = st.builds(
    lambda number, dtype, rest: TensorSpec(name=f"x{number}", dtype=dtype, shape=("batch", *rest)),
    st.integers(0, 99),
    st.sampled_from(["float32", "float64", "int64", "int32", "bool", "string", "uint8"]),
    st.lists(sizes, max_size=3),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(specs, min_size=1, max_size=3, unique_by=lambda spec: spec.name))
def test_every_case_fits_the_specs(inputs: list[TensorSpec]) -> None:
    found = cases(inputs, {})
    assert {case.batch for case in found if case.kind == "generated"} == {*BATCHES, LARGE_BATCH}
    for case in found:
        bound = bind_dimensions(inputs, [case.feeds[spec.name].shape for spec in inputs])
        assert bound["batch"] == case.batch
        for spec in inputs:
            value = case.feeds[spec.name]
            assert (value.dtype == object) if spec.dtype == "string" else (value.dtype == spec.dtype)
    for name in {name for spec in inputs for name in spec.named_dimensions} - {"batch"}:
        assert len({case.name for case in found if case.name.startswith(f"{name} ")}) >= 3


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool", "string"])
@pytest.mark.parametrize("domain", [None, Domain(low=0.0, high=1.0, enforced=True)])
def test_a_number_without_axes_stays_an_array(dtype: str, domain: Domain | None) -> None:
    if domain is not None and dtype in ("bool", "string"):
        domain = None
    inputs = [parse_spec("x:float32[batch,2]"), TensorSpec(name="temperature", dtype=dtype, shape=(), domain=domain)]
    shown = Shown(anywhere=frozenset({"temperature"}) if dtype == "int64" else frozenset())
    for case in cases(inputs, {}, shown=shown):
        assert isinstance(case.feeds["temperature"], np.ndarray), case.name


def test_the_same_specs_give_the_same_cases() -> None:
    inputs = [parse_spec("x:float32[batch,5]"), parse_spec("ids:int64[batch,length]")]
    first, second = cases(inputs, {}), cases(inputs, {})
    for a, b in zip(first, second, strict=True):
        assert a.name == b.name
        assert all(np.array_equal(a.feeds[name], b.feeds[name]) for name in a.feeds)


def test_generated_values_stay_in_the_declared_domain() -> None:
    ids = TensorSpec(name="ids", dtype="int64", shape=("batch", 6), domain=Domain(low=3, high=9))
    words = TensorSpec(name="word", dtype="string", shape=("batch",), domain=Domain(values=["a", "b"]))
    for case in cases([ids, words], {}):
        assert case.feeds["ids"].min() >= 3
        assert case.feeds["ids"].max() <= 9
        assert set(case.feeds["word"]) <= {"a", "b"}


def test_samples_are_used_row_by_row_across_inputs() -> None:
    rows = np.arange(20, dtype=np.float32)
    samples = {"x": np.stack([rows, rows], 1), "y": rows.astype(np.int64)}
    inputs = [parse_spec("x:float32[batch,2]"), parse_spec("y:int64[batch]")]
    real = [case for case in cases(inputs, samples) if case.kind == "samples"]
    assert [case.batch for case in real] == [*BATCHES, LARGE_BATCH]
    for case in real:
        assert np.array_equal(case.feeds["x"][:20, 0], case.feeds["y"][:20])
        assert len(np.unique(case.feeds["x"], axis=0)) == case.batch  # rows that come again are moved a little


@pytest.mark.parametrize(
    ("samples", "error", "says"),
    [
        ({"y": np.zeros((2, 3), np.float32)}, UsageError, "none of the input 'x'"),
        ({"x": np.zeros((2, 4), np.float32)}, BadData, r"shape \[2, 4\]"),
        ({"x": np.zeros((2, 3), np.float64)}, BadData, "are float64"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples: dict[str, np.ndarray], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        cases([parse_spec("x:float32[batch,3]")], samples)


def test_magnitudes_are_many_rows_and_too_few_for_a_floor_of_each_channel() -> None:
    found = next(case for case in cases([parse_spec("x:float32[batch,3]")], {}) if case.kind == "magnitudes")
    assert 16 <= found.batch < noise_floor.ROWS_PER_CHANNEL


def test_every_row_of_a_small_table_is_asked() -> None:
    specs = [parse_spec("town:int64[batch,2]"), parse_spec("x:float32[batch,3]")]
    made = cases(specs, {}, shown=Shown({"town": 301}))
    asked = [case for case in made if case.kind == "generated" and len(set(case.feeds["town"].ravel())) == 301]
    assert [case.batch for case in asked] == [151]
    assert asked[0].feeds["x"].shape == (151, 3)
    for large in (Shown({"town": 30_000}), Shown({})):
        assert max(case.batch for case in cases(specs, {}, shown=large)) == 64
    assert max(case.batch for case in cases(specs, {}, largest=16, shown=Shown({"town": 301}))) == 16
