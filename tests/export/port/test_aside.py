"""Of a large model the proof holds one side at a time, and finds the same as with both."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import nn

from onnxpress.export.networks.pytorch import module as networks
from onnxpress.export.port import draft as drafts
from onnxpress.export.port.draft import Draft
from onnxpress.export.port.keras_draft import KerasDraft
from onnxpress.export.port.proof import keras_training
from onnxpress.export.port.proof.aside import aside, filed
from onnxpress.export.port.proof.gradients import Sides
from onnxpress.export.port.proof.keras_source import KerasSides
from onnxpress.export.port.proof.rung import Rung
from onnxpress.export.port.proof.streamed import gradients_of
from onnxpress.export.source import Source, SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


def torch_draft() -> Draft:
    torch.manual_seed(0)
    layers = [nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.GELU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(24, 2)]
    return Draft(source_of(nn.Sequential(*layers).eval(), torch.randn(4, 3, 8)), "nets.weights.h5")


def keras_draft() -> KerasDraft:
    keras.utils.set_random_seed(0)
    kinds = keras.layers
    layers = [kinds.Conv1D(4, 3), kinds.BatchNormalization(), kinds.Dropout(0.2), kinds.Flatten(), kinds.Dense(2)]
    return KerasDraft(source_of(keras.Sequential([keras.Input((8, 3)), *layers])), "nets.safetensors")


def large_keras_draft(folder: Path) -> tuple[KerasDraft, Path]:
    """One that is taken for large, and where its code is."""
    draft = keras_draft()
    draft.large = True
    written = folder / "nets.py"
    written.write_text(draft.code.text)
    return draft, written


def source_of(model: Any, example: Any = None) -> Source:
    return from_object(model, "net", SourceRef(reference="nets:build"), {}, *([] if example is None else [example]))


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[str]]:
    """The sides that are still there, asked at the other one's every call; of neither are gradients there together."""
    held: dict[str, list[weakref.ref[Any]]] = {"torch": [], "keras": []}

    def sides() -> set[str]:
        return {side for side, refs in held.items() if any(ref() is not None for ref in refs)}

    def watch(owner: Any, side: str, weight: Callable[[Any], Any]) -> None:
        ask = getattr(owner, f"of_{side}")

        def of_side(self: Any, *, training: bool, **more: Any) -> Any:
            assert sides() <= {side}
            found = ask(self, training=training, **more)
            held[side].append(weakref.ref(weight(self)))
            assert self._module is None or all(one.grad is None for one in self._module.parameters())
            return found

        monkeypatch.setattr(owner, f"of_{side}", of_side)

    def none_is_answered(owner: Any) -> None:
        differentiated = owner._differentiated

        def without_gradients(self: Any, inputs: Any, training: bool) -> Any:
            total, by, by_input = differentiated(self, inputs, training)
            assert not by, "TensorFlow keeps what a function answers until the last of it is there"
            return total, by, by_input

        monkeypatch.setattr(owner, "_differentiated", without_gradients)

    none_is_answered(Sides)
    none_is_answered(KerasSides)

    watch(Sides, "torch", lambda self: next(self.module.parameters()))
    watch(Sides, "keras", lambda self: self.target.variable(self.learning()[0], "float64"))
    watch(KerasSides, "torch", lambda self: next(self.module.parameters()))
    watch(KerasSides, "keras", lambda self: self.twin.weights[0])
    return sides


@pytest.mark.parametrize("drawn", [torch_draft, keras_draft])
def test_a_large_model_s_sides_are_there_one_at_a_time(
    drawn: Callable[[], Draft | KerasDraft],
    alive: Callable[[], set[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draft = drawn()
    draft.large = True
    monkeypatch.setattr(drafts, "_ROWS_OF_LARGE", 7)
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    target = draft.target(written)
    in_float32 = weakref.ref(target.model())
    found: list[Rung] = []
    for rung in draft.rungs(target):
        found.append(rung)
        assert rung.holds, rung
        assert not alive()
        assert (in_float32() is None) == (rung.name in ("gradients", "training"))
    monkeypatch.undo()
    draft.large = False
    for one, other in zip(found, draft.rungs(draft.target(written)), strict=True):
        assert (one.name, one.detail, one.differences) == (other.name, other.detail, other.differences)
        assert (one.worst or 0.0) == pytest.approx(other.worst or 0.0, abs=1e-12)


def test_steps_that_part_are_compared_by_sides_that_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """See `parting`; here the bound is one that any rounding passes."""
    draft = keras_draft()
    draft.large = True
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    monkeypatch.setattr(keras_training, "_limit", lambda _: 1e-300)
    monkeypatch.setattr(keras_training, "_other_statistics", lambda *_: "")
    before = draft.model.get_weights()
    with draft.sides(draft.target(written)) as sides:
        rung = keras_training.training(sides)
    assert "each is begun from its weights" in rung.detail
    assert all(np.array_equal(a, b) for a, b in zip(before, draft.model.get_weights(), strict=True))


def test_a_large_module_that_was_built_from_its_name_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    source = replace(
        source_of(nn.Sequential(nn.Linear(3, 2)), torch.randn(4, 3)), ref=SourceRef(reference="nets:build")
    )
    assert Draft(source, "nets.weights.h5").network.module is not source.network
    monkeypatch.setattr(networks, "_ONE_COPY_TO_ASK", 0)
    assert Draft(source, "nets.weights.h5").network.module is source.network


@pytest.mark.parametrize("large", [True, False])
def test_arrays_aside_are_those_that_were_put_there(large: bool) -> None:
    put = {"a": np.arange(6.0).reshape(2, 3).T, 1: np.array(2.5, np.float32), "none": np.zeros((0, 3))}
    held = aside(large=large)
    held.update(put)
    held["a"] = put["a"] + 1
    assert list(held) == ["a", 1, "none"]
    for name, array in {**put, "a": put["a"] + 1}.items():
        assert held[name].dtype == array.dtype
        assert np.array_equal(held[name], array)
    del held["a"]
    assert len(held) == 2
    with pytest.raises(KeyError):
        held["a"]


def test_gradients_that_torch_computes_in_parts_are_added() -> None:
    """A block that computes itself anew in backward, called twice, leaves its weights' gradients in two parts."""
    from torch.utils.checkpoint import checkpoint

    torch.manual_seed(0)
    block = nn.Linear(3, 3)
    frozen = nn.Parameter(torch.ones(2))
    found: dict[bool, dict[str, Any]] = {False: {}, True: {}}
    parameters = {**dict(block.named_parameters()), "frozen": frozen.requires_grad_(False)}
    for large, by in found.items():
        block.zero_grad()
        with gradients_of(parameters, by, large=large) as reached:
            x = torch.ones(2, 3, requires_grad=True)
            for _ in range(2):
                x = checkpoint(block, x, use_reentrant=True)
            x.square().sum().backward()
        assert reached == {"weight", "bias"}
        assert all((parameter.grad is None) == large for parameter in block.parameters())
    assert found[True].keys() == found[False].keys() == parameters.keys()
    for name, gradient in found[False].items():
        assert np.allclose(gradient, found[True][name])


def test_the_weights_of_a_large_source_are_not_in_memory_while_others_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = torch_draft()
    draft.large = True
    before = {name: value.copy() for name, value in draft.state.items()}
    draft.state = filed(draft.state)
    written = tmp_path / "nets.py"
    written.write_text(draft.code.text)
    sizes: list[int] = []
    for name in ("of_torch", "of_keras"):
        ask = getattr(Sides, name)

        def of_side(self: Any, *, ask: Any = ask, **more: Any) -> Any:
            sizes.append(sum(value.numel() for value in draft.module.state_dict().values()))
            return ask(self, **more)

        monkeypatch.setattr(Sides, name, of_side)
    rungs = list(draft.rungs(draft.target(written)))
    assert all(rung.holds for rung in rungs)
    assert len(sizes) > 40
    assert max(sizes) == 0
    after = draft.module.state_dict()
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[name].numpy(), value) for name, value in before.items())


def test_the_weights_of_a_large_keras_source_are_not_in_memory_while_others_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, written = large_keras_draft(tmp_path)
    before = draft.model.get_weights()
    sizes: list[int] = []
    for name in ("of_torch", "of_keras"):
        ask = getattr(KerasSides, name)

        def of_side(self: Any, *, ask: Any = ask, **more: Any) -> Any:
            found = ask(self, **more)  # which makes the twin of them, the first time
            sizes.append(sum(np.asarray(weight).size for weight in draft.model.weights))
            return found

        monkeypatch.setattr(KerasSides, name, of_side)
    assert all(rung.holds for rung in draft.rungs(draft.target(written)))
    assert len(sizes) > 40
    assert max(sizes) == 0
    assert all(np.array_equal(a, b) for a, b in zip(before, draft.model.get_weights(), strict=True))


def test_a_large_keras_source_that_cannot_be_built_again_has_its_weights_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way by its config fails when the twin is asked: its weights are in a file by then."""
    draft, written = large_keras_draft(tmp_path)
    before = draft.model.get_weights()
    ask, twins = draft.ask, []

    def refused(model: Any, tensors: list[Any], training: bool) -> Any:
        twins.append(model)
        if model is not draft.model:
            raise ValueError("no kernel")
        return ask(model, tensors, training)

    monkeypatch.setattr(draft, "ask", refused)
    with draft.sides(draft.target(written)) as sides:
        assert sides.twin is draft.model
        assert twins[0] is not draft.model
    assert all(np.array_equal(a, b) for a, b in zip(before, draft.model.get_weights(), strict=True))
