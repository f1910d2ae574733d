"""Static int8: weights per channel, activations with ranges from calibration rows, as QuantizeLinear/DequantizeLinear.

Weights are symmetric, activations asymmetric. The range of weights is reduced to 7 bits: on processors without VNNI two
products of 8 bits are added in 16, and saturate. ONNX Runtime's quantizer rewrites the graph.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from onnxpress.core.arrays import Array
from onnxpress.export.derive.prepared import copied, gemms_with_factors

if TYPE_CHECKING:
    import onnx

Calibration = Literal["min-max", "percentile", "entropy"]
NARROW = ("Conv", "ConvTranspose", "MatMul", "Gemm")
WIDE = (*NARROW, "Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Relu", "Clip")
"""with what lies between convolutions, so that values stay in 8 bits from one to the next"""
_ROWS_AT_ONCE = 16
_MOST_ROWS = 256
"""of the calibration: a histogram of every tensor is kept"""


class StaticInt8:
    """One prepared graph, calibrated once for each method, quantized as often as is asked."""

    def __init__(self, graph: onnx.ModelProto, rows: Mapping[str, Array], *, together: bool) -> None:
        """`rows` is the calibration; `together` says whether they may share a run."""
        self.graph = graph
        self._rows = {name: value[:_MOST_ROWS] for name, value in rows.items()}
        self._size = _ROWS_AT_ONCE if together else 1
        self._ranges: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._excluded = gemms_with_factors(graph)
        """nodes that always stay in float"""

    def nodes(self, operators: Collection[str]) -> list[str]:
        """Names of the nodes that would be quantized."""
        kept = set(self._excluded)
        return [node.name for node in self.graph.graph.node if node.op_type in operators and node.name not in kept]

    def quantized(
        self,
        calibration: Calibration = "min-max",
        *,
        operators: Collection[str] = WIDE,
        keep: Collection[str] = (),
        only: Collection[str] | None = None,
        reduced: bool = True,
    ) -> onnx.ModelProto:
        """A quantized copy. Nodes named in `keep` stay in float; with `only`, all but those do."""
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        ranges = self._calibrated(calibration, tuple(operators))
        with quietly():
            quantizer = QDQQuantizer(
                _inferred(self.graph),
                True,  # per channel
                reduced,
                QuantType.QInt8,
                QuantType.QUInt8,
                ranges,
                list(only) if only is not None else [],
                [*keep, *self._excluded],
                list(operators),
                {},
            )
            quantizer.quantize_model()
        quantizer.model.topological_sort()
        found: onnx.ModelProto = quantizer.model.model
        return found

    def computed_products(self) -> list[str]:
        """Names of the MatMul nodes of two computed tensors: attention's, which cost much and gain little in 8 bits."""
        constants = {tensor.name for tensor in self.graph.graph.initializer}
        return [
            node.name for node in self.graph.graph.node if node.op_type == "MatMul" and constants.isdisjoint(node.input)
        ]

    def _calibrated(self, calibration: Calibration, operators: tuple[str, ...]) -> Any:
        if (calibration, operators) not in self._ranges:
            self._ranges[calibration, operators] = self._collected(calibration, operators)
        return self._ranges[calibration, operators]

    def _collected(self, calibration: Calibration, operators: tuple[str, ...]) -> Any:
        """Of what these operators take and make alone: a mask of -3e38 elsewhere would have no histogram."""
        import onnx
        from onnxruntime.quantization import CalibrationMethod
        from onnxruntime.quantization.calibrate import create_calibrator

        methods = {
            "min-max": (CalibrationMethod.MinMax, {}),
            "percentile": (CalibrationMethod.Percentile, {"percentile": 99.99, "symmetric": False}),
            "entropy": (CalibrationMethod.Entropy, {}),
        }
        method, options = methods[calibration]
        with tempfile.TemporaryDirectory(prefix="onnxpress-calibrate-") as folder, quietly():
            place = Path(folder) / "graph.onnx"
            onnx.save(_inferred(self.graph), place)
            calibrator = create_calibrator(
                place,
                list(operators),
                augmented_model_path=str(Path(folder) / "augmented.onnx"),
                calibrate_method=method,
                extra_options=options,
            )
            calibrator.collect_data(_Reader(self.batches()))
            return calibrator.compute_data()

    def batches(self) -> Iterator[dict[str, Array]]:
        """The feeds of the calibration, all of one size: the histograms of percentile and entropy take no other."""
        count = len(next(iter(self._rows.values())))
        size = min(self._size, count)
        for start in range(0, count - size + 1, size):
            yield {name: value[start : start + size] for name, value in self._rows.items()}


class _Reader:
    """ONNX Runtime's CalibrationDataReader, which it knows by its method."""

    def __init__(self, batches: Iterator[dict[str, Array]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, Array] | None:
        """The next feeds, or None at the end."""
        return next(self._batches, None)

    def __iter__(self) -> Iterator[dict[str, Array]]:
        return self._batches


def _inferred(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with types and shapes, and the mark without which the quantizer warns that it was not prepared."""
    import onnx

    found = onnx.shape_inference.infer_shapes(copied(graph))
    found.metadata_props.append(onnx.StringStringEntryProto(key="onnx.quant.pre_process", value="onnxruntime.quant"))
    found.metadata_props.append(onnx.StringStringEntryProto(key="onnx.infer", value="onnxruntime.quant"))
    return found


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without what ONNX Runtime's tools print and log; the logging is left as it was found."""
    root = logging.getLogger()
    before, handlers = logging.root.manager.disable, list(root.handlers)
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
        for handler in list(root.handlers):  # one of the tools configures logging when it is imported
            if handler not in handlers:
                root.removeHandler(handler)
