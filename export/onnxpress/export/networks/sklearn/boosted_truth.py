"""What XGBoost's trees say in float64, added up by ourselves: it adds up in float32, whatever it is given.

Its own sum over hundreds of trees is tens of roundings away from that, as any other float32 sum is.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from onnxpress.core.arrays import Array
from onnxpress.export.networks.sklearn.parts import last_step

_SUMS = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror", "rank:")
_EXPONENTS = ("count:poisson", "reg:gamma", "reg:tweedie")
_SIGMOIDS = ("binary:logistic", "reg:logistic")
_CLASSES = ("multi:softprob", "multi:softmax")
_NEAR = 1e-3
"""of its own margins, to which ours must come; else its version adds up otherwise"""


def exact(estimator: Any, rows: Any) -> dict[str, Array]:
    """`prediction` or `probabilities` in float64, of an estimator of XGBoost's or a pipeline that ends in one.

    Empty for any other, and for boosters and objectives that are not known here.
    """
    model = last_step(estimator)
    if not type(model).__module__.startswith("xgboost."):
        return {}
    if model is not estimator:
        rows = estimator[:-1].transform(rows)
    margins = _margins(model, rows)
    if margins is None:
        return {}
    objective = str(model.objective)
    if objective in _CLASSES:
        powers = np.exp(margins - margins.max(1, keepdims=True))
        return {"probabilities": powers / powers.sum(1, keepdims=True)}
    if objective in _SIGMOIDS:
        one = 1 / (1 + np.exp(-margins[:, :1]))
        return {"probabilities": np.concatenate([1 - one, one], 1), "prediction": one}
    return {"prediction": np.exp(margins) if objective in _EXPONENTS else margins}


def _margins(model: Any, rows: Any) -> Array | None:
    """[rows, groups]: the sums of the leaves, and what they start from."""
    booster = model.get_booster()
    learner = json.loads(booster.save_config())["learner"]
    start = _start(str(model.objective), str(learner["learner_model_param"]["base_score"]))
    if start is None or learner["gradient_booster"]["name"] != "gbtree":
        return None
    leaves = np.asarray(model.apply(rows), np.int64)
    leaves = leaves.reshape(len(leaves), -1)
    own = np.asarray(model.predict(rows, output_margin=True), np.float64).reshape(len(leaves), -1)
    groups = own.shape[1]
    if groups > 1 and (model.num_parallel_tree or 1) > 1:
        return None
    found: Array = np.zeros(own.shape) + start
    for place, tree in enumerate(booster.get_dump(dump_format="json")[: leaves.shape[1]]):
        values = dict(_leaves(json.loads(tree)))
        known = np.zeros(max(values) + 1)
        known[list(values)] = list(values.values())
        found[:, place % groups] += known[leaves[:, place]]
    return found if np.allclose(found, own, _NEAR, _NEAR) else None


def _start(objective: str, told: str) -> Array | None:
    base = np.array([float(part) for part in told.strip("[]").split(",")])
    if objective in _SIGMOIDS:
        return np.log(base / (1 - base))
    if objective in _EXPONENTS:
        return np.log(base)
    return base if objective in _CLASSES or objective.startswith(_SUMS) else None


def _leaves(node: dict[str, Any]) -> list[tuple[int, float]]:
    if "leaf" in node:
        # It is printed with as many digits as tell one float32 from the next.
        return [(int(node["nodeid"]), float(np.float32(node["leaf"])))]
    return [leaf for child in node["children"] for leaf in _leaves(child)]
