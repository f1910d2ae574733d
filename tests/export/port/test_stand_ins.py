"""Arrays that a Keras layer's call makes as long as a size that varies, in torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from tests.export.port.formatting import assert_formatted

from onnxpress.export.port.from_keras.stand_ins import PRIMES, is_stand_in
from onnxpress.export.port.keras_draft import KerasDraft
from onnxpress.export.port.refusal import NoCorrespondence
from onnxpress.export.source import SourceRef
from onnxpress.export.sources.resolve import from_object

pytestmark = [pytest.mark.torch, pytest.mark.tensorflow]


class Places(layers.Layer):
    """A causal mask, places, and arrays of ones, zeros and a number, all of the length that the rows have."""

    def call(self, x: Any) -> Any:
        rows, length = ops.shape(x)[0], ops.shape(x)[1]
        place = ops.arange(length)
        seen = ops.cast(place[:, None] >= place, "float32") / (1 + ops.cast(ops.arange(0, length), "float32"))
        moved = ops.matmul(seen * ops.ones((length, length)), x)
        rates = ops.arange(length, dtype="float32") * ops.full((length,), 0.25) + ops.zeros(length)
        return ops.concatenate([moved + rates[None, :, None], ops.zeros((rows, length, 2))], axis=-1)


class Within(layers.Layer):
    """What Keras makes only of numbers: its call is traced with numbers that stand for sizes."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def compute_output_shape(self, shape: Any) -> Any:
        return shape

    def call(self, x: Any) -> Any:
        return ops.matmul(self.make(ops.shape(x)[1]), x)


def draft_of(layer: Any) -> KerasDraft:
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, layers.Dense(2, name="head")(layer(x)))
    return KerasDraft(from_object(model, "net", SourceRef(reference="nets:build"), {}), "nets.safetensors")


def test_they_follow_the_rows_length(tmp_path: Path) -> None:
    draft = draft_of(Places())
    path = tmp_path / "nets.py"
    path.write_text(draft.code.text)
    rungs = list(draft.rungs(draft.target(path)))
    assert [rung.name for rung in rungs if not rung.holds] == []
    assert_formatted(path)
    assert draft.code.text.count("torch.arange(x.shape[1], device=x.device)") <= 1  # of two that are alike one
    target = draft.target(path)
    for length in (1, 4, 9):  # and of lengths that nobody asked
        x = np.random.default_rng(length).standard_normal((2, length, 3)).astype(np.float32)
        wanted = np.asarray(draft.model(x))
        assert np.allclose(next(iter(target.answer({"x": x}).values())), wanted, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: ops.eye(n),
        lambda n: ops.tri(n),
        lambda n: ops.tri(n, k=1),
        lambda n: ops.linspace(0.0, 1.0, n)[:, None] * ops.ones((1, n)),
        lambda n: ops.cast(ops.arange(1, n + n, 2), "float32")[:, None] * ops.ones((1, n)),
    ],
)
def test_each_is_what_keras_makes(make: Any, tmp_path: Path) -> None:
    draft = draft_of(Within(make))
    (tmp_path / "nets.py").write_text(draft.code.text)
    found = draft.answers(draft.target(tmp_path / "nets.py"))
    assert found.holds, found


def test_an_array_stands_before_what_it_is_compared_with(tmp_path: Path) -> None:
    class Seen(layers.Layer):
        def call(self, x: Any, lengths: Any) -> Any:
            seen = ops.arange(6) < lengths[:, None]
            return ops.where(seen, x, ops.ones(6) - x)

    x, lengths = keras.Input((6,), name="x"), keras.Input((), dtype="int32", name="lengths")
    model = keras.Model([x, lengths], layers.Dense(2)(Seen()(x, lengths)))
    draft = KerasDraft(from_object(model, "net", SourceRef(reference="nets:build"), {}), "nets.safetensors")
    (tmp_path / "nets.py").write_text(draft.code.text)
    assert draft.answers(draft.target(tmp_path / "nets.py")).holds


@pytest.mark.parametrize("number", [*PRIMES, 3 * PRIMES[2]])
def test_a_number_that_stands_for_a_size_is_known(number: int) -> None:
    assert is_stand_in(number)
    assert not is_stand_in(number + 1)
    assert not is_stand_in(float(number))
    assert not is_stand_in(-number)
    assert not is_stand_in(0)


def test_what_torch_has_not_is_refused() -> None:
    class Filled(layers.Layer):
        def call(self, x: Any) -> Any:
            return x + ops.full((ops.shape(x)[1], 3), ops.mean(x))

    with pytest.raises(NoCorrespondence, match="filled with a tensor"):
        draft_of(Filled())


class Compared(layers.Layer):
    """`==` and `!=` of the author's code, a number before a product, and truth values beside a number."""

    def __init__(self) -> None:
        super().__init__()
        self.table = layers.Embedding(9, 4)

    def call(self, x: Any) -> Any:
        rows = self.table(x) * 4.0
        seen = ops.logical_and(x != 0, ops.ones((), dtype="bool"))
        seen = ops.logical_or(seen, ops.zeros((), dtype="bool"))
        is_first = ops.cast(ops.expand_dims(x == 3, -1), "float32")
        return rows * ops.cast(ops.expand_dims(seen, -1), "float32") + ops.tile(is_first, (1, 1, 4))


def test_what_is_equal_and_what_is_not_stands_in_the_graph(tmp_path: Path) -> None:
    x = keras.Input((5,), dtype="int32", name="x")
    inner = keras.Model(x, Compared()(x))
    model = keras.Model(x, layers.GlobalAveragePooling1D()(inner(x)))
    draft = KerasDraft(from_object(model, "net", SourceRef(reference="nets:build"), {}), "nets.safetensors")
    (tmp_path / "nets.py").write_text(draft.code.text)
    assert "!= 0" in draft.code.text
    assert "== 3" in draft.code.text
    assert draft.answers(draft.target(tmp_path / "nets.py")).holds


class Pools(layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.query = self.add_weight(shape=(1, 1, 4), initializer="ones", name="query")

    def call(self, x: Any) -> Any:
        query = ops.tile(self.query, (ops.shape(x)[0], 1, 1))
        largest = ops.reshape(ops.max_pool(x, 2), (-1, 16))
        mean = ops.reshape(ops.average_pool(x, 3, strides=2, padding="same"), (-1, 16))
        return ops.concatenate([largest, mean, ops.squeeze(query, 1)], axis=-1)


def test_pools_as_functions_and_copies_for_each_row(tmp_path: Path) -> None:
    x = keras.Input((8, 4), name="x")
    model = keras.Model(x, layers.Dense(2)(Pools()(x)))
    draft = KerasDraft(from_object(model, "net", SourceRef(reference="nets:build"), {}), "nets.safetensors")
    (tmp_path / "nets.py").write_text(draft.code.text)
    assert draft.answers(draft.target(tmp_path / "nets.py")).holds


class Table(layers.Layer):
    """Places of a table that is shorter than any number that stands for a size, and twice as many rows."""

    def __init__(self) -> None:
        super().__init__()
        self.places = self.add_weight(shape=(64, 4), name="places")

    def call(self, x: Any) -> Any:
        length = ops.shape(x)[1]
        moved = x + self.places[None, :length]
        return ops.concatenate([moved, x], axis=1), ops.broadcast_to(self.places[:length], ops.shape(x))


class Model(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = Table(), layers.Dense(2)

    def call(self, x: Any) -> Any:
        both, places = self.table(x)
        return self.head(ops.mean(both, axis=1) + ops.sum(places, axis=1))


def test_a_layer_within_cuts_a_table_that_is_short(tmp_path: Path) -> None:
    ref = SourceRef(reference="nets:build", inputs=["x:float32[batch,steps,4]"])
    draft = KerasDraft(from_object(Model(), "net", ref, {}), "nets.safetensors")
    (tmp_path / "nets.py").write_text(draft.code.text)
    found = draft.answers(draft.target(tmp_path / "nets.py"))
    assert found.holds, found


class Choosy(Table):
    def call(self, x: Any) -> Any:
        if x.shape[-1] == 4:
            raise ValueError("no such width")
        return super().call(x)


def test_a_layer_within_that_raises_is_told_with_its_reason() -> None:
    model = Model()
    model.table = Choosy()
    ref = SourceRef(reference="nets:build", inputs=["x:float32[batch,steps,4]"])
    with pytest.raises(Exception, match="no such width"):
        KerasDraft(from_object(model, "net", ref, {}), "nets.safetensors")
