"""What answers to usual rows do not show: hooks, states, draws in inference, ways of training alone, rows of zeros."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from onnxpress.export.port.draft import Draft, one_batch
from onnxpress.export.port.proof.rung import Rung
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


class Plain(nn.Module):
    """Its forward is given; most of these differ in it alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.calls = 0
        self.register_buffer("seen", torch.ones(()))


def draft_of(module: nn.Module, *shape: int) -> Draft:
    torch.manual_seed(0)
    source = from_object(
        module.eval(), "net", SourceRef(reference="nets:build"), {}, (torch.randn(4, *(shape or (4,))),)
    )
    return Draft(source, "net.weights.h5")


def rungs_of(draft: Draft, path: Path, code: Any = None) -> dict[str, Rung]:
    path.write_text(draft.code.text if code is None else code)
    return {rung.name: rung for rung in draft.rungs(draft.target(path))}


class Clipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 1.0

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad.clamp(-1e4, 1e4)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2.0

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad * 2.0


class OwnBackward(Plain):
    kind: Any = Clipped

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.kind.apply(self.layer(x))


class Counting(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.calls += 1
        return self.layer(x) * (0.5 if self.calls > 1000 else 1.0)


class Moving(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen += 1
            return self.layer(x)
        return self.layer(x) * (self.seen > 0)


class ClampsInTraining(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(x)
        return x.clamp(-1e6, 1e6) if self.training else x


class AlwaysDrops(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(self.layer(x), 0.5)


class NeverDrops(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.dropout(self.layer(x), 0.5, training=False)


class Draws(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * (1 + float(np.random.default_rng().random()))


class Builds(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.head = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.head is None:
            self.head = nn.Linear(4, 2)
        return self.head(self.layer(x))


class Lengths(Plain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + x.norm(dim=1, keepdim=True)


@pytest.mark.parametrize(
    ("kind", "rung", "said"),
    [
        (OwnBackward, "gradients", "does not grow as the answers do"),
        (Counting, "training", "calls changes from call to call"),
        (Moving, "training", "seen changes from call to call"),
    ],
)
def test_what_few_rows_do_not_show_fails(kind: type[nn.Module], rung: str, said: str, tmp_path: Path) -> None:
    """A gradient that is clipped where it is large alone, and states that matter after a thousand calls."""
    found = rungs_of(draft_of(kind()), tmp_path / "net.py")[rung]

    assert found.holds is False
    assert said in found.detail


def test_a_source_that_draws_in_inference_is_not_proven(tmp_path: Path) -> None:
    """Its float32 and float64 part as far as two draws do, so that no difference is larger than its noise."""
    found = rungs_of(draft_of(Draws()), tmp_path / "net.py")["answers"]

    assert found.holds is False
    assert "otherwise the second time" in found.detail


@pytest.mark.parametrize(
    ("kind", "said"),
    [(AlwaysDrops, "dropout that is on in inference mode too"), (Builds, "forward makes head.bias when it is called")],
)
def test_what_the_source_does_not_hold_is_refused(kind: type[nn.Module], said: str) -> None:
    with pytest.raises(NoCorrespondence, match=said):
        draft_of(kind())


def test_a_hook_of_a_parameter_is_refused_and_others_are_named(tmp_path: Path) -> None:
    """A copy of a module has no hooks of parameters, so that no rung would see them."""
    module = NeverDrops()
    module.layer.register_forward_hook(lambda *_: None)
    module.layer.register_full_backward_hook(lambda *_: None)
    found = rungs_of(draft_of(module), tmp_path / "net.py")

    assert [rung for rung in found.values() if not rung.holds] == []
    assert found["gradients"].differences == [
        "a forward hook of layer is not carried",
        "a backward hook of layer is not carried",
    ]
    module.layer.weight.register_hook(lambda grad: grad * 0.1)
    with pytest.raises(NoCorrespondence, match=r"a hook sees the gradient of layer\.weight"):
        draft_of(module)


def test_what_is_left_out_is_said_and_dropout_that_is_off_is_not_written(tmp_path: Path) -> None:
    """A backward of its own that is the forward's, and a line that training mode alone takes."""
    module = OwnBackward()
    module.kind = Doubled
    doubled = rungs_of(draft_of(module), tmp_path / "doubled.py")
    clamps = rungs_of(draft_of(ClampsInTraining()), tmp_path / "clamps.py")
    never = draft_of(NeverDrops())

    assert "the backward of Doubled at test_unseen.py:" in doubled["gradients"].differences[0]
    assert clamps["training"].holds
    assert "only in training mode the source goes by test_unseen.py:" in clamps["training"].differences[0]
    assert "Dropout" not in never.code.text


def test_a_row_of_zeros_has_the_source_s_gradient(tmp_path: Path) -> None:
    """torch's norm has none at zero; a plain square root has an infinite one."""
    draft = draft_of(Lengths())
    assert all(rung.holds for rung in rungs_of(draft, tmp_path / "net.py").values())

    faulty = draft.code.text.replace("ops.where(x > 0, ops.sqrt(ops.where(x > 0, x, 1.0)), 0.0)", "ops.sqrt(x)")
    found = rungs_of(draft, tmp_path / "faulty.py", faulty)["gradients"]
    assert found.holds is False
    assert "of a row of zeros" in found.detail


class Normed(nn.Module):
    """As most tables' networks begin: over equal rows its batch norm answers nothing but its bias."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.drop = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3)
        self.head = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(torch.relu(self.norm(self.layer(x)))))


@pytest.mark.parametrize("example", [torch.randn(1, 4), torch.zeros(1, 4), torch.ones(3, 4), torch.zeros(32, 4)])
def test_an_example_of_one_row_or_of_one_number_tells_of_training_all_the_same(
    example: torch.Tensor, tmp_path: Path
) -> None:
    source = from_object(Normed().eval(), "net", SourceRef(reference="nets:build"), {}, (example,))
    draft = Draft(source, "net.weights.h5")
    rows = one_batch(draft.asked)["x"]
    assert len(np.unique(rows, axis=0)) == len(rows) == 7
    assert (np.ptp(rows, axis=1) > 0).all()
    assert all(rung.holds for rung in rungs_of(draft, tmp_path / "net.py").values())

    faulty = draft.code.text.replace("momentum=0.9", "momentum=0.99")
    assert faulty != draft.code.text
    assert rungs_of(draft, tmp_path / "faulty.py", faulty)["training"].holds is False


class Losing(Plain):
    """Its answer and a loss beside it, as quantised codes have: one number for all rows."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        answer = self.layer(x)
        return functional.mse_loss(answer, x.detach()), answer


def test_an_answer_of_one_number_is_asked_for_its_gradient_too(tmp_path: Path) -> None:
    draft = draft_of(Losing())
    assert all(rung.holds for rung in rungs_of(draft, tmp_path / "net.py").values())
    sound = draft.code.text
    assert "ops.mean(ops.square(answer - ops.stop_gradient(x)))" in sound
    faulty = sound.replace("ops.square(answer -", "ops.square(ops.stop_gradient(answer) -")
    assert rungs_of(draft, tmp_path / "faulty.py", faulty)["gradients"].holds is False


class Dropping(nn.Module):
    """Two dropouts of elements and one of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Dropout(0.1), nn.Dropout(0.4)
        self.conv, self.channels, self.fc = nn.Conv1d(3, 4, 3), nn.Dropout1d(0.2), nn.Linear(24, 2)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.second(torch.flatten(self.norm(self.channels(self.conv(self.first(x)))), 1)))


@pytest.mark.parametrize(
    ("sound", "faulty", "said"),
    [
        ("SpatialDropout1D(0.2", "Dropout(0.2", "draws otherwise: 0.2 of"),
        ("Dropout(0.4", "AlphaDropout(0.4", "(alpha) here"),
        ("self.conv(self.first(x))", "self.first(self.conv(x))", "at another place"),
        ("self.norm(self.channels(", "self.channels(self.norm(", "at another place"),
    ],
)
def test_a_dropout_of_the_right_rate_at_the_wrong_place_or_of_the_wrong_kind_is_caught(
    sound: str, faulty: str, said: str, tmp_path: Path
) -> None:
    draft = draft_of(Dropping(), 3, 8)
    assert sound in draft.code.text
    found = rungs_of(draft, tmp_path / "net.py", draft.code.text.replace(sound, faulty))["training"]

    assert rungs_of(draft, tmp_path / "sound.py")["training"].holds
    assert found.holds is False
    assert said in found.detail


class Pooling(nn.Module):
    """Attention that returns its weights too."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.2, batch_first=True)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.attention(x, x, x)


def test_weights_that_torch_returns_after_dropout_are_named(tmp_path: Path) -> None:
    """Keras returns them before; what they are multiplied by is dropped in both."""
    draft = draft_of(Pooling(), 5, 4)
    found = rungs_of(draft, tmp_path / "net.py")["training"]
    assert found.holds
    assert "in training torch's attention returns its weights after dropout, Keras's before" in found.differences

    call = "self.attention(x, x, return_attention_scores=True)"
    assert call in draft.code.text
    again = draft.code.text.replace(call, f"{call[:-1]}, training=False)")
    assert rungs_of(draft, tmp_path / "never.py", again)["training"].holds is False


def keras_draft(*layers: Any, shape: tuple[int, ...] = (4,)) -> Any:
    import keras

    from onnxpress.export.port.keras_draft import KerasDraft

    x = keras.Input(shape, name="x")
    answer = x
    for layer in layers:
        answer = layer(answer)
    source = from_object(keras.Model(x, answer), "net", SourceRef(reference="nets:build"), {}, None)
    return KerasDraft(source, "net.safetensors")


def test_a_keras_layer_that_does_something_else_in_training_is_named_or_fails(tmp_path: Path) -> None:
    """One that clips what is large alone, and one whose weight moves in training and is read in inference."""
    import keras
    from keras import layers, ops

    class Clips(layers.Layer):
        def call(self, x: Any, training: bool = False) -> Any:
            return ops.clip(x, -1e6, 1e6) if training else x

    class Moves(layers.Layer):
        def build(self, shape: Any) -> None:
            self.seen = self.add_weight(shape=(1,), initializer="ones", trainable=False, name="seen")

        def call(self, x: Any, training: bool = False) -> Any:
            if training:
                self.seen.assign_add(ops.ones((1,)))
                return x
            return x * ops.sign(self.seen)

    clips = rungs_of(keras_draft(layers.Dense(3), Clips(name="clips")), tmp_path / "clips.py")
    moves = rungs_of(keras_draft(layers.Dense(3), Moves(name="moves")), tmp_path / "moves.py")

    said = "clips: its call does something else in training, which is left out"
    assert said in clips["parameters"].differences
    assert clips["training"].holds
    assert moves["training"].holds is False
    assert "seen changes in training in the source" in moves["training"].detail
    with pytest.raises(NoCorrespondence, match="an alpha dropout with a noise_shape"):
        keras_draft(layers.AlphaDropout(0.2, noise_shape=(None, 1)))
    plain = keras_draft(layers.Dense(3, kernel_initializer=keras.initializers.Ones()))
    assert not any("something else in training" in one for one in plain.translated.differences)


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"nn.Dropout1d(0.2": "nn.Dropout(0.2"}, "draws otherwise"),
        ({"nn.Dropout(0.1": "nn.AlphaDropout(0.1"}, "(alpha) here"),
        ({"nn.Dropout(0.1": "nn.Dropout(0.3", "nn.Dropout(0.4": "nn.Dropout(0.1", "nn.Dropout(0.3": "nn.Dropout(0.4"},
         "at another place"),
    ],
)  # fmt: skip
def test_a_dropout_of_another_kind_or_at_another_place_is_caught_in_torch(
    edits: dict[str, str], said: str, tmp_path: Path
) -> None:
    from keras import layers

    draft = keras_draft(
        layers.Dropout(0.1),
        layers.Conv1D(3, 3, padding="same", activation="tanh"),
        layers.Dropout(0.4),
        layers.SpatialDropout1D(0.2),
        layers.Flatten(),
        layers.Dense(2),
        shape=(8, 3),
    )
    text = draft.code.text
    for sound, faulty in edits.items():
        assert sound in text
        text = text.replace(sound, faulty)
    assert rungs_of(draft, tmp_path / "sound.py")["training"].holds
    found = rungs_of(draft, tmp_path / "net.py", text)["training"]

    assert found.holds is False
    assert said in found.detail


@pytest.mark.parametrize("causal", [False, True])
def test_attention_over_nothing_answers_as_keras_does(causal: bool, tmp_path: Path) -> None:
    """With dropout Keras fills the weights of what is hidden with zeros again; of a row that sees nothing all are."""
    import keras

    from onnxpress.export.port.keras_draft import KerasDraft

    x, mask = keras.Input((5, 6), name="x"), keras.Input((5, 5), dtype="bool", name="mask")
    attention = keras.layers.MultiHeadAttention(2, 3, dropout=0.1)
    answer = attention(x, x, attention_mask=mask, use_causal_mask=causal)
    source = from_object(keras.Model([x, mask], answer), "net", SourceRef(reference="nets:build"), {}, None)
    draft = KerasDraft(source, "net.safetensors")
    assert any(case.about == "a row that is hidden" for case in draft.asked)
    assert all(rung.holds is not False for rung in rungs_of(draft, tmp_path / "net.py").values())  # type: ignore[arg-type]

    zeros = [line for line in draft.code.text.splitlines() if ", 0.0)" in line]
    assert len(zeros) == 1
    faulty = draft.code.text.replace(zeros[0] + "\n", "")
    assert rungs_of(draft, tmp_path / "faulty.py", faulty)["answers"].holds is False  # type: ignore[arg-type]
