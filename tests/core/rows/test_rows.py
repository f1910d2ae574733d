"""The proof says no to every graph whose rows look at each other, and yes to the usual ones; running them agrees."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx
from tests.core.rows import refused_graphs, refused_structures, safe_graphs, safe_operators, unsafe_graphs
from tests.core.rows.brute_force import dependency
from tests.core.rows.notation import Case

from onnxpress.core.arrays import Array
from onnxpress.core.onnx_graph import Model
from onnxpress.core.rows import Dependent, Proven, prove
from onnxpress.core.rows.walk import MALFORMED

TEXTS = np.array(["", "a", "ab", "bbabca", "zz", "b", "abc", "abcabc"], object)


def rows(proto: onnx.ModelProto, seed: int, scale: float = 1) -> dict[str, Array]:
    """Five different rows of every input; sizes without a number are 3."""
    g = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for declared in proto.graph.input:
        kind = declared.type.tensor_type
        shape = [5, *(dim.dim_value or 3 for dim in kind.shape.dim[1:])]
        if kind.elem_type == onnx.TensorProto.FLOAT:
            found[declared.name] = (g.standard_normal(shape) * scale).astype(np.float32)
        elif kind.elem_type == onnx.TensorProto.INT64:
            found[declared.name] = g.integers(0, 2, shape)
        else:
            found[declared.name] = g.choice(TEXTS, shape)
    return found


def found_by_running(case: Case) -> str | None:
    proto = case.proto()
    others = [rows(proto, seed, scale) for seed, scale in ((2, 1), (3, 1e4), (4, 1))]
    return dependency(case.model(), rows(proto, 1), others)


def by_name(case: Case) -> str:
    return case.name


def test_there_are_as_many_as_promised() -> None:
    assert len(safe_graphs.CASES) >= 30
    assert len(unsafe_graphs.CASES) >= 60
    names = sorted(case.name for case in (*safe_graphs.CASES, *safe_operators.CASES, *unsafe_graphs.CASES))
    assert all(one != other for one, other in pairwise(names))


@pytest.mark.parametrize("case", [*safe_graphs.CASES, *safe_operators.CASES], ids=by_name)
def test_a_graph_whose_rows_do_not_look_at_each_other_is_proven(case: Case) -> None:
    assert found_by_running(case) is None
    assert prove(Model(case.model())) == Proven()


@pytest.mark.parametrize("case", unsafe_graphs.CASES, ids=by_name)
def test_a_graph_whose_rows_look_at_each_other_is_not(case: Case) -> None:
    assert found_by_running(case) is not None
    answer = prove(Model(case.model()))
    assert isinstance(answer, Dependent)
    assert answer.reason
    assert answer.reason != MALFORMED
    assert answer.node in re.findall(r"\w+", case.text + case.functions)


def test_what_surely_mixes_is_told_from_what_is_not_followed() -> None:
    answers = {case.name: prove(Model(case.model())) for case in unsafe_graphs.CASES}
    sure = {name for name, answer in answers.items() if isinstance(answer, Dependent) and answer.definite}
    assert {"mean of the batch", "softmax over the batch", "gram matrix of the batch", "a row picked by number"} <= sure
    assert "another branch for one row" not in sure


@pytest.mark.parametrize(
    ("reason", "case"),
    [*refused_graphs.CASES, *refused_structures.CASES],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_graph_that_is_not_followed_says_why(reason: str, case: Case) -> None:
    answer = prove(Model(case.model()))
    assert isinstance(answer, Dependent)
    assert reason in answer.reason
