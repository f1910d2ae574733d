"""Checkpoints as training loops write them are read without running code, and their weights found in them."""

from __future__ import annotations

import argparse
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxpress.core.errors import BadModel

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

STATE = {"weight": torch.full((2, 3), 2.0), "bias": torch.tensor([0.5, -0.5])}


def filled(folder: Path, held: Any, key: str | None = None) -> list[float]:
    from onnxpress.export.networks.pytorch.weights import load_weights

    path, module = folder / "checkpoint.pt", torch.nn.Linear(3, 2)
    torch.save(held, path)
    load_weights(module, path, key)
    answer: list[float] = module(torch.ones(1, 3))[0].tolist()
    return answer


@pytest.mark.parametrize(
    ("held", "key"),
    [
        ({"model_state_dict": STATE, "threshold": np.float64(0.03), "epoch": 7}, None),
        ({"model_state_dict": STATE, "threshold": np.float32(0.03), "n": np.int64(4), "ok": np.bool_(True)}, None),
        ({"network": STATE, "scaler": {"mean": np.array([1.0, 2.0]), "names": ["a", "b"]}}, None),
        ({"net": STATE, "classes": np.array(["a", "bc"]), "names": np.array(["a", 1], object)}, None),
        ({"net": STATE, "args": argparse.Namespace(lr=0.1, out=Path("runs")), "at": datetime(2026, 1, 2)}, None),
        ({"optimizer": {"state": {}}, "model": STATE}, "model"),
        ({"trained": {"encoder": STATE}}, "trained.encoder"),
        ({"a.b": STATE}, "a.b"),
        ({"state_dict": {f"model.{name}": value for name, value in STATE.items()}}, None),
        ({f"module._orig_mod.{name}": value for name, value in STATE.items()}, None),
    ],
)
def test_the_state_dict_is_found(held: Any, key: str | None, tmp_path: Path) -> None:
    assert filled(tmp_path, held, key) == [6.5, 5.5]


@pytest.mark.parametrize(
    ("held", "key", "message"),
    [
        ({"nets": {"a": STATE}}, None, "no state dict where they usually are.*--weights-key nets.a; it holds nets"),
        ({"model": STATE}, "mdoel", "there is no 'mdoel' in it.*it holds model"),
        ({"model": STATE, "epoch": 3}, "epoch", "'epoch' is int, no state dict"),
        ([1, 2], None, "the file holds list"),
        ({"model": {"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}}, None, "do not fit the model"),
    ],
)
def test_what_is_not_there_is_named(held: Any, key: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadModel) as caught:
        filled(tmp_path, held, key)
    import re

    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("hidden", [False, True])
def test_code_in_a_checkpoint_does_not_run(hidden: bool, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    payload = np.array([Payload(marker)], object) if hidden else Payload(marker)
    with pytest.raises(BadModel, match=r"more than tensors and plain values \(\w+\.system\)") as refused:
        filled(tmp_path, {"model_state_dict": STATE, "threshold": payload})
    assert "weights_only" not in str(refused.value), "torch's advice to switch the check off"
    assert not marker.exists()
