"""Estimators that ask others: chains, one class against one, a threshold of one's own, labels of a perceptron."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.core.errors import BadModel
from onnxpress.export.networks.sklearn.nodes import Nodes


def chain(scope: Any, operator: Any, container: Any) -> None:
    """RegressorChain and ClassifierChain: each is given the answers of those before it beside the rows."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    if getattr(model, "chain_method_", "predict") != "predict":
        raise BadModel(
            f"{type(model).__name__}(chain_method={model.chain_method!r}) has no ONNX form here",
            hint="fit it with chain_method='predict'",
        )
    answers: list[str] = []
    for place, one in enumerate(model.estimators_):
        rows = nodes("Concat", nodes.rows, *answers, axis=1) if answers else nodes.rows
        made = nodes.asked(one, [nodes.rows_as(rows, nodes.width + place)], zipmap=False)
        answers.append(nodes.reshaped(nodes("Cast", made[0], to=11), -1, 1))
    order = np.argsort(np.asarray(model.order_))
    whole = nodes("Concat", *[answers[place] for place in order], axis=1)
    if len(operator.outputs) > 1:
        nodes.answer(nodes("Cast", whole, to=7))
        nodes.answer(whole, 1)
    else:
        nodes.answer(whole)


def _score(nodes: Nodes, estimator: Any, rows: list[Any] | None = None, *, probable: bool = False) -> tuple[str, str]:
    """The label of a classifier of two classes, and the score of the second: of `decision_function` if it has one."""
    from sklearn.pipeline import Pipeline

    raw = hasattr(estimator, "decision_function") and not probable
    if raw and isinstance(estimator, Pipeline):
        raise BadModel(
            f"{type(nodes.operator.raw_operator).__name__} around a pipeline has no ONNX form here",
            hint="put the steps before it: make_pipeline(StandardScaler(), OneVsOneClassifier(LinearSVC()))",
        )
    told = {"raw_scores": True} if raw and nodes.container.has_options(estimator, "raw_scores") else {"zipmap": False}
    label, scores = nodes.asked(estimator, rows, **told)
    last = nodes("Gather", nodes.reshaped(scores, 0, -1), np.asarray([-1]), axis=1)
    return label, last


def one_against_one(scope: Any, operator: Any, container: Any) -> None:
    """OneVsOneClassifier: the votes of each pair, and their scores where votes are equal."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    count = len(model.classes_)
    if model.pairwise_indices_ is not None:
        raise BadModel("OneVsOneClassifier over precomputed kernels has no ONNX form", hint="fit it on rows")
    labels, scores = [], []
    for one in model.estimators_:
        label, score = _score(nodes, one)
        labels.append(nodes.reshaped(nodes("Cast", label, to=11), -1, 1))
        scores.append(nodes("Cast", score, to=11))
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    lost, won = np.zeros((2, len(pairs), count))
    for place, (i, j) in enumerate(pairs):
        lost[place, i], won[place, j] = 1, 1
    voted = nodes("Concat", *labels, axis=1) if len(labels) > 1 else labels[0]
    sure = nodes("Concat", *scores, axis=1) if len(scores) > 1 else scores[0]
    others = nodes("Sub", np.ones(1), voted)
    votes = nodes("Add", nodes("MatMul", others, lost), nodes("MatMul", voted, won))
    sums = nodes("MatMul", sure, won - lost)
    bent = nodes("Mul", nodes("Add", nodes("Abs", sums), np.ones(1)), np.full(1, 3.0))
    made = nodes("Add", votes, nodes("Div", sums, bent))
    nodes.answer_class(nodes("ArgMax", made, axis=1, keepdims=0), model.classes_)
    nodes.answer(made, 1)


def threshold(scope: Any, operator: Any, container: Any) -> None:
    """TunedThresholdClassifierCV and FixedThresholdClassifier: the label by a threshold of their own."""
    nodes, model = Nodes(scope, operator, container), operator.raw_operator
    inner, classes = model.estimator_, np.asarray(model.classes_)
    asked = model._get_response_method()
    probable = hasattr(inner, "predict_proba") and asked != "decision_function"
    scorer = getattr(model, "_curve_scorer", None)
    chosen = model.pos_label if scorer is None else scorer._get_pos_label()
    positive = 1 if chosen is None else int(np.flatnonzero(classes == chosen)[0])
    told: Any = model.best_threshold_ if scorer is not None else model.threshold
    cut = 0.5 if told == "auto" else float(told)
    if not probable:
        raise BadModel(
            f"{type(model).__name__} by decision_function has no ONNX form here",
            hint="take a classifier with probabilities (CalibratedClassifierCV around it), and fit it again",
        )
    _, scores = nodes.asked(inner, zipmap=False)
    column = nodes.reshaped(nodes("Gather", scores, np.asarray([positive]), axis=1), -1)
    # Both as exact as the scores are: a share of votes may be the threshold itself.
    from skl2onnx.common.data_types import DoubleTensorType

    wide = isinstance(operator.inputs[0].type, DoubleTensorType)
    limit = np.full(1, cut, np.float64 if wide else np.float32)
    over = nodes("Cast", nodes("GreaterOrEqual", column, limit), to=7)
    nodes.answer_class(over, classes if positive == 1 else classes[::-1])
    nodes.answer(nodes("Cast", scores, to=11), 1)


def perceptron(scope: Any, operator: Any, container: Any) -> None:
    """MLPClassifier of several labels: of two, skl2onnx 1.20 makes four probabilities."""
    model = operator.raw_operator
    if not model._label_binarizer.y_type_.startswith("multilabel"):
        from skl2onnx.operator_converters.multilayer_perceptron import convert_sklearn_mlp_classifier as stock

        stock(scope, operator, container)
        return
    nodes = Nodes(scope, operator, container)
    hidden = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "identity": ""}[model.activation]
    value, last = nodes.rows, len(model.coefs_) - 1
    for place, (weights, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        value = nodes("MatMul", value, np.asarray(weights, np.float64))
        value = nodes("Add", value, np.asarray(bias, np.float64))
        bent = "Sigmoid" if place == last else hidden
        value = nodes(bent, value) if bent else value
    nodes.answer(nodes("Cast", nodes("Greater", value, np.full(1, 0.5)), to=7))
    nodes.answer(value, 1)
