"""What the original answers otherwise than the export is refused by the signature; what both answer alike is not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.core.processing import Processing
from onnxpress.core.tensors import Domain, TensorSpec
from onnxpress.export.equivalence.cases import Case
from onnxpress.export.equivalence.reference import Reference
from onnxpress.export.equivalence.special_values import ask
from onnxpress.export.network import Precision

X = TensorSpec(name="x", dtype="float32", shape=("batch", 4))
Y = TensorSpec(name="y", dtype="float32", shape=("batch", 4))


class _Clip:
    """Answers max(x, 0): keeping NaN, or taking it for a number as a careless kernel does."""

    def __init__(self, *, keeps: bool, spec: TensorSpec = X) -> None:
        self.inputs = [spec]
        self._maximum = np.maximum if keeps else np.fmax

    def run(self, feeds: Mapping[str, Array], precision: Precision = "float32") -> dict[str, Array]:
        return {"y": self._maximum(feeds["x"], feeds["x"].dtype.type(0))}


class _Refusing(_Clip):
    def run(self, feeds: Mapping[str, Array], precision: Precision = "float32") -> dict[str, Array]:
        if not np.isfinite(feeds["x"]).all():
            raise ValueError("Input X contains NaN or infinity")
        return super().run(feeds, precision)


def _refuses(original: _Clip, export: _Clip, spec: TensorSpec = X) -> tuple[str, ...]:
    case = Case("generated", 3, {"x": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)})
    (asked,), checks = ask(Reference(original, Processing(), [spec]), export, case, [spec], [Y], 10.0)
    assert bool(checks) == bool(asked.refuses)  # whatever is refused is told
    return asked.refuses


def test_what_both_answer_alike_is_taken() -> None:
    assert _refuses(_Clip(keeps=True), _Clip(keeps=True)) == ()


def test_nan_that_the_export_takes_for_a_number_is_refused() -> None:
    assert _refuses(_Clip(keeps=True), _Clip(keeps=False)) == ("nan",)


def test_what_the_original_refuses_is_refused() -> None:
    assert _refuses(_Refusing(keeps=True), _Clip(keeps=True)) == ("nan", "infinity")


def test_a_bounded_domain_takes_neither() -> None:
    bounded = TensorSpec(name="x", dtype="float32", shape=("batch", 4), domain=Domain(low=-1, high=1))
    assert _refuses(_Clip(keeps=True), _Clip(keeps=True), bounded) == ("nan", "infinity")
