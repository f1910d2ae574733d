"""The values that an input's author allows: read, written into its signature, and held against values."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from onnxpress.core.domains import check_samples, guarded, inside, narrowed, parse_domain, refused
from onnxpress.core.errors import BadData, UsageError
from onnxpress.core.tensors import Domain, TensorSpec, parse_spec


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("x:[0,255]", Domain(low=0, high=255, enforced=True)),
        (" x : [ -1e3 , 0.5 ] ", Domain(low=-1000, high=0.5, enforced=True)),
        ("x:[0,]", Domain(low=0, enforced=True)),
        ("x:[,1]", Domain(high=1, enforced=True)),
        ("x:{red, green}", Domain(values=["red", "green"], enforced=True)),
    ],
)
def test_a_domain_is_read(text: str, domain: Domain) -> None:
    assert parse_domain(text) == ("x", domain)


@pytest.mark.parametrize(
    "text", ["", "x", "x:0,1", "x:[1,0]", "x:[,]", "x:[a,1]", "x:[nan,1]", "x:{}", "x:[1]", "[0,1]"]
)
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="domain"):
        parse_domain(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agee:[0,1]", "did you mean 'age'"),
        ("colour:[0,1]", "holds strings"),
        ("age:{a}", "holds float32"),
        ("mask:[0,1]", "holds bool"),
        ("code:{1,x}", "holds int64"),
    ],
)
def test_a_domain_that_fits_no_input_is_refused(text: str, said: str) -> None:
    specs = [parse_spec("age:float32[batch]"), parse_spec("colour:string[batch]"), parse_spec("mask:bool[batch]")]
    specs.append(parse_spec("code:int64[batch]"))
    with pytest.raises(UsageError, match=said):
        narrowed(specs, [text])


def test_two_domains_of_one_input_are_refused() -> None:
    with pytest.raises(UsageError, match="two domains"):
        narrowed([parse_spec("x:int64[batch]")], ["x:[0,1]", "x:[0,2]"])


@pytest.mark.parametrize(
    ("spec", "text", "inner", "outer"),
    [
        ("x:float32[n]", "x:[0,0.1]", np.array([0, 0.1, 0.05], np.float32), np.array([0, 0.1001], np.float32)),
        ("x:float16[n]", "x:[0,1e6]", np.array([0, 6e4], np.float16), np.array([-1], np.float16)),
        ("x:float64[n]", "x:[0,]", np.array([1e300]), np.array([1.0, -1e-300])),
        ("x:int64[n]", "x:[-3,5]", np.array([-3, 5]), np.array([6])),
        ("x:uint8[n]", "x:[-3,300]", np.array([0, 255], np.uint8), None),
        ("x:uint64[n]", "x:[,10]", np.array([10], np.uint64), np.array([2**64 - 1], np.uint64)),
        ("x:string[n]", "x:{a,b}", np.array(["a", "b"], object), np.array(["a", "c"], object)),
        ("x:int64[n]", "x:{-1,5,40}", np.array([40, -1]), np.array([5, 6])),
        ("x:uint8[n]", "x:{1,3}", np.array([1, 3], np.uint8), np.array([2], np.uint8)),
        ("x:float32[n]", "x:[0,1]", np.zeros(0, np.float32), np.array([np.inf], np.float32)),
        ("x:float32[n]", "x:[0,1]", np.array([np.nan], np.float32), np.array([np.nan, 2], np.float32)),
    ],
)
def test_values_outside_are_told_and_no_others(spec: str, text: str, inner: Any, outer: Any) -> None:
    (narrow,) = narrowed([parse_spec(spec)], [text])
    assert guarded(narrow)
    assert refused(narrow, inner) == ""
    if outer is not None:
        assert "outside of its domain" in refused(narrow, outer)
        kept = inside([narrow], {"x": outer})["x"]
        assert kept.dtype == outer.dtype
        assert refused(narrow, kept) == ""
        np.testing.assert_array_equal(inside([narrow], {"x": inner})["x"], inner)


def test_a_domain_that_only_says_what_was_asked_refuses_nothing() -> None:
    spec = msgspec.structs.replace(parse_spec("x:int64[n]"), domain=Domain(low=1, high=1))
    assert not guarded(spec)
    assert refused(spec, np.array([0])) == ""
    assert inside([spec], {"x": np.array([0])})["x"].tolist() == [0]


def test_what_the_signature_refuses_besides_is_told_too() -> None:
    spec = TensorSpec(name="x", dtype="float32", shape=("n",), domain=Domain(low=0, enforced=True), refuses=("nan",))
    assert "NaN" in refused(spec, np.array([np.nan], np.float32))


def test_an_enforced_domain_survives_json() -> None:
    (spec,) = narrowed([parse_spec("x:int64[n]")], ["x:[0,9]"])
    assert msgspec.json.decode(msgspec.json.encode(spec), type=TensorSpec) == spec


def test_rows_of_the_author_outside_of_the_domain_are_an_error() -> None:
    specs = narrowed([parse_spec("x:float32[batch]")], ["x:[0,1]"])
    check_samples(specs, {"x": np.array([0, 1], np.float32)})
    with pytest.raises(BadData, match=r"the samples of 'x' hold 7\.0, which is outside of its domain \[0, 1\]"):
        check_samples(specs, {"x": np.array([0, 7], np.float32)})
