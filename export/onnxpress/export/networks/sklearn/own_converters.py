"""Which estimators have a converter of ours: those that skl2onnx 1.20 lacks, and those that it writes otherwise."""

from __future__ import annotations

from typing import Any

from onnxpress.export.networks.sklearn import category_trees, centres, gaps, kernels, ordinal_codes, piecewise, several
from onnxpress.export.networks.sklearn.nodes import columns, labels_and
from onnxpress.export.networks.sklearn.parts import parts

_OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]}


def _classes(model: Any) -> int:
    return len(model.classes_)


def _components(model: Any, _: int) -> int:
    return len(model.components_)


_LACKING: dict[str, tuple[Any, Any]] = {
    "AffinityPropagation": (centres.clusters, labels_and(lambda model: len(model.cluster_centers_))),
    "Birch": (centres.clusters, labels_and(lambda model: len(model.subcluster_centers_))),
    "ClassifierChain": (several.chain, labels_and(lambda model: len(model.estimators_))),
    "EllipticEnvelope": (kernels.envelope, labels_and(lambda _: 1)),
    "FactorAnalysis": (kernels.factors, columns(_components)),
    "FastICA": (kernels.independent, columns(_components)),
    "FixedThresholdClassifier": (several.threshold, labels_and(_classes)),
    "IsotonicRegression": (piecewise.isotonic, columns(lambda _, width: width)),
    "KernelRidge": (kernels.ridge, columns(lambda model, _: model.dual_coef_.reshape(len(model.X_fit_), -1).shape[1])),
    "MeanShift": (centres.clusters, labels_and(lambda model: len(model.cluster_centers_))),
    "NearestCentroid": (centres.centroids, labels_and(_classes)),
    "Nystroem": (kernels.nystroem, columns(lambda model, _: len(model.normalization_))),
    "RBFSampler": (kernels.fourier, columns(lambda model, _: model.random_weights_.shape[1])),
    "RegressorChain": (several.chain, columns(lambda model, _: len(model.estimators_))),
    "SplineTransformer": (piecewise.splines, columns(lambda model, _: model.n_features_out_)),
}
"""class → converter and shape calculator, of what skl2onnx 1.20 knows nothing about"""

_INSTEAD: dict[str, Any] = {
    "HistGradientBoostingClassifier": category_trees.classifier,
    "HistGradientBoostingRegressor": category_trees.regressor,
    "KNNImputer": gaps.from_neighbours,
    "MLPClassifier": several.perceptron,
    "OrdinalEncoder": ordinal_codes.encoded,
    "OneVsOneClassifier": several.one_against_one,
    "QuantileTransformer": piecewise.quantiles,
    "RadiusNeighborsClassifier": centres.within_radius,
    "RadiusNeighborsRegressor": centres.mean_within_radius,
    "SGDOneClassSVM": kernels.one_class,
    "TunedThresholdClassifierCV": several.threshold,
}
"""class → converter, in place of skl2onnx's own"""


def register(estimator: Any) -> None:
    """Tell skl2onnx of the estimators inside it that it lacks a converter for."""
    from skl2onnx import update_registered_converter
    from sklearn.base import is_classifier

    for kind, part in _ours(estimator, _LACKING):
        converter, shapes = _LACKING[kind]
        options = _OPTIONS if is_classifier(part) else None
        update_registered_converter(type(part), f"Own{kind}", shapes, converter, options=options)


def instead(estimator: Any) -> dict[type, Any]:
    """For `convert_sklearn(custom_conversion_functions=...)`: class → converter."""
    return {type(part): _INSTEAD[kind] for kind, part in _ours(estimator, _INSTEAD)}


_SHAPES_INSTEAD: dict[str, Any] = {
    "KNNImputer": columns(gaps.width),  # it may leave columns out, and add some
    "SGDOneClassSVM": labels_and(lambda _: 1),  # skl2onnx gives its scores as a row
}


def shapes_instead(estimator: Any) -> dict[type, Any]:
    """For `convert_sklearn(custom_shape_calculators=...)`: class → shape calculator."""
    return {type(part): _SHAPES_INSTEAD[kind] for kind, part in _ours(estimator, _SHAPES_INSTEAD)}


def _ours(estimator: Any, known: dict[str, Any]) -> list[tuple[str, Any]]:
    """scikit-learn's own classes alone: one that inherits from them may answer otherwise."""
    found = [(type(part).__name__, part) for part in parts(estimator)]
    return [(kind, part) for kind, part in found if kind in known and type(part).__module__.startswith("sklearn.")]
