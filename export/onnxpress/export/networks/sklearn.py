"""A fitted scikit-learn estimator or pipeline as a Network, converted with skl2onnx."""

from __future__ import annotations

import contextlib
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn
from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor
from sklearn.compose import ColumnTransformer

from onnxpress.core.arrays import Array
from onnxpress.core.errors import BadModel, UsageError
from onnxpress.core.optional import require
from onnxpress.core.tensors import Domain, TensorSpec
from onnxpress.export.graph.editing import drop_unused, rename_values
from onnxpress.export.network import Precision, TruthUnavailable
from onnxpress.export.networks.converter_talk import converter_talk
from onnxpress.export.source import Source

if TYPE_CHECKING:
    import onnx

# skl2onnx writes IsolationForest for the older form of the tree operators only.
_TREES = {"ai.onnx.ml": 3}
_FITTED = ("coef_", "intercept_", "coefs_", "intercepts_", "mean_", "components_", "cluster_centers_", "theta_")


class SklearnNetwork:
    """Numeric estimators take one float32 matrix; a ColumnTransformer over named columns takes each column alone."""

    def __init__(self, source: Source) -> None:
        import skl2onnx

        self._estimator = source.network
        self.framework_version = sklearn.__version__
        self.converter = f"skl2onnx {skl2onnx.__version__}"
        self.notes: list[str] = []
        self.talk: list[str] = []
        self._opset = source.opset
        _refuse_known_wrong(self._estimator, source.reference)
        self._columns = self._column_names()
        self._examples = self._named_examples(source)
        self.inputs = source.network_inputs or self._tell_inputs(source)
        self.output_names = self._tell_outputs()

    def _column_names(self) -> list[str]:
        """The columns to be sent one by one; none where a matrix is."""
        names = getattr(self._estimator, "feature_names_in_", None)
        by_column = any(isinstance(part, ColumnTransformer) for part in parts(self._estimator))
        return [str(name) for name in names] if names is not None and by_column else []

    def _named_examples(self, source: Source) -> dict[str, Array]:
        given: Any = source.example_inputs if source.example_inputs is not None else (source.samples or None)
        if given is None:
            return {}
        if hasattr(given, "columns") and self._columns:  # a pandas frame, without importing pandas
            given = {name: given[name].to_numpy() for name in self._columns}
        elif not isinstance(given, dict):
            given = {"features": np.asarray(given)}
        arrays = {}
        for name, value in given.items():
            array = np.asarray(value)
            array = array.reshape(len(array), 1) if self._columns and array.ndim == 1 else array
            arrays[str(name)] = array.astype(object if array.dtype.kind in "OUS" else np.float32)
        return arrays

    def _tell_inputs(self, source: Source) -> list[TensorSpec]:
        if self._columns:
            words = dict(_string_columns(self._estimator))
            return [
                TensorSpec(name=name, dtype="string", shape=("batch", 1), domain=Domain(values=words[name]))
                if name in words
                else TensorSpec(name=name, dtype="float32", shape=("batch", 1))
                for name in self._columns
            ]
        width = _width(self._estimator)
        if width is None:
            raise UsageError(
                "the estimator does not tell its inputs (is it fitted?)",
                where=source.reference,
                hint="fit it, or describe them: --input 'features:float32[batch,4]'",
            )
        return [TensorSpec(name="features", dtype="float32", shape=("batch", int(width)))]

    def _tell_outputs(self) -> list[str]:
        estimator = self._estimator
        if is_classifier(estimator):
            # Without probabilities the label alone: skl2onnx's scores of such classifiers follow no one convention.
            return ["label", "probabilities"] if hasattr(estimator, "predict_proba") else ["label"]
        if is_outlier_detector(estimator) or is_clusterer(estimator):
            return ["label", "scores"]
        if is_regressor(estimator):
            return ["prediction"]
        if hasattr(estimator, "transform"):
            return ["transformed"]
        raise BadModel(f"{type(estimator).__name__} neither predicts nor transforms")

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """The estimator's own answer, rows first; it computes in float64 itself from inputs in `precision`."""
        X = self._matrix(feeds, precision)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "X does not have valid feature names": they are the graph's to keep
            try:
                answers = [self._ask(name, X) for name in self.output_names]
            except Exception as error:
                if precision == "float64":  # fitted on float32, some estimators take nothing else
                    raise TruthUnavailable(str(error)) from error
                raise BadModel(f"the estimator fails: {type(error).__name__}: {error}") from error
        return {name: _as(answer, precision) for name, answer in zip(self.output_names, answers, strict=True)}

    def _ask(self, output: str, X: Any) -> Any:
        estimator = self._estimator
        if output == "label":
            return estimator.predict(X)
        if output == "prediction":
            answer = np.asarray(estimator.predict(X))
            return answer.reshape(len(answer), -1)
        if output == "probabilities":
            return estimator.predict_proba(X)
        if output == "transformed":
            answer = estimator.transform(X)
            return answer.toarray() if hasattr(answer, "toarray") else answer
        if is_clusterer(estimator):
            return estimator.transform(X)
        scores = np.asarray(estimator.decision_function(X))
        return scores.reshape(len(scores), -1)

    def _matrix(self, feeds: dict[str, Array], precision: Precision) -> Any:
        cast = {
            spec.name: feeds[spec.name] if spec.dtype == "string" else feeds[spec.name].astype(precision)
            for spec in self.inputs
        }
        if not self._columns:
            return cast[self.inputs[0].name]
        pandas = require("pandas", needed_by="a pipeline over named columns")
        return pandas.DataFrame({name: cast[name][:, 0] for name in self._columns})

    def random_layer(self, feeds: dict[str, Array]) -> str:
        """The estimator as a whole."""
        return type(self._estimator).__name__

    def examples(self, batch: int) -> dict[str, Array] | None:
        """The author's rows, repeated or cut to `batch`."""
        if not self._examples:
            return None
        rows = np.resize(np.arange(len(next(iter(self._examples.values())))), batch)
        return {name: array[rows] for name, array in self._examples.items()}

    def convert(self, folder: Path) -> onnx.ModelProto:
        """With skl2onnx: no ZipMap, float32 and string inputs."""
        import skl2onnx
        from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

        kinds = {"string": StringTensorType, "int64": Int64TensorType}
        types = [(spec.name, kinds.get(spec.dtype, FloatTensorType)([None, *spec.shape[1:]])) for spec in self.inputs]
        options = {id(self._estimator): {"zipmap": False}} if "probabilities" in self.output_names else None
        with converter_talk(self.talk) as talk, _plain_attributes():
            try:
                proto = skl2onnx.convert_sklearn(
                    self._estimator, initial_types=types, target_opset={"": self._opset, **_TREES}, options=options
                )
            except Exception as error:
                first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
                raise BadModel(f"skl2onnx cannot convert it: {first}", hint=talk.tail() or None) from error
        made = [value.name for value in proto.graph.output]
        if len(made) < len(self.output_names):
            raise BadModel(f"skl2onnx gives {', '.join(made)}; {', '.join(self.output_names)} are expected")
        del proto.graph.output[len(self.output_names) :]
        # An inner tensor may already carry the author's name for an output.
        renames = {name: f"inner/{name}" for name in self.output_names}
        renames |= {old: f"\0{new}" for old, new in zip(made, self.output_names, strict=False)}
        rename_values(proto.graph, renames)
        rename_values(proto.graph, {f"\0{name}": name for name in self.output_names})
        if is_outlier_detector(self._estimator):
            _flatten_label(proto.graph)
        drop_unused(proto.graph)
        return proto

    def parameters(self) -> dict[str, Array]:
        """The fitted arrays that converters write as they are, of every step; trees have none."""
        return dict(_fitted("", self._estimator))

    def write_state(self, path: Path) -> None:
        """The fitted estimator: a factory that fits may fit otherwise the next time."""
        path.write_bytes(pickle.dumps(self._estimator))

    def read_state(self, path: Path) -> None:
        """Take the estimator of `write_state`, which this machine's own parent process has just written."""
        self._estimator = pickle.loads(path.read_bytes())


def _flatten_label(graph: onnx.GraphProto) -> None:
    """skl2onnx gives an outlier detector's label as one column; scikit-learn gives one value for each row."""
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


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [int(item) if isinstance(item, bool | np.bool_ | np.integer) else item for item in value]
    return value


def parts(estimator: Any) -> Iterator[Any]:
    """The estimator and every estimator inside it, fitted ones as far as they are kept."""
    yield estimator
    for _, step in getattr(estimator, "steps", []):
        if hasattr(step, "get_params"):
            yield from parts(step)
    for _, transformer, _ in getattr(estimator, "transformers_", []):
        if hasattr(transformer, "get_params"):
            yield from parts(transformer)
    inner = getattr(estimator, "estimators_", None)
    if isinstance(inner, list):
        for member in inner:
            if hasattr(member, "get_params"):
                yield from parts(member)


def _width(estimator: Any) -> int | None:
    """The number of columns it was fitted with; None where it is not fitted, or takes something else (texts)."""
    try:
        return int(estimator.n_features_in_)
    except AttributeError:
        return None


def _string_columns(estimator: Any) -> Iterator[tuple[str, list[str]]]:
    """Column name → its words, from the fitted encoders behind a ColumnTransformer."""
    for part in parts(estimator):
        for _, transformer, columns in getattr(part, "transformers_", []):
            if not hasattr(transformer, "get_params"):
                continue
            for inner in parts(transformer):
                for column, values in zip(list(columns), getattr(inner, "categories_", []), strict=False):
                    if np.asarray(values).dtype.kind in "OUS":
                        yield str(column), [str(value) for value in values]


def _refuse_known_wrong(estimator: Any, reference: str) -> None:
    for part in parts(estimator):
        if type(part).__name__.startswith("HistGradientBoosting") and np.any(getattr(part, "is_categorical_", None)):
            raise BadModel(
                f"{type(part).__name__} with categorical features: skl2onnx writes a graph that answers wrongly",
                where=reference,
                hint="one-hot encode the categories before it, and train it without categorical_features",
            )


def _as(answer: Any, precision: Precision) -> Array:
    array = np.asarray(answer)
    if array.dtype.kind == "f":
        return array.astype(precision)
    if array.dtype.kind in "OUS":
        return array.astype(object)
    return array.astype(np.int64)


def _fitted(name: str, estimator: Any) -> Iterator[tuple[str, Array]]:
    """`step.coef_` → array, for an estimator and those inside it."""
    for step, inner in [*getattr(estimator, "steps", []), *(t[:2] for t in getattr(estimator, "transformers_", []))]:
        yield from _fitted(f"{name}{step}.", inner)
    for attribute in _FITTED:
        value = getattr(estimator, attribute, None)
        for place, array in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(array, np.ndarray) and array.dtype.kind == "f":
                yield f"{name}{attribute}{place if isinstance(value, list) else ''}", array
