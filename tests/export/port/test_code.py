"""Written lines are broken as ruff breaks them, and literals can be read back."""

from __future__ import annotations

import pytest

from onnxpress.export.port.code import WIDTH, identifier, literal, without_unused, wrapped


def test_a_short_line_stays_as_it_is() -> None:
    assert wrapped("x = self.conv(x)", 8) == ["        x = self.conv(x)"]


def test_a_long_call_gets_its_arguments_on_a_line_of_their_own() -> None:
    call = 'self.convolution = layers.Conv2D(64, 3, strides=2, padding="same", use_bias=False, name="c")'
    lines = wrapped(call, 8)
    assert lines[0] == "        self.convolution = layers.Conv2D("
    assert all(len(line) <= WIDTH for line in lines)
    assert lines[-1] == "        )"


def test_brackets_within_texts_do_not_count() -> None:
    line = 'x = keras.Input((None, None, 3), dtype="float32", name="an input (of pixels, in order) for the model")'
    assert (
        "".join(part.strip() for part in wrapped(line, 4)).replace(",)", ")").replace(",", ", ").replace(",  ", ", ")
        == line
    )


@pytest.mark.parametrize("value", [0.1, 1e-05, 0.30000001192092896, (1,), (2, (3, 4)), 'a "b"', None, True])
def test_a_literal_reads_back_as_itself(value: object) -> None:
    assert eval(literal(value)) == value  # what was written here


def test_a_path_becomes_a_name() -> None:
    assert [identifier(text) for text in ("0", "encoder.layers.0", "conv-1")] == [
        "layer_0",
        "encoder_layers_0",
        "conv_1",
    ]


def test_what_nothing_reads_is_left_out_with_its_comment() -> None:
    lines = ["x, state, cell = self.lstm(x)", "# stacked", "h = ops.stack([state, cell])", "y = ops.relu(state)"]
    assert without_unused(lines, "y") == ["_, state, _ = self.lstm(x)", "y = ops.relu(state)"]
