"""A fitted estimator → ONNX with skl2onnx 1.20, around its known faults, as exact inside as the estimator needs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_outlier_detector
from sklearn.pipeline import Pipeline

from onnxpress.core.errors import BadModel
from onnxpress.core.tensors import TensorSpec
from onnxpress.export.graph.editing import drop_unused, rename_values
from onnxpress.export.networks.converter_talk import converter_talk
from onnxpress.export.networks.sklearn import (
    inner_clusters,
    inner_discriminants,
    numeric_steps,
    own_converters,
    rare_words,
)
from onnxpress.export.networks.sklearn.curves import as_scikit_learn_does
from onnxpress.export.networks.sklearn.missing_words import spelled_as_empty
from onnxpress.export.networks.sklearn.parts import (
    columns_of,
    fitted_names,
    parts,
    rounds_its_inputs,
    several_labels,
    side_by_side,
    whole_categories,
    width,
)
from onnxpress.export.networks.sklearn.trees import count_votes, round_down, send_missing, sum_in_double

if TYPE_CHECKING:
    import onnx

# skl2onnx writes IsolationForest for the older form of the tree operators only.
_TREES = {"ai.onnx.ml": 3}
_WORDS = re.compile(r"(?:\(\?u\))?\\b((?:\\w)+)(\+|\{\d+,\})\\b")
"""patterns of whole words of a least length, as scikit-learn's own, `(?u)\\b\\w\\w+\\b`"""
_LETTER = r"[\p{L}\p{N}_]"
"""`\\w` in the runtime's regular expressions, where that itself knows ASCII alone"""

_DIVIDING = {"StandardScaler", "RobustScaler"}
"""divided by, as scikit-learn does: multiplied by the inverse, a row may cross the threshold of a tree behind it"""
_FORESTS = {"RandomForestClassifier", "ExtraTreesClassifier"}
_NO_CONVERTER = re.compile(r"Unable to find a (?:shape calculator|converter) for type '<class '([^']+)'>'")


class _Opsets(dict[str, int]):
    """skl2onnx 1.20 compares what it was given with a number, for mixtures in float64."""

    def __lt__(self, other: int) -> bool:
        return self[""] < other


class Conversion:
    """One conversion: the estimator, its inputs and outputs, and what the converter says meanwhile."""

    def __init__(self, estimator: Any, inputs: Sequence[TensorSpec], outputs: Sequence[str], opset: int) -> None:
        self._estimator, self._inputs, self._outputs, self._opset = estimator, inputs, list(outputs), opset
        self.notes: list[str] = []
        self.talk: list[str] = []

    def convert(self, *, double: bool) -> onnx.ModelProto:
        """In float64 where `double` and where the operators exist in it, else in float32. Raises BadModel."""
        if not double:
            return self._finished(self._converted(self._estimator, self._types("float32")))
        for attempt in (self._as_pipeline_before_trees, self._in_double):
            proto = attempt()
            if proto is not None:
                return self._finished(proto)
        self.notes.append("computed in float32 inside: skl2onnx has no form in float64 that the runtime can load")
        return self._finished(self._converted(self._estimator, self._types("float32")))

    def _in_double(self) -> onnx.ModelProto | None:
        return self._loadable(self._estimator, self._types("float64"))

    def _as_pipeline_before_trees(self) -> onnx.ModelProto | None:
        """Steps in float64, then trees, which round their inputs to float32 themselves."""
        import onnx

        estimator = self._estimator
        if rounds_its_inputs(estimator):
            return self._loadable(estimator, self._types("float32"))
        if not isinstance(estimator, Pipeline) or len(estimator.steps) < 2 or not rounds_its_inputs(estimator[-1]):
            return None
        before = self._loadable(estimator[:-1], self._types("float64"))
        if before is None:
            return None
        from skl2onnx.common.data_types import FloatTensorType

        after = self._converted(estimator[-1], [("rows", FloatTensorType([None, width(estimator[-1])]))])
        made = before.graph.output[0].name
        before.graph.node.append(onnx.helper.make_node("Cast", [made], ["rounded"], to=onnx.TensorProto.FLOAT))
        del before.graph.output[:]
        before.graph.output.append(onnx.helper.make_tensor_value_info("rounded", onnx.TensorProto.FLOAT, None))
        before, after = onnx.compose.add_prefix(before, "steps/", rename_inputs=False), after
        after = onnx.compose.add_prefix(after, "trees/")
        opsets: dict[str, int] = {}
        for entry in (*before.opset_import, *after.opset_import):
            opsets[entry.domain] = max(entry.version, opsets.get(entry.domain, 0))
        for model in (before, after):
            model.ir_version = max(before.ir_version, after.ir_version)
            del model.opset_import[:]
            model.opset_import.extend(onnx.helper.make_opsetid(domain, v) for domain, v in opsets.items())
        merged: onnx.ModelProto = onnx.compose.merge_models(before, after, [("steps/rounded", "trees/rows")])
        return merged

    def _loadable(self, estimator: Any, types: list[tuple[str, Any]]) -> onnx.ModelProto | None:
        """None where the converter fails, or the runtime has no such kernels."""
        import onnxruntime

        try:
            proto = self._converted(estimator, types)
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            self.talk.append(f"not in float64: {type(error).__name__}: {str(error).strip()[:500]}")
            return None
        return proto

    def _types(self, floats: str) -> list[tuple[str, Any]]:
        from skl2onnx.common import data_types

        whole = whole_categories(self._estimator, fitted_names(self._estimator))
        number = data_types.DoubleTensorType if floats == "float64" else data_types.FloatTensorType

        def kind(spec: TensorSpec) -> Any:
            if spec.dtype == "string":
                return data_types.StringTensorType
            return data_types.Int64TensorType if spec.dtype == "int64" and spec.name in whole else number

        return [(spec.name, kind(spec)([None, *spec.shape[1:]])) for spec in self._inputs]

    def _converted(self, estimator: Any, types: list[tuple[str, Any]]) -> onnx.ModelProto:
        import skl2onnx

        own_converters.register(estimator)
        own, shapes = numeric_steps.converters(estimator)
        own |= own_converters.instead(estimator)
        shapes |= own_converters.shapes_instead(estimator)
        with (
            converter_talk(self.talk) as talk,
            as_scikit_learn_does(),
            _plain_attributes(),
            _as_converted(estimator),
            spelled_as_empty(estimator),
        ):
            try:
                proto: onnx.ModelProto = skl2onnx.convert_sklearn(
                    estimator,
                    initial_types=types,
                    target_opset=_Opsets({"": self._opset, **_TREES}),
                    options=self._options(estimator),
                    custom_conversion_functions={**rare_words.converters(estimator), **own},
                    custom_shape_calculators=shapes,
                    custom_parsers={**inner_clusters.parsers(estimator), **inner_discriminants.parsers(estimator)},
                )
            except BadModel:
                raise
            except Exception as error:
                raise _reason(error, talk.tail()) from error
        # It writes other names where a column's has blanks or signs in it, in the same order.
        made = [value.name for value in proto.graph.input]
        told = {name: spelled for name, (spelled, _) in zip(made, types, strict=True) if name != spelled}
        if told:
            rename_values(proto.graph, {name: f"inner/{name}" for name in told.values()})
            rename_values(proto.graph, told)
        return proto

    def _options(self, estimator: Any) -> dict[int, Any] | None:
        last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
        options: dict[int, Any] = {}
        scored = "probabilities" in self._outputs or several_labels(last)
        if scored and hasattr(last, "predict_proba") and hasattr(last, "classes_"):
            options[id(estimator)] = {"zipmap": False}
        for part in parts(estimator):
            if type(part).__name__ == "LinearSVC":  # at the end of a pipeline skl2onnx 1.20 gives it an option it lacks
                options[id(part)] = {"nocl": False}
            if type(part).__name__ in _DIVIDING:
                options[id(part)] = {"div": "div"}
            if getattr(part, "vocabulary_", None) is None or not hasattr(part, "build_analyzer"):
                continue
            # ASCII needs no locale. Lower case of other letters does; C.UTF-8 is a part of glibc itself.
            locale = "C" if all(word.isascii() for word in part.vocabulary_) else "C.UTF-8"
            options[id(part)] = {"locale": locale}
            if part.analyzer == "word" and (words := _WORDS.fullmatch(part.token_pattern or "")):
                options[id(part)]["tokenexp"] = words[1].replace(r"\w", _LETTER) + words[2]
        return options or None

    def _finished(self, proto: onnx.ModelProto) -> onnx.ModelProto:
        """Inputs of the signature's dtypes, outputs in float32 under the author's names."""
        made = [value.name for value in proto.graph.output]
        if len(made) < len(self._outputs):
            raise BadModel(f"skl2onnx gives {', '.join(made)}; {', '.join(self._outputs)} are expected")
        del proto.graph.output[len(self._outputs) :]
        # An inner tensor may already carry the author's name for an output.
        renames = {name: f"inner/{name}" for name in self._outputs}
        renames |= {old: f"\0{new}" for old, new in zip(made, self._outputs, strict=False)}
        rename_values(proto.graph, renames)
        rename_values(proto.graph, {f"\0{name}": name for name in self._outputs})
        several = several_labels(self._estimator) or side_by_side(self._estimator)
        column = "label" in self._outputs and len(proto.graph.output[0].type.tensor_type.shape.dim) == 2
        if (column and not several) or is_outlier_detector(self._estimator):
            flatten_label(proto.graph)
        _inputs_as_told(proto.graph, self._inputs)
        _outputs_in_float32(proto.graph)
        send_missing(proto.graph, self._estimator)
        if any(type(part).__name__ in _FORESTS for part in parts(self._estimator)):
            count_votes(proto.graph)
        if not any(spec.dtype == "float64" for spec in self._inputs):  # rounded to the nearest, they keep their order
            round_down(proto.graph, self._estimator)
        sum_in_double(proto.graph, self._estimator)
        drop_unused(proto.graph)
        return proto


def _reason(error: Exception, said: str) -> BadModel:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if unknown := _NO_CONVERTER.search(text):
        return BadModel(
            f"skl2onnx has no converter for {unknown[1].rpartition('.')[2]}",
            hint="replace that step by one that it converts, or do what the step does before the model is asked, and "
            "export what comes after it",
        )
    return BadModel(
        f"skl2onnx cannot convert it: {text}",
        hint=f"{f'it says besides: {said}; ' if said else ''}set the step that it names otherwise, or do what that "
        "step does before the model is asked, and export what comes after it",
    )


def _inputs_as_told(graph: onnx.GraphProto, inputs: Sequence[TensorSpec]) -> None:
    """Cast inputs from the author's dtype to the one that the graph computes in."""
    import onnx

    from onnxpress.export.graph.signature import element_type

    told = {spec.name: element_type(spec.dtype) for spec in inputs}
    for value in graph.input:
        kind = value.type.tensor_type
        wanted = told.get(value.name, kind.elem_type)
        if wanted != kind.elem_type:
            for node in graph.node:
                node.input[:] = [f"cast/{name}" if name == value.name else name for name in node.input]
            graph.node.insert(0, onnx.helper.make_node("Cast", [value.name], [f"cast/{value.name}"], to=kind.elem_type))
            kind.elem_type = wanted


def _outputs_in_float32(graph: onnx.GraphProto) -> None:
    import onnx

    for value in graph.output:
        if value.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE:
            name = value.name
            rename_values(graph, {name: f"double/{name}"})
            value.name = name
            value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            graph.node.append(onnx.helper.make_node("Cast", [f"double/{name}"], [name], to=onnx.TensorProto.FLOAT))


def flatten_label(graph: onnx.GraphProto) -> None:
    """skl2onnx gives the label of an outlier detector and of a mixture as one column; scikit-learn as one for a row."""
    import onnx

    rename_values(graph, {"label": "inner/column"})
    next(value for value in graph.output if value.name == "inner/column").name = "label"
    graph.initializer.append(onnx.numpy_helper.from_array(np.asarray([-1], np.int64), "inner/rows"))
    graph.node.append(onnx.helper.make_node("Reshape", ["inner/column", "inner/rows"], ["label"]))


@contextlib.contextmanager
def _plain_attributes() -> Iterator[None]:
    """skl2onnx 1.20 hands HistGradientBoosting's numpy integers and booleans to onnx, which takes Python's only."""
    from skl2onnx.common._container import ModelComponentContainer

    stock = ModelComponentContainer.add_node

    def add_node(self: Any, *args: Any, **attributes: Any) -> Any:
        return stock(self, *args, **{name: _plain(value) for name, value in attributes.items()})

    ModelComponentContainer.add_node = add_node
    try:
        yield
    finally:
        ModelComponentContainer.add_node = stock


_AS_CONVERTED = (("flatten_transform", True, False), ("encode", "onehot", "onehot-dense"))
"""settings that skl2onnx refuses, and what it writes the same graph for: a soft vote's `transform` is not converted,
and a graph has no sparse tensors"""


@contextlib.contextmanager
def _as_converted(estimator: Any) -> Iterator[None]:
    changed: list[tuple[Any, str, Any, Any]] = [
        (part, setting, refused, taken)
        for part in parts(estimator)
        for setting, refused, taken in _AS_CONVERTED
        if getattr(part, setting, None) == refused
    ]
    # Columns that a pipeline drops are no inputs of the graph: the others are then known by their names alone.
    names = fitted_names(estimator)
    changed += [
        (part, "transformers_", told, [(name, one, _named(columns, names)) for name, one, columns in told])
        for part in parts(estimator)
        if names and (told := getattr(part, "transformers_", None)) and hasattr(part, "remainder")
    ]
    try:
        for part, setting, _, taken in changed:
            setattr(part, setting, taken)
        yield
    finally:
        for part, setting, refused, _ in changed:
            setattr(part, setting, refused)


def _named(columns: Any, names: list[str]) -> Any:
    """Columns by name; one alone, as a vectoriser of texts takes it, stays one."""
    read = columns_of(columns, names)
    return read[0] if np.ndim(columns) == 0 and not isinstance(columns, slice) and len(read) == 1 else read


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [int(item) if isinstance(item, bool | np.bool_ | np.integer) else item for item in value]
    return value
