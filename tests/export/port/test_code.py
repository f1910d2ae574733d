"""Written modules are formed by ruff, and literals can be read back."""

from __future__ import annotations

import pytest

from onnxpress.core.errors import MissingExtra
from onnxpress.export.port.classes import merged
from onnxpress.export.port.code import factor, formatted, identifier, literal, without_unread, without_unused
from onnxpress.export.port.loops import folded, listed, said_once, without_aliases


def test_a_module_is_formed_as_ruff_leaves_it() -> None:
    call = "x = layers.Conv2D(64, 3, strides=2, padding='same', use_bias=False, name='a (long, name)')(inputs)"
    assert formatted(f"{call}\ny=1e+38").splitlines() == [
        "x = layers.Conv2D(",
        '    64, 3, strides=2, padding="same", use_bias=False, name="a (long, name)"',
        ")(inputs)",
        "y = 1e38",
    ]


def test_without_ruff_the_hint_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxpress.core.optional.is_installed", lambda name: name != "ruff")
    with pytest.raises(MissingExtra, match="port needs the package ruff"):
        formatted("x = 1")


@pytest.mark.parametrize("value", [0.1, 1e-05, 0.30000001192092896, (1,), (2, (3, 4)), 'a "b"', None, True])
def test_a_literal_reads_back_as_itself(value: object) -> None:
    assert eval(literal(value)) == value  # what was written here


def test_a_path_becomes_a_name() -> None:
    assert [identifier(text) for text in ("0", "encoder.layers.0", "conv-1")] == [
        "layer_0",
        "encoder_layers_0",
        "conv_1",
    ]


def test_a_number_that_is_added_to_first_stands_before_the_loop() -> None:
    lines = [f"x, y = self.blocks[{n}](x)\ntotal = {'total' if n else '0.0'} + y".splitlines() for n in range(2)]
    told = ["total = 0.0", "for block in self.blocks:", "    x, y = block(x)", "    total = total + y"]
    assert folded([line for pair in lines for line in pair], {"blocks": 2}) == told


@pytest.mark.parametrize("other", ["total = other + y", "total = total - y", "sum = total + y"])
def test_a_sum_of_something_else_is_no_loop(other: str) -> None:
    lines = ["x, y = self.blocks[0](x)", "total = 0.0 + y", "x, y = self.blocks[1](x)", other]
    assert folded(lines, {"blocks": 2}) == lines


def _block(name: str, layer: str, pad: int) -> list[str]:
    return [
        f"class {name}(layers.Layer):",
        "    def __init__(self, **options):",
        "        super().__init__(**options)",
        f"        self.conv = layers.{layer}",
        "",
        "    def call(self, x):",
        f"        return self.conv(ops.pad(x, ((0, 0), ({pad}, 0), (0, 0))))",
    ]


def test_classes_that_differ_in_what_one_leaves_out_and_their_call_reads_become_one() -> None:
    classes = {"A": _block("A", "Conv1D(4, 2)", 1), "A2": _block("A2", "Conv1D(4, 2, dilation_rate=2)", 2)}
    calls = ["self.a = A()", 'self.b = A2(name="b")']
    merged(classes, [calls], {"A": "A", "A2": "A"})
    assert calls == ["self.a = A(1)", 'self.b = A(2, name="b")']
    assert list(classes) == ["A"]
    assert "        self.dilation = dilation" in classes["A"]
    assert "Conv1D(4, 2, dilation_rate=dilation)" in "".join(classes["A"])
    assert "(self.dilation, 0)" in classes["A"][-1]


def test_classes_of_other_names_or_layers_stay_and_lose_gaps_in_their_numbers() -> None:
    classes = {
        "A": _block("A", "Conv1D(4, 2)", 1),
        "A2": _block("A2", "Conv1D(8, 2)", 1),
        "A3": _block("A3", "Dense(4)", 1),
        "B": _block("B", "Conv1D(6, 2)", 1),
    }
    calls = ["keras.Sequential([A(), A2(), A3(), B()])"]
    merged(classes, [calls], {"A": "A", "A2": "A", "A3": "A", "B": "B"})
    assert calls == ["keras.Sequential([A(4), A(8), A2(), B()])"]
    assert [lines[0] for lines in classes.values()] == [f"class {n}(layers.Layer):" for n in ("A", "A2", "B")]
    assert list(classes) == ["A", "A2", "B"]


def _caller(name: str, inner: str, size: str) -> list[str]:
    return [
        f"class {name}(layers.Layer):",
        "    def __init__(self, **options):",
        "        super().__init__(**options)",
        f"        self.inner = {inner}()",
        "",
        "    def call(self, x):",
        f"        return self.inner(x)[:{size}] * 1e-06",
    ]


def test_a_number_in_the_name_of_what_a_class_calls_is_no_size() -> None:
    classes = {
        "A": _block("A", "Conv1D(4, 2)", 1),
        "A2": _block("A2", "Dense(4)", 1),
        "B": _caller("B", "A", "3"),
        "B2": _caller("B2", "A2", "3"),
    }
    calls = ["keras.Sequential([B(), B2()])"]
    merged(classes, [calls], {"A": "A", "A2": "A", "B": "B", "B2": "B"})
    assert list(classes) == ["A", "A2", "B", "B2"]
    assert calls == ["keras.Sequential([B(), B2()])"]


def test_a_small_number_in_a_merged_call_stays_as_it_is() -> None:
    classes = {"B": _caller("B", "A", "3"), "B2": _caller("B2", "A", "4")}
    calls = ["keras.Sequential([B(), B2()])"]
    merged(classes, [calls], {"B": "B", "B2": "B"})
    assert classes["B"][-1] == "        return self.inner(x)[: self.size] * 1e-06"
    assert calls == ["keras.Sequential([B(3), B(4)])"]


def test_classes_that_become_alike_once_what_they_call_does_are_one_without_arguments() -> None:
    classes = {
        "B": _caller("B", "A2", "3"),
        "B2": _caller("B2", "A3", "3"),
        "A": _block("A", "Conv1D(4, 2)", 1),
        "A2": _block("A2", "Dense(5)", 1),
        "A3": _block("A3", "Dense(5)", 1),
    }
    calls = ["keras.Sequential([B(), B2()])"]
    merged(classes, [calls], {"A": "A", "A2": "A", "A3": "A", "B": "B", "B2": "B"})
    assert "self, , " not in "".join(line for lines in classes.values() for line in lines)


def test_a_class_that_differs_in_more_does_not_keep_the_others_apart() -> None:
    far = [
        *_block("A", "Conv1D(7, 3, strides=2)", 1)[:-1],
        "        return self.conv(ops.pad(x, ((9, 9), (7, 8), (0, 5))))",
    ]
    classes = {"A": far, "A2": _block("A2", "Conv1D(4, 2)", 1), "A3": _block("A3", "Conv1D(5, 2)", 1)}
    calls = ["keras.Sequential([A(), A2(), A3()])"]
    merged(classes, [calls], {"A": "A", "A2": "A", "A3": "A"})
    assert calls == ["keras.Sequential([A(), A2(4), A2(5)])"]


def test_what_nothing_reads_is_left_out_with_its_comment() -> None:
    lines = ["x, state, cell = self.lstm(x)", "# stacked", "h = ops.stack([state, cell])", "y = ops.relu(state)"]
    assert without_unused(lines, "y") == ["_, state, _ = self.lstm(x)", "y = ops.relu(state)"]


def test_what_a_loop_leaves_unread_is_named_so() -> None:
    lines = ["for layer in self.layers_:", "    x, scores, state = layer(x)", "    total = total + state"]
    assert without_unread(lines, "x, total")[1] == "    x, _, state = layer(x)"
    assert without_unread(lines, "x, total, scores") == lines


def test_lines_that_count_up_become_a_loop_though_the_last_turn_s_state_is_not_read() -> None:
    lines = [f"h, c = self.cell(x[:, {n}], [h, c])[1]" for n in range(3)]
    lines[-1] = lines[-1].replace("h, c =", "h, _ =")
    assert folded(["c = 0", *lines], {}) == ["c = 0", "for i in range(3):", "    h, c = self.cell(x[:, i], [h, c])[1]"]


@pytest.mark.parametrize(
    "lines",
    [
        ["y = x[:, 0]", "y = x[:, 2]", "y = x[:, 3]"],
        ["y = x[:, 0]", "y = x[:, 1]"],
        ["y = x * 1.0", "y = x * 2.0", "y = x * 3.0"],
        ["y = self.conv_0(y)", "y = self.conv_1(y)", "y = self.conv_2(y)"],
        ["y = x[2 * 1 - y]", "z = x[2 * 2 - z]", "y = x[2 * 3 - y]"],
    ],
)
def test_lines_that_do_not_count_up_stay(lines: list[str]) -> None:
    assert folded(lines, {}) == lines


def test_what_is_called_of_each_item_of_a_list_is_a_comprehension() -> None:
    parts = [f"self.embeds[{n}](x[:, {n}])" for n in range(2)]
    line = f"x = ops.concatenate([{', '.join(parts)}], axis=-1)"
    told = "x = ops.concatenate([embed(x[:, i]) for i, embed in enumerate(self.embeds)], axis=-1)"
    assert listed(line, {"embeds": 2}) == told
    assert listed(line, {"embeds": 3}) == line
    assert listed("y = x[0, 1, 2]", {}) == "y = x[0, 1, 2]"
    assert listed("y = [0, 1, 2]", {}) == "y = [0, 1, 2]"


def test_comments_are_said_once_and_no_value_has_two_names() -> None:
    assert said_once(["# why", "a = 1", "# why", "b = 2"]) == ["# why", "a = 1", "b = 2"]
    assert without_aliases(["x_2, s = f(x)", "y = x_2"], "y + s") == ["y, s = f(x)"]
    assert without_aliases(["x_2, s = f(x)", "y = x_2"], "y + x_2") == ["x_2, s = f(x)", "y = x_2"]


def test_what_scales_a_product_is_said_as_a_root() -> None:
    assert [factor(8**-0.5), factor(0.35355339059327373), factor(0.25), factor(0.3), factor(2)] == [
        "8**-0.5",
        "8**-0.5",
        "0.25",
        "0.3",
        "2",
    ]
