"""An isolation forest as ONNX nodes."""

from __future__ import annotations

import numpy as np

from onnxpress.core import processing
from onnxpress.export.graph.steps.fragment import ML, Fragment, write


@write.register
def _(step: processing.IsolationForest, fragment: Fragment) -> None:
    nodes = [(tree, node) for tree, one in enumerate(step.trees) for node in range(len(one.feature))]
    inner = [step.trees[tree].feature[node] >= 0 for tree, node in nodes]
    leaves = [pair for pair, is_inner in zip(nodes, inner, strict=True) if not is_inner]
    paths = fragment.then(
        "TreeEnsembleRegressor",
        [step.input],
        domain=ML,
        n_targets=1,
        nodes_treeids=[tree for tree, _ in nodes],
        nodes_nodeids=[node for _, node in nodes],
        nodes_featureids=[max(0, step.trees[tree].feature[node]) for tree, node in nodes],
        nodes_modes=["BRANCH_LEQ" if is_inner else "LEAF" for is_inner in inner],
        nodes_values=[step.trees[tree].cut[node] for tree, node in nodes],
        nodes_truenodeids=[max(0, step.trees[tree].left[node]) for tree, node in nodes],
        nodes_falsenodeids=[max(0, step.trees[tree].right[node]) for tree, node in nodes],
        target_treeids=[tree for tree, _ in leaves],
        target_nodeids=[node for _, node in leaves],
        target_ids=[0] * len(leaves),
        target_weights=[step.trees[tree].value[node] for tree, node in leaves],
    )
    total = fragment.then("Squeeze", [paths, fragment.constant("last", np.asarray([-1], np.int64))])
    scale = fragment.constant("scale", np.asarray(step.scale, np.float32))
    two = fragment.constant("two", np.asarray(2, np.float32))
    fragment.node("Pow", [two, fragment.then("Mul", [total, scale])], step.output)
