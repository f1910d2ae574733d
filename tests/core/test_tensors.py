"""Tensor specifications: what is written is what is read, and a wrong one is refused by name."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.core.errors import UsageError
from onnxpress.core.tensors import DTYPES, Domain, TensorSpec, bind_dimensions, parse_spec

names = st.text(st.characters(exclude_characters=":[]", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
dimension_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)
dimensions = st.one_of(st.integers(0, 2**40), dimension_names)
specs = st.builds(
    TensorSpec,
    name=names,
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(dimensions, max_size=6).map(tuple),
)


@given(specs)
def test_a_specification_reads_back_from_its_own_text(spec: TensorSpec) -> None:
    assert parse_spec(str(spec)) == spec


@given(specs)
def test_a_specification_survives_json(spec: TensorSpec) -> None:
    assert msgspec.json.decode(msgspec.json.encode(spec), type=TensorSpec) == spec


def test_a_domain_survives_json() -> None:
    spec = TensorSpec(name="x", dtype="string", shape=("batch",), domain=Domain(values=["a", ""]))
    assert msgspec.json.decode(msgspec.json.encode(spec), type=TensorSpec) == spec


def test_blanks_around_the_parts_do_not_matter() -> None:
    assert parse_spec("  x:float32[ batch , 3 ]  ") == parse_spec("x:float32[batch,3]")


def test_a_scalar_has_no_dimensions() -> None:
    assert parse_spec("x:int64[]").shape == ()


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_spec(str(parse_spec(text))) == parse_spec(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("x", "'x'"),
        ("x:float32", "'x:float32'"),
        ("x:float31[2]", "'float31'"),
        ("x:float32[-1]", "'-1'"),
        ("x:float32[a b]", "'a b'"),
        ("x:float32[2,,3]", "''"),
        (":float32[2]", "':float32[2]'"),
        ("x:float32[" + "9" * 5000 + "]", "x:float32"),
    ],
)
def test_a_wrong_specification_is_refused_naming_the_part(text: str, part: str) -> None:
    with pytest.raises(UsageError, match="hint") as refusal:
        parse_spec(text)
    assert part in str(refusal.value)


def test_a_negative_size_is_refused_where_it_is_made() -> None:
    with pytest.raises(ValueError, match="negative"):
        TensorSpec(name="x", dtype="float32", shape=(-1, 3))


def test_named_dimensions_come_in_order() -> None:
    assert parse_spec("x:float32[batch,3,height,width]").named_dimensions == ("batch", "height", "width")


def test_binding_gives_each_name_its_size() -> None:
    pair = [parse_spec("x:float32[batch,length,4]"), parse_spec("mask:bool[batch,length]")]
    assert bind_dimensions(pair, [(2, 7, 4), (2, 7)]) == {"batch": 2, "length": 7}


@given(st.lists(dimension_names, min_size=1, max_size=4, unique=True), st.data())
def test_binding_accepts_every_shape_that_fits(axes: list[str], data: st.DataObject) -> None:
    spec = TensorSpec(name="x", dtype="float32", shape=tuple(axes))
    shape = data.draw(st.tuples(*[st.integers(0, 99) for _ in axes]))
    assert bind_dimensions([spec], [shape]) == dict(zip(axes, shape, strict=True))


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ([(2, 7), (2, 7)], "'x' .* wants 3 dimensions"),
        ([(2, 7, 5), (2, 7)], "'x' .* axis 2 is 5"),
        ([(2, 7, 4), (2, 8)], "'mask' .* axis 1 is 8, but 'length' is 7 elsewhere"),
    ],
)
def test_binding_refuses_naming_tensor_and_axis(shapes: list[tuple[int, ...]], reason: str) -> None:
    pair = [parse_spec("x:float32[batch,length,4]"), parse_spec("mask:bool[batch,length]")]
    with pytest.raises(ValueError, match=reason):
        bind_dimensions(pair, shapes)


PAST, NEW, MASK = (
    parse_spec(text) for text in ("past:float32[batch,past,8]", "ids:int64[batch,new]", "m:bool[past+new]")
)


def test_a_sum_is_read_back_and_names_its_terms() -> None:
    assert parse_spec("mask:int64[batch, past + new]") == parse_spec("mask:int64[batch,past+new]")
    assert parse_spec("mask:int64[batch,past+new+1]").named_dimensions == ("batch", "past", "new")
    assert MASK.sums == ("past+new",)


@pytest.mark.parametrize("text", ["x:int64[+a]", "x:int64[a+]", "x:int64[2+a]", "x:int64[a++b]", "x:int64[a-b]"])
def test_what_is_no_sum_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="nor a sum"):
        parse_spec(text)


@pytest.mark.parametrize("order", [[PAST, NEW, MASK], [MASK, PAST, NEW], [NEW, MASK, PAST]])
def test_a_sum_binds_in_any_order_and_a_broken_one_is_told(order: list[TensorSpec]) -> None:
    shapes = {"past": [2, 5, 8], "ids": [2, 3], "m": [8]}
    assert bind_dimensions(order, [shapes[spec.name] for spec in order]) == {"batch": 2, "past": 5, "new": 3}
    shapes["m"] = [9]
    with pytest.raises(ValueError, match=r"'m' has 9 where .* wants past\+new, which is 8"):
        bind_dimensions(order, [shapes[spec.name] for spec in order])
