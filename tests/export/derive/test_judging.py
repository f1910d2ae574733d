"""Answers of a derived version against its parent's: what counts as a flip, a near-tie, a neighbour, an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onnxpress.core.arrays import Array
from onnxpress.core.errors import UsageError
from onnxpress.core.manifest import EquivalenceSummary, Manifest, Source
from onnxpress.core.tensors import parse_spec
from onnxpress.export.derive import judging
from onnxpress.export.derive.choices import Kind
from onnxpress.export.derive.figures import OutputJudged, Timing
from onnxpress.export.derive.gate import Gate, default_gain, share
from onnxpress.export.derive.resampling import paired
from onnxpress.export.derive.stage import gate_for


def judged(before: Any, after: Any, kind: Kind, *, floor: float = 0.0, labels: Any = None) -> OutputJudged:
    (one,) = judging.judge(
        {"y": np.asarray(before)},
        {"y": np.asarray(after)},
        {"y": kind},
        floors={"y": floor},
        thresholds={"y": 0.5},
        labels=None if labels is None else {"y": np.asarray(labels)},
    )
    return one


def manifest(**changed: Any) -> Manifest:
    facts: dict[str, Any] = {
        "name": "m",
        "created": "",
        "inputs": [],
        "outputs": [],
        "opset": 18,
        "ir_version": 10,
        "equivalence": EquivalenceSummary(equivalent=True, worst_multiple=1.0, limit=10.0, floor="float64"),
        "source": Source(reference="", framework="", framework_version="", converter=""),
    }
    return Manifest(**facts | changed)


def test_flips_are_told_from_near_ties() -> None:
    before = [[0.9, 0.1], [0.500001, 0.499999], [0.2, 0.8]]
    after = [[0.4, 0.6], [0.499999, 0.500001], [0.3, 0.7]]
    one = judged(before, after, "classes", floor=1e-6)
    assert (one.decisions, one.flips, one.near_ties) == (3, 1, 1)
    assert judged(before, after, "classes").flips == 2  # a parent without noise has no near-ties
    assert one.kl_mean is not None
    assert one.kl_worst is not None
    assert 0 < one.kl_mean < one.kl_worst


def test_scores_go_through_softmax_and_probabilities_do_not() -> None:
    p = np.array([[0.7, 0.3]])
    q = np.array([[0.5, 0.5]])
    expected = 0.7 * np.log(1.4) + 0.3 * np.log(0.6)
    assert judged(p, q, "classes").kl_mean == pytest.approx(expected)
    assert judged(np.log(p) + 3, np.log(q) - 2, "classes").kl_mean == pytest.approx(expected)


def test_a_number_that_is_lost_is_counted_and_refused() -> None:
    one = judged([[0.9, 0.1], [0.2, 0.8]], [[np.nan, 0.1], [0.2, 0.8]], "classes")
    assert one.not_finite == 1
    assert Gate(max_flips=1.0 - 1e-9).quality([one], [], 2)


def test_labels_and_thresholds_are_decisions() -> None:
    words = judged(np.array(["a", "b", "c"], object), np.array(["a", "b", "b"], object), "values")
    assert (words.decisions, words.flips) == (3, 1)
    assert judged([0.1, 0.6, 0.7], [0.2, 0.4, 0.9], "threshold").flips == 1


def test_many_decisions_in_a_row_prove_no_more_than_their_rows() -> None:
    """1,000 tokens in each of 20 rows are not 20,000 independent draws."""
    scores = np.tile(np.array([0.9, 0.1]), (20, 1000, 1))
    one = judged(scores, scores, "classes")
    assert one.decisions == 20_000
    assert one.bound == pytest.approx(1 - 0.05 ** (1 / 20))


def test_neighbours_change_though_every_cosine_is_high() -> None:
    draw = np.random.default_rng(0)
    before = draw.normal(size=(200, 64))
    after = before + 0.2 * draw.normal(size=before.shape)
    one = judged(before, after, "embedding")
    assert one.cosine_worst is not None
    assert one.cosine_worst > 0.9
    assert one.flips > 20
    assert judged(before, before * 3, "embedding").flips == 0


def test_an_error_is_told_in_units_of_the_parents_own() -> None:
    draw = np.random.default_rng(0)
    truth = draw.normal(size=(1000, 1)) * 10
    before = truth + draw.normal(size=truth.shape)
    after = before + 0.1 * draw.normal(size=truth.shape)
    with_labels = judged(before, after, "regression", labels=truth)
    assert with_labels.error == pytest.approx(0.1, rel=0.1)
    assert with_labels.unit == "the parent's own error"
    assert judged(before, after, "regression").error == pytest.approx(0.01, rel=0.1)


def test_the_worst_column_of_a_regression_counts() -> None:
    """Metres and millimetres side by side: in a common unit the smaller column could be anything."""
    before = np.random.default_rng(0).normal(size=(500, 3)) * [1000.0, 1.0, 0.0]
    after = before + np.array([0.0, 0.5, 0.0])
    one = judged(before, after, "regression")
    assert one.error == pytest.approx(0.5, rel=0.1)
    assert judged(before, before + 1e-9, "regression").error == pytest.approx(0, abs=1e-6)


def test_boxes_match_where_they_overlap() -> None:
    before = np.array([[[0, 0, 10, 10], [20, 20, 30, 30]]], float)
    moved = np.array([[[20, 20.5, 30, 30], [0, 0, 10, 9.5]]], float)  # in another order
    far = np.array([[[0, 0, 10, 10], [24, 24, 34, 34]]], float)
    assert judged(before, moved, "boxes").flips == 0
    assert judged(before, far, "boxes").flips == 1


@pytest.mark.parametrize(
    ("spec", "answer", "changed", "kind"),
    [
        ("y:float32[batch,3]", [[0.2, 0.3, 0.5]], {}, "classes"),
        ("logits:float32[batch,3]", [[2.0, -3.0, 5.0]], {}, "classes"),
        ("y:float32[batch,2]", [[2.0, -3.0]], {"labels": {"y": ["no", "yes"]}}, "classes"),
        ("y:float32[batch,1]", [[2.0]], {}, "regression"),
        ("y:float32[batch]", [2.0], {}, "regression"),
        ("score:float32[batch]", [0.2], {"thresholds": {"score": 0.4}}, "threshold"),
        ("embedding:float32[batch,3]", [[2.0, -3.0, 1.0]], {}, "embedding"),
        ("y:float32[batch,2]", [[0.6, -0.8]], {}, "embedding"),
        ("label:string[batch]", ["a"], {}, "values"),
        ("boxes:float32[batch,1,4]", [[[0.0, 0.0, 1.0, 1.0]]], {}, "boxes"),
    ],
)
def test_what_callers_take_from_an_output_is_known(spec: str, answer: Any, changed: dict[str, Any], kind: Kind) -> None:
    parsed = parse_spec(spec)
    value = np.array(answer, object if parsed.dtype == "string" else np.float32)
    assert judging.kind_of(parsed, value, manifest(**changed), {}) == kind
    assert judging.kind_of(parsed, value, manifest(**changed), {parsed.name: "regression"}) == "regression"


def test_a_metric_has_an_interval_over_pairs() -> None:
    """Both are right and wrong on the same rows but for 20 of 1,000: the interval is that of the 20."""
    before = (np.arange(1000) % 10 > 0).astype(float)
    after = before.copy()
    after[:200:10] = 1.0
    after[1:401:10] = 0.0
    metric = paired("accuracy", "y", before, after, more_is_better=True)
    assert metric.loss == pytest.approx(0.02)
    assert metric.low < 0.02 < metric.high < 0.035


def test_labels_belong_to_what_is_decided() -> None:
    kinds: dict[str, Kind] = {"probabilities": "classes", "label": "values"}
    words = np.array(["a", "b"], object)
    assert list(judging.paired_labels({"y": words}, kinds, 2, "y.npz")) == ["label"]
    numbers = np.array([0, 1])
    assert list(judging.paired_labels({"probabilities": numbers}, kinds, 2, "y.npz")) == ["probabilities"]
    with pytest.raises(UsageError, match="2 labels for 3 rows"):
        judging.paired_labels({"y": words}, kinds, 3, "y.npz")
    with pytest.raises(UsageError, match="no output can be held against"):
        judging.paired_labels({"y": words}, {"e": "embedding"}, 2, "y.npz")


def test_words_are_held_against_the_highest_class() -> None:
    answers = {"p": np.array([[0.9, 0.1], [0.2, 0.8]])}
    wanted = {"p": np.array(["no", "no"], object)}
    (metric,) = judging.metrics(answers, answers, {"p": "classes"}, wanted, {"p": ["no", "yes"]}, {})
    assert (metric.parent, metric.derived, metric.loss) == (0.5, 0.5, 0.0)
    with pytest.raises(UsageError, match="labels are words"):
        judging.metrics(answers, answers, {"p": "classes"}, wanted, {}, {})


def test_labels_of_a_threshold_are_held_against_its_side() -> None:
    answers = {"p": np.array([0.2, 0.45, 0.9])}
    for wanted in (np.array([0, 1, 1]), np.array(["no", "yes", "yes"], object)):
        (metric,) = judging.metrics(
            answers, answers, {"p": "threshold"}, {"p": wanted}, {"p": ["no", "yes"]}, {"p": 0.4}
        )
        assert metric.parent == 1.0


@pytest.mark.parametrize(
    ("kind", "wanted", "told"),
    [
        ("classes", np.eye(2)[[0, 1]], "have the shape"),
        ("regression", np.array(["a", "b"]), "are words, and it answers values"),
        ("embedding", np.array([0, 1]), "judged as embedding, for which there is no metric"),
    ],
)
def test_labels_that_fit_nothing_are_told(kind: Kind, wanted: Array, told: str) -> None:
    answers = {"p": np.array([[0.9, 0.1], [0.2, 0.8]])}
    with pytest.raises(UsageError, match=told):
        judging.metrics(answers, answers, {"p": kind}, {"p": wanted}, {}, {})


def test_the_gate_asks_for_the_bound_and_says_how_many_rows_would_prove_it() -> None:
    few = OutputJudged(name="y", kind="classes", decisions=100, flips=0, bound=0.0295)
    (told,) = Gate(max_flips=0.005).quality([few], [], 100)
    assert "598 rows would prove it (there are 100)" in told
    many = OutputJudged(name="y", kind="classes", decisions=1000, flips=20, bound=0.029)
    (told,) = Gate(max_flips=0.005).quality([many], [], 1000)
    assert "would prove" not in told
    assert not Gate(max_flips=0.03).quality([few, many], [], 1000)


def test_the_gate_holds_a_metric_by_its_interval_and_knows_which_there_are() -> None:
    same = np.ones(50)
    metric = paired("accuracy", "y", same, same, more_is_better=True)
    assert not Gate(max_drop={"accuracy": 0.002}).quality([], [metric], 50)
    worse = paired("accuracy", "y", same, np.append(np.ones(49), 0.0), more_is_better=True)
    assert Gate(max_drop={"accuracy": 0.03}).quality([], [worse], 50)  # 2 % was seen, and up to 6 % may be
    with pytest.raises(UsageError, match="--max-drop recall: it was not measured; measured were accuracy"):
        Gate(max_drop={"recall": 0.1}).quality([], [metric], 50)


@pytest.mark.parametrize(
    ("ratios", "passes"),
    [({1: 2.0, 32: 1.8}, True), ({1: 1.0, 32: 1.2}, True), ({1: 1.1, 32: 1.1}, False), ({1: 2.0, 32: 0.5}, False)],
)
def test_quicker_is_quicker_in_one_batch_and_slower_in_none(ratios: dict[int, float], passes: bool) -> None:
    timings = {batch: Timing(parent_s=ratio, derived_s=1.0, quicker=ratio) for batch, ratio in ratios.items()}
    assert (not Gate(min_speedup=1.15).gain(1.0, timings)) == passes


@pytest.mark.parametrize(
    ("smaller", "ratio", "passes"), [(1.3, 1.0, True), (1.0, 1.2, True), (1.0, 1.0, False), (1.3, 0.5, False)]
)
def test_of_the_same_precision_smaller_or_quicker_is_enough_but_never_slower(
    smaller: float, ratio: float, passes: bool
) -> None:
    gate = gate_for("same", Gate())
    timing = Timing(parent_s=ratio, derived_s=1.0, quicker=ratio)
    assert (not gate.gain(smaller, {1: timing})) == passes
    assert not gate_for("same", Gate(min_smaller=2.0)).either


def test_every_precision_has_something_to_gain() -> None:
    for precision in ("int8", "float16", "bfloat16", "w8", "w4", "same"):
        assert any(default_gain(precision))
    assert Gate(min_smaller=2.0).gain(1.9, {})
    assert not Gate(min_smaller=2.0).gain(2.0, {})


@pytest.mark.parametrize(("text", "value"), [("0.5%", 0.005), ("0.005", 0.005), (" 5 % ", 0.05), ("0", 0.0)])
def test_shares_are_read_as_people_write_them(text: str, value: float) -> None:
    assert share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "half", "100%", "-1%", "1.5"])
def test_what_is_no_share_is_said(text: str) -> None:
    with pytest.raises(UsageError, match="is no share"):
        share(text)
