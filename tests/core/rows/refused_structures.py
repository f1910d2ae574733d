"""Graphs that the proof turns down for their inner graphs, functions, shapes, and the pieces that they take."""

from __future__ import annotations

import numpy as np
from tests.core.rows.notation import ROWS, Refusals, floats, ints, number

CASES = Refusals()
refused = CASES.add
W4, YES = floats(4), np.array(True)

# --- graphs within
MANY = floats(70)
UNKNOWN = "g = ReduceMax<keepdims=0>(many) c = Greater(g, nought) "
"""a condition that is the same for every batch, and not known"""
SETS = {"many": MANY, "nought": np.float32(0)}
THEN, ELSE = "then_branch = p () => (float[] u) {{ u = {} }}", "else_branch = q () => (float[] v) {{ v = {} }}"


def _branches(one: str, other: str) -> str:
    return f"{THEN.format(one)}, {ELSE.format(other)}"


refused(
    "which branch runs",
    f"$X => $Y {{ m = ReduceMax<keepdims=0>(x, zeros, ) c = Greater(m, w) y = If (c) "
    f"<{_branches('Relu(x)', 'Neg(x)')}> }}",
    w=W4,
)
refused("its graph else_branch is missing", f"$X => $Y {{ {UNKNOWN} y = If (c) <{THEN.format('Relu(x)')}> }}", **SETS)
refused(
    "its branches have different outputs",
    f"$X => $Y {{ {UNKNOWN} y = If (c) <{THEN.format('Relu(x)')}, "
    "else_branch = q () => (float[] v, float[] w) { v = Neg(x) w = Neg(x) }> }",
    **SETS,
)
for one, other in (("Relu(x)", "Transpose(x)"), ("Transpose(x)", "Relu(x)"), ("Relu(x)", "Identity(t)")):
    refused(
        "give rows in different places",
        f"$X => $Y {{ {UNKNOWN} a = If (c) <{_branches(one, other)}> y = Neg(a) }}",
        t=floats(1, 4),
        **SETS,
    )
refused(
    "ReduceMean combines rows",
    f"$X => $Y {{ {UNKNOWN} m = ReduceMean(x, zeros) y = If (c) <{_branches('Relu(x)', 'Add(x, m)')}> }}",
    **SETS,
)
refused(
    "give rows in different places",
    f"$X => int64[] y {{ {UNKNOWN} {ROWS} r = Range(nil, n, one) "
    "a = ArgMax<axis=1, keepdims=0>(x) "
    f"y = If (c) <{_branches('Identity(r)', 'Identity(a)').replace('float', 'int64')}> }}",
    nil=number(0),
    one=number(1),
    **SETS,
)
BODY = "<body = b (int64 i, bool c, float[] v) => (bool d, float[] w) {{ d = {} w = {} }}>"


def _loop(goes_on: str, carried: str) -> str:
    return BODY.format(goes_on, carried)


THREE = {"three": number(3), "yes": YES}
refused("how often it runs", f"$X => $Y {{ {ROWS} y = Loop(n, yes, x) {_loop('Identity(c)', 'Neg(v)')} }}", **THREE)
refused(
    "whether it runs",
    "$X => $Y { m = ReduceMax<keepdims=0>(x) k = Greater(m, nought) "
    f"y = Loop(three, k, x) {_loop('Identity(c)', 'Neg(v)')} }}",
    nought=np.float32(0),
    **THREE,
)
refused(
    "whether it goes on",
    "$X => $Y { y = Loop(three, yes, x) <body = b (int64 i, bool c, float[] v) => "
    "(bool d, float[] w) { m = ReduceMax<keepdims=0>(v) d = Greater(m, nought) w = Neg(v) }> }",
    nought=np.float32(0),
    **THREE,
)
refused(
    "rows in different places",
    f"$X => $Y {{ a = Loop(three, yes, x) {_loop('Identity(c)', 'Transpose(v)')} y = Neg(a) }}",
    **THREE,
)
refused(
    "rows in different places",
    f"$X => $Y {{ a = Loop(three, yes, x) {_loop('Identity(c)', 'Unsqueeze(v, zeros)')} y = Neg(a) }}",
    **THREE,
)
refused(
    "its graph does not fit what it carries",
    "$X => $Y { y = Loop(three, yes, x) <body = b (int64 i, bool c, float[] v) => (bool d) { d = Identity(c) }> }",
    **THREE,
)
refused(
    "row numbers are collected",
    f"$X => int64[] y {{ {ROWS} r = Range(nil, n, one) a = Loop(three, yes) <body = b "
    "(int64 i, bool c) => (bool d, int64[] w) { d = Identity(c) w = Identity(r) }> y = Neg(a) }",
    nil=number(0),
    one=number(1),
    **THREE,
)
SCAN = "<num_scan_inputs = {}, body = b (float[] v) => (float[] w) {{ w = Neg(v) }}>"
refused("goes through the rows one after another", f"$X => $Y {{ y = Scan (x) {SCAN.format(1)} }}")
refused("before opset 9", f"$X => $Y {{ y = Scan (x) {SCAN.format(1)} }}", 8)
refused("it scans nothing", f"$X => $Y {{ y = Scan (x) {SCAN.format(0)} }}")

# --- the walk
refused("the operator is not known", "$X => $Y { y = com.microsoft.NobodyKnows(x) }")
refused(
    "the name of a standard operator",
    "$X => $Y { y = com.microsoft.Gelu(x) }",
    functions='<domain: "com.microsoft", opset_import: ["" : 18]> Gelu (v) => (w) { w = Neg(v) }',
)
refused(
    "nested too deep",
    "$X => $Y { y = local.f(x) }",
    functions='<domain: "local", opset_import: ["" : 18, "local" : 1]> f (v) => (w) { w = local.f(v) }',
)
refused("an input is missing", "$X => $Y { y = MatMul(x) }")
refused("this output is not followed", "$X => $Y { a, y = Relu(x) }")

# --- shapes
refused("takes over an axis that is not there", "$X => $Y { y = Reshape(x, t) }", t=ints(0, 4, 0))
refused("two sizes of the new shape", "$X => $Y { y = Reshape(x, t) }", t=ints(-1, -1))
refused("not a product of sizes", "$X => $Y { y = Reshape(x, t) }", t=ints(3, -1))
refused(
    "the new shape is not known",
    "$X => $Y { t = ReduceMax<keepdims=0>(m, zeros) y = Reshape(x, t) }",
    m=np.ones((70, 2), np.int64),
)
refused(
    "in the shape of a value that has none",
    f"$X => $Y {{ {ROWS} t = Concat<axis=0>(s, one) r = Reshape(w, t) y = Add(x, r) }}",
    one=ints(1),
    w=W4,
)
refused(
    "moves values between rows", f"$X => $Y {{ {ROWS} t = Concat<axis=0>(four, s) y = Reshape(x, t) }}", four=ints(4)
)
refused("its order of axes is none", "$X => $Y { y = Transpose<perm=[0,0]>(x) }")
refused("its axes are missing", "$X => $Y { y = Unsqueeze(x) }")
refused("its axes are not distinct", "$X => $Y { y = Unsqueeze(x, a) }", a=ints(1, 1))
refused("there is no axis 7", "$X => $Y { y = Unsqueeze(x, a) }", a=ints(7))
refused("without axes, a batch of one row", "float[N,1,4] x => $Y { y = Squeeze(x) }")
refused("only a batch of one row", "$X => $Y { y = Squeeze(x, zeros) }")
refused("stretched to another size", "$X => $Y { y = Expand(x, t) }", t=ints(5, 4))
refused("every row with every row", f"float[N,1] x => $Y {{ {ROWS} t = Concat<axis=0>(s, s) y = Expand(x, t) }}")
refused("in the shape of a value that has none", f"$X => $Y {{ {ROWS} y0 = Expand(w, s) y = Add(x, y0) }}", w=W4)
refused(
    "the new shape is not known",
    "$X => $Y { t = ReduceMax<keepdims=0>(m, zeros) y = Expand(x, t) }",
    m=np.ones((70, 2), np.int64),
)
refused("its repeats do not fit", "$X => $Y { y = Tile(x, t) }", t=ints(2))
refused("every row with every row", f"$X => $Y {{ {ROWS} t = Concat<axis=0>(one, s) y = Tile(x, t) }}", one=ints(1))
refused("it is not an image", "$X => $Y { y = DepthToSpace<blocksize=2>(x) }")

# --- pieces
refused("a part that has no rows", "$X => $Y { y = Concat<axis=1>(x, w) }", w=floats(1, 4))
refused("the rows of one input with those of another", "$X => $Y { t = Transpose(x) y = Concat<axis=0>(x, t) }")
refused("the rows of one input with those of another", "$X => $Y { d = Concat<axis=0>(x, x) y = Concat<axis=1>(x, d) }")
refused("its parts are no lists", f"$X => int64[] y {{ {ROWS} y = Concat<axis=0>(n, n) }}")
refused("its sizes do not fit its outputs", "$X => $Y { y, z = Split<axis=1>(x, p) }", p=ints(1, 1, 2))
refused(
    "it is split by the number of rows", f"$XL => $Y {{ {ROWS} p = Concat<axis=0>(s, s) y, z = Split<axis=1>(x, p) }}"
)
refused("it splits the batch", "$X => $Y { y, z = Split<axis=0, num_outputs=2>(x) }")
refused("it splits the batch", "$X => $Y { y, z = Split<axis=0>(x, p) }", p=ints(1, 2))
refused(
    "sizes are split at an unknown place",
    "$X => int64[] y { t = Shape(x) p = Shape<start=0, end=1>(x) q = Concat<axis=0>(p, p) y, z = Split<axis=0>(t, q) }",
)
refused("its bounds do not fit its axes", "$X => $Y { y = Slice(x, a, b, c) }", a=ints(0, 0), b=ints(1), c=ints(1))
refused("which rows it takes is not known", f"$X => $Y {{ {ROWS} e = Add(s, s) y = Slice(x, zeros, e, zeros) }}")
refused("rows, of which it takes some", "$X => $Y { y = Slice(x, zeros, e, zeros) }", e=ints(2))
refused("rows, of which it takes some", "$X => $Y { y = Slice(x, zeros, e, zeros, t) }", e=ints(2**40), t=ints(2))
refused("it is cut by the number of rows", f"$XL => $Y {{ {ROWS} y = Slice(x, zeros, s, one) }}", one=ints(1))
refused("its pads do not fit", "$X => $Y { y = Pad(x, p) }", p=ints(0, 1))
refused("before or behind those of the batch", "$X => $Y { y = Pad(x, p) }", p=ints(1, 0, 0, 0))
refused(
    "padded by the number of rows",
    f"$X => $Y {{ {ROWS} p = Concat<axis=0>(three, s) y = Pad(x, p) }}",
    three=ints(0, 0, 0),
)
refused("it is cut by the number of rows", f"$XL => $Y {{ {ROWS} y = CenterCropPad<axes=[1]>(x, s) }}")
refused("CenterCropPad combines rows", "$X => $Y { y = CenterCropPad(x, t) }", t=ints(2, 2))
refused("Trilu combines rows", "$X => $Y { y = Trilu(x) }")
LENGTHS = "float[N,3,4] x, int64[N] l"
refused(
    "not those of the rows", "float[N,3,4] x => $Y { y = ReverseSequence<batch_axis=0, time_axis=1>(x, l) }", l=ints(1)
)
refused("ReverseSequence combines rows", f"{LENGTHS} => $Y {{ y = ReverseSequence<batch_axis=1, time_axis=0>(x, l) }}")
