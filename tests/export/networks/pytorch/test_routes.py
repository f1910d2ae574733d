"""Operators and modules that torch.onnx has no form for: taken, or refused with what to do."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from torch import nn  # noqa: E402
from torch.nn.utils import parametrizations, parametrize  # noqa: E402

from onnxpress.core.errors import BadModel  # noqa: E402
from onnxpress.export.networks.pytorch.module import TorchNetwork  # noqa: E402
from onnxpress.export.pipeline.export import export  # noqa: E402
from onnxpress.export.source import Source  # noqa: E402
from onnxpress.serving.engine import Engine  # noqa: E402

pytestmark = pytest.mark.torch


class Calls(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


def source(model: nn.Module, example: Any) -> Source:
    return Source(reference="route", name="m", framework="pytorch", network=model, example_inputs=example)


def judged(model: nn.Module, example: Any, folder: Path, *, tolerance: float = 1e-5) -> None:
    """Published, and asked about rows of its own; the framework's answers are the judge's."""
    published = export(source(model, example), repository=folder)
    engine = Engine.load(published.folder / "model.onnx")
    torch.manual_seed(9)
    rows = torch.randn(5, *example.shape[1:]) * 2
    with torch.no_grad():
        wanted = model.eval()(rows)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    for name, value in zip(engine.output_names, wanted, strict=True):
        np.testing.assert_allclose(engine.run({engine.inputs[0].name: rows.numpy()})[name], value, tolerance, tolerance)


FLAT, SQUARE, PICTURE, BOX = (5, 7), (5, 4, 4), (4, 2, 7, 9), (3, 2, 5, 7, 4)
TABLE = torch.tensor([[0.0, 2.0, 1.0, 0.0], [3.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 4.0]])
"""its pivots are not on the diagonal"""


ROUTES: dict[str, tuple[tuple[int, ...], list[Callable[[Any], Any]]]] = {
    "sorting": (
        FLAT,
        [
            lambda x: torch.argsort(x, stable=True),
            lambda x: torch.argsort((x * 2).long(), dim=-1, descending=True, stable=True),
            lambda x: torch.sort(x > 0, dim=1, stable=True)[1],
            lambda x: torch.sort(x, stable=True)[0],
            lambda x: torch.searchsorted(torch.tensor([-1.0, 0.0, 0.5]), x, right=True),
            lambda x: torch.searchsorted(x.sort(-1)[0], x[:, :3] * 2),
            lambda x: torch.isin((x * 2).long(), torch.tensor([-2, 0, 3])),
        ],
    ),
    "cumulated": (
        FLAT,
        [
            lambda x: torch.cumprod(x, 1),
            lambda x: torch.cumprod(x, -1),
            lambda x: torch.cumprod((x > -1).long(), 1),
            lambda x: x.sigmoid()[:, :, None].cumprod(-2),
            lambda x: torch.cummax(x, 1),
            lambda x: x[:, None].cummin(-1).values,
        ],
    ),
    "order statistics": (
        FLAT,
        [
            lambda x: x.median(1).values,
            lambda x: x[:, :6].median(-1, keepdim=True),
            lambda x: x.kthvalue(3, 1),
            lambda x: torch.fmax(x[:, 0], x[:, 1].log()),
            lambda x: torch.nanmedian(x.log(), 1).values,
            lambda x: torch.mode(x.long(), 1).values,
        ],
    ),
    # Each alone: beside other answers rows are found that are all but singular.
    "inverted": (SQUARE, [torch.linalg.inv]),
    "solved for a vector": (SQUARE, [lambda x: torch.linalg.solve(x, x[..., 0])]),
    "solved for columns": ((3, 2, 5, 5), [lambda x: torch.linalg.solve(x.mT, x.flip(-1)[..., :2])]),
    "solved": (
        SQUARE,
        [
            lambda x: torch.linalg.solve(TABLE, x),
            lambda x: torch.linalg.solve(TABLE, x, left=False),
            lambda x: torch.linalg.solve_triangular(x.tril() + 3 * torch.eye(4), x.mT, upper=False),
            lambda x: torch.linalg.solve_triangular(x.triu(), x, upper=True, left=False, unitriangular=True),
        ],
    ),
    "decomposed": (
        SQUARE,
        [
            lambda x: torch.linalg.cholesky(x @ x.mT + torch.eye(4)),
            lambda x: torch.linalg.cholesky(x.mT @ x + torch.eye(4), upper=True),
            lambda x: torch.cholesky_solve(x, torch.linalg.cholesky(x @ x.mT + torch.eye(4))),
        ],
    ),
    "pooled": (
        PICTURE,
        [
            lambda x: nn.functional.adaptive_max_pool1d(x[:, :, 0], 3),
            nn.AdaptiveMaxPool2d((3, 4)),
            nn.AdaptiveMaxPool2d((3, 4), return_indices=True),
            nn.AdaptiveAvgPool2d((3, 4)),
        ],
    ),
    "pooled volumes": (BOX, [nn.AdaptiveMaxPool3d((2, 3, 3), return_indices=True), nn.AdaptiveAvgPool3d((2, 3, 3))]),
}
"""group → the shape of its input, and the functions that are exported together"""


@pytest.mark.parametrize("group", ROUTES)
def test_operators_that_the_exporter_lacks_are_written(group: str, tmp_path: Path) -> None:
    shape, functions = ROUTES[group]

    def forward(x: Any) -> tuple[Any, ...]:
        found = [function(x) for function in functions]
        return tuple(part for one in found for part in (one if isinstance(one, tuple) else (one,)))

    torch.manual_seed(0)
    judged(Calls(forward), torch.randn(*shape), tmp_path)


def test_answers_near_nothing_are_exact_relatively(tmp_path: Path) -> None:
    def forward(x: Any) -> Any:
        return nn.functional.logsigmoid(x), torch.log1p(x.abs()), torch.expm1(x), nn.functional.celu(x, 0.7)

    published = export(source(Calls(forward), torch.randn(5, 7)), repository=tmp_path)
    engine = Engine.load(published.folder / "model.onnx")
    for scale in (1e-38, 1e-9, 1e-6, 1e-3, 1.0, 30.0, 200.0):
        rows = torch.randn(64, 7) * scale
        answers = engine.run({engine.inputs[0].name: rows.numpy()})
        for name, wanted in zip(engine.output_names, forward(rows), strict=True):
            np.testing.assert_allclose(answers[name], wanted, rtol=1e-6, atol=1e-37)


def test_values_are_taken_along_a_dimension_of_any_batch(tmp_path: Path) -> None:
    class Taken(nn.Module):
        def forward(self, x: Any, at: Any) -> Any:
            whole = x.take_along_dim(at.unsqueeze(1), dim=-1)
            return (
                torch.take_along_dim(x, at[:, None, :1] - 2, 1).flatten(1),
                whole,
                torch.take_along_dim(x, at[:1, :2]),
            )

    model, rows = Taken(), np.random.default_rng(0)
    x, at = torch.randn(4, 3, 5), torch.from_numpy(rows.integers(0, 5, (4, 6)))
    made = TorchNetwork(source(model, (x, at)))
    engine = Engine.load(made.convert(tmp_path).SerializeToString(), self_test=False)
    for batch in (2, 9):
        x, at = torch.randn(batch, 3, 5), torch.from_numpy(rows.integers(0, 5, (batch, 6)))
        answers = engine.run({"x": x.numpy(), "at": at.numpy()})
        for name, wanted in zip(engine.output_names, model(x, at), strict=True):
            np.testing.assert_array_equal(answers[name], wanted)


class Skew(nn.Module):
    """The parametrization of torch's own tutorial."""

    def forward(self, weight: Any) -> Any:
        upper = weight.triu(1)
        return torch.matrix_exp(upper - upper.transpose(-1, -2))


@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder", "own"])
def test_weights_that_are_computed_are_fixed_in_a_copy(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(5, 5)
    if kind == "own":
        parametrize.register_parametrization(layer, "weight", Skew())
    else:
        parametrizations.orthogonal(layer, orthogonal_map=kind)
    model = nn.Sequential(layer, nn.ReLU(), nn.Linear(5, 2))
    before = copy.deepcopy(model.state_dict())
    judged(model, torch.randn(8, 5), tmp_path)
    assert parametrize.is_parametrized(layer, "weight"), "the caller's own model stays as it was"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_quantised_module_is_refused_with_what_to_do(dynamic: bool, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamic:
            model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 2)).eval(), {nn.Linear})
        else:
            model = nn.Sequential(torch.ao.quantization.QuantStub(), nn.Linear(4, 2)).eval()
            model.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
            torch.ao.quantization.prepare(model, inplace=True)(torch.randn(8, 4))
            torch.ao.quantization.convert(model, inplace=True)
    with pytest.raises(BadModel, match="holds a quantised module") as refusal:
        export(source(model, torch.randn(8, 4)), repository=tmp_path)
    assert "before it was quantised" in str(refusal.value.hint)


class Packed(nn.Module):
    """The last states of both directions, of sequences of other lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.GRU(3, 4, batch_first=True, bidirectional=True)

    def forward(self, x: Any, lengths: Any) -> Any:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, state = self.recurrent(packed)
        return torch.cat([state[-2], state[-1]], -1)


def test_the_last_state_of_packed_sequences(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, rows, lengths = Packed().eval(), torch.randn(4, 5, 3), torch.tensor([5, 2, 4, 1])
    published = export(source(model, (rows, lengths)), repository=tmp_path)
    rows, lengths = torch.randn(3, 5, 3), torch.tensor([1, 4, 3])
    engine = Engine.load(published.folder / "model.onnx")
    answers = engine.run({"x": rows.numpy(), "lengths": lengths.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(answers[engine.output_names[0]], model(rows, lengths), 1e-5, 1e-5)
    assert not model.recurrent._forward_hooks  # the author's own is as it was


@pytest.mark.parametrize(
    ("function", "shape", "said"),
    [
        (lambda x: torch.linalg.svdvals(x), SQUARE, r"operator linalg_svd has no ONNX form \(test_routes.py:\d+\)"),
        (lambda x: torch.linalg.inv(x), (4, 20, 20), r"inv of matrices with 20 rows has no ONNX form \(test_routes.py"),
    ],
    ids=["no form", "too large"],
)
def test_an_operator_without_a_form_is_named_with_the_way_out(
    function: Callable[[Any], Any], shape: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    with pytest.raises(BadModel, match=said) as error:
        export(source(Calls(function), torch.randn(*shape)), repository=tmp_path)
    assert "compute it when the model is made" in (error.value.hint or "")
