"""A fitted scikit-learn estimator or pipeline as a Network, converted with skl2onnx."""

from __future__ import annotations

import pickle
import warnings
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
from onnxpress.export.network import Choice, Precision, TruthUnavailable
from onnxpress.export.networks.sklearn import boosted_truth
from onnxpress.export.networks.sklearn.boosting import register
from onnxpress.export.networks.sklearn.conversion import Conversion
from onnxpress.export.networks.sklearn.examples import named_examples
from onnxpress.export.networks.sklearn.missing_words import missing_in_rows, missing_of, with_missing
from onnxpress.export.networks.sklearn.narrowing import rounded
from onnxpress.export.networks.sklearn.parts import (
    amplifies,
    decides_otherwise,
    fitted,
    fitted_names,
    needs_double,
    parts,
    several_labels,
    side_by_side,
    string_columns,
    takes_float32,
    takes_texts,
    used_columns,
    whole_categories,
    width,
)
from onnxpress.export.networks.sklearn.unconvertible import refuse
from onnxpress.export.networks.sklearn.unknown_words import with_unknown
from onnxpress.export.source import Source

if TYPE_CHECKING:
    import onnx

_WIDE = ("int64", "float64")


class SklearnNetwork:
    """Numeric estimators take one matrix; a ColumnTransformer over named columns takes each column alone."""

    def __init__(self, source: Source) -> None:
        import skl2onnx

        self._estimator = _found(source.network)
        self.framework_version = sklearn.__version__
        self.converter = f"skl2onnx {skl2onnx.__version__}"
        self.notes: list[str] = []
        self.talk: list[str] = []
        self._opset = source.opset
        refuse(self._estimator, source.reference)
        register(self._estimator, source.reference)
        self._columns = self._column_names()
        self._read = used_columns(self._estimator, self._columns)
        given = source.example_inputs if source.example_inputs is not None else (source.samples or None)
        alone = source.network_inputs[0].name if source.network_inputs else self._alone()
        self._examples = named_examples(given, self._read, alone, source.reference)
        self.inputs = source.network_inputs or self._tell_inputs(source)
        self._missing = missing_of(self._estimator, self._columns) if self._columns else {}
        self._missing_word = missing_in_rows(self._estimator)
        self._narrow: Any = None
        exact = needs_double(self._estimator) or amplifies(self._estimator)
        self._double = exact or any(spec.dtype in _WIDE for spec in self.inputs)
        self.output_names = self._tell_outputs()
        if not source.network_inputs:
            self.inputs = [with_unknown(spec, self.inputs, self._examples, self._takes) for spec in self.inputs]
        if self._missing:
            self.notes.append(f"the empty string stands for a missing word: {', '.join(sorted(self._missing))}")

    def _column_names(self) -> list[str]:
        """The columns to be sent one by one; none where a matrix is."""
        by_column = any(isinstance(part, ColumnTransformer) for part in parts(self._estimator))
        columns = fitted_names(self._estimator)
        return columns if by_column or string_columns(self._estimator, columns) else []

    def _alone(self) -> str:
        """The name of the one input of an estimator without columns."""
        return "text" if takes_texts(self._estimator) else "features"

    def _tell_inputs(self, source: Source) -> list[TensorSpec]:
        """The author's dtypes; float32 where nobody showed a number and float32 is enough."""
        usual = "float64" if needs_double(self._estimator) else "float32"
        if not self._columns and not takes_float32(self._estimator):
            usual = "float64"
            self._examples = {
                name: value.astype(np.float64) if value.dtype == np.float32 else value
                for name, value in self._examples.items()
            }

        def dtype(name: str) -> str:
            if name not in self._examples:
                return usual
            return "string" if self._examples[name].dtype.kind == "O" else str(self._examples[name].dtype)

        if self._columns:
            words = string_columns(self._estimator, self._columns)
            whole = whole_categories(self._estimator, self._columns)
            missing = missing_of(self._estimator, self._columns)
            specs = []
            for name in self._read:
                if name in words:
                    domain = Domain(values=words[name])
                    specs.append(TensorSpec(name=name, dtype="string", shape=("batch", 1), domain=domain))
                elif dtype(name) == "string" or name in missing:
                    specs.append(TensorSpec(name=name, dtype="string", shape=("batch", 1)))
                else:
                    kind = "int64" if name in whole and name not in self._examples else dtype(name)
                    codes = Domain(values=[str(code) for code in whole[name]]) if name in whole else None
                    specs.append(TensorSpec(name=name, dtype=kind, shape=("batch", 1), domain=codes))
            return specs
        if takes_texts(self._estimator):
            return [TensorSpec(name="text", dtype="string", shape=("batch",))]
        columns = width(self._estimator)
        if columns is None:
            raise UsageError(
                "the estimator does not tell its inputs (is it fitted?)",
                where=source.reference,
                hint="fit it, or describe them: --input 'features:float32[batch,4]'",
            )
        known = string_columns(self._estimator, [str(place) for place in range(columns)])
        kind = "string" if len(known) == columns else dtype("features")
        if 0 < len(known) < columns:
            raise UsageError(
                "it was fitted on a matrix of words and numbers together, for which ONNX has no tensor",
                where=source.reference,
                hint="fit it on a pandas DataFrame with named columns: each is then an input of its own",
            )
        return [TensorSpec(name="features", dtype=kind, shape=("batch", columns))]

    def _tell_outputs(self) -> list[str]:
        estimator = self._estimator
        if is_classifier(estimator):
            # Without probabilities the label alone: skl2onnx's scores of such classifiers follow no one convention.
            scored = hasattr(estimator, "predict_proba") and not several_labels(estimator)
            return ["label", "probabilities"] if scored else ["label"]
        if hasattr(estimator, "predict_proba") and hasattr(estimator, "predict"):  # mixtures
            return ["label", "probabilities"]
        if is_outlier_detector(estimator) or is_clusterer(estimator):
            return ["label", "scores"] if hasattr(estimator, "transform") or not is_clusterer(estimator) else ["label"]
        if is_regressor(estimator):
            return ["prediction"]
        if hasattr(estimator, "transform"):
            return ["transformed"]
        raise BadModel(f"{type(estimator).__name__} neither predicts nor transforms")

    def run(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """The estimator's own answer, rows first; it computes in float64 itself from inputs in `precision`."""
        return self._answers(self._estimator, feeds, precision)

    def _answers(self, estimator: Any, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        X = self._matrix(feeds, precision)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "X does not have valid feature names": they are the graph's to keep
            try:
                answers = [self._ask(estimator, name, X) for name in self.output_names]
                if precision == "float64" and (wider := boosted_truth.exact(estimator, X)):
                    answers = [wider.get(name, one) for name, one in zip(self.output_names, answers, strict=True)]
            except Exception as error:
                if precision == "float64":  # fitted on float32, some estimators take nothing else
                    raise TruthUnavailable(str(error)) from error
                raise BadModel(f"the estimator fails: {type(error).__name__}: {error}") from error
        return {name: _as(answer, precision) for name, answer in zip(self.output_names, answers, strict=True)}

    def run_narrowed(self, feeds: dict[str, Array], precision: Precision) -> dict[str, Array]:
        """With fitted values rounded to float32; see Narrowing. The author's own wide inputs are not rounded."""
        if self._narrow is None:
            self._narrow = rounded(self._estimator)
        return self._answers(self._narrow, feeds, precision)

    def _takes(self, feeds: dict[str, Array]) -> bool:
        try:
            self.run(feeds, "float32")
        except BadModel:
            return False
        return True

    def _ask(self, estimator: Any, output: str, X: Any) -> Any:
        if output == "label":
            return _labels(estimator.predict(X))
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
        """The author's own values: whole numbers and float64 as they are, float32 in `precision`."""
        rows = {
            spec.name: feeds[spec.name].astype(precision) if spec.dtype == "float32" else feeds[spec.name]
            for spec in self.inputs
        }
        if not self._columns:
            return with_missing(rows[self.inputs[0].name], self._missing_word)
        pandas = require("pandas", needed_by="a pipeline over named columns")

        def column(name: str) -> Any:
            if name not in rows:
                return 0  # what is dropped at once may hold anything
            if name not in self._missing:
                return rows[name][:, 0]
            return pandas.Series(with_missing(rows[name][:, 0], self._missing[name]), dtype=object)

        return pandas.DataFrame({name: column(name) for name in self._columns})

    def decisions(self) -> dict[str, tuple[str, Choice]]:
        """The label is taken from the scores beside it; see Deciding."""
        if "probabilities" in self.output_names:
            own = side_by_side(self._estimator) or decides_otherwise(self._estimator)
            return {} if own else {"label": ("probabilities", "highest")}
        if "scores" in self.output_names and not decides_otherwise(self._estimator):
            return {"label": ("scores", "lowest" if is_clusterer(self._estimator) else "sign")}
        return {}

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
        """With skl2onnx: no ZipMap; in float64 inside where the inputs or the fitted values ask for it."""
        conversion = Conversion(self._estimator, self.inputs, self.output_names, self._opset)
        try:
            return conversion.convert(double=self._double)
        finally:
            self.notes += conversion.notes
            self.talk += conversion.talk

    def parameters(self) -> dict[str, Array]:
        """The fitted arrays that converters write as they are, of every step; trees have none."""
        return dict(fitted("", self._estimator))

    def write_state(self, path: Path) -> None:
        """The fitted estimator: a factory that fits may fit otherwise the next time."""
        path.write_bytes(pickle.dumps(self._estimator))

    def read_state(self, path: Path) -> None:
        """Take the estimator of `write_state`, which this machine's own parent process has just written."""
        self._estimator = pickle.loads(path.read_bytes())


def _found(estimator: Any) -> Any:
    """What a search for settings found, which answers as the search does."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    return estimator


def _labels(answer: Any) -> Array:
    """Rows first; whole numbers where the classes are, though they were given as floats."""
    array = np.asarray(answer)
    if array.ndim == 2 and array.shape[1] == 1:  # as CatBoost gives one of several classes
        array = array[:, 0]
    return array.astype(np.int64) if array.dtype.kind == "f" and not np.any(array % 1) else array


def _as(answer: Any, precision: Precision) -> Array:
    array = np.asarray(answer)
    if array.dtype.kind == "f":
        return array.astype(precision)
    if array.dtype.kind in "OUS":
        return array.astype(object)
    return array.astype(np.int64)
