"""Small graphs whose rows do not look at each other, in ONNX's own notation."""

from __future__ import annotations

import numpy as np
from tests.core.rows.notation import Cases, floats, ints, number

W4, B4 = floats(4, 4), floats(4)
CASES = Cases()
safe = CASES.add

# --- elementwise, broadcasting
safe(
    "perceptron",
    "$X => $Y { h = MatMul(x, w) a = Add(h, b) r = Relu(a) y = Gemm(r, w, b) }",
    w=W4,
    b=B4,
)
safe(
    "normalised by hand",
    "$X => $Y { m = ReduceMean(x, last) d = Sub(x, m) q = Mul(d, d) v = ReduceMean(q, last) s = Sqrt(v) y = "
    "Div(d, s) }",
    last=ints(-1),
)
safe(
    "dead code that mixes",
    "$X => $Y { m = ReduceMean(x, first) y = Relu(x) }",
    first=ints(0),
)
safe(
    "shape of what mixes",
    "$X => $Y { s = Shape(x) z = ConstantOfShape(s) y = Add(x, z) }",
)
safe(
    "row over a constant of one row",
    "$X => $Y { y = Add(x, c) }",
    c=floats(1, 4),
)
safe(
    "clip and where",
    "$X => $Y { c = Clip(x, low, high) g = Greater(x, low) y = Where(g, c, b) }",
    low=np.float32(-1),
    high=np.float32(1),
    b=B4,
)
safe(
    "quantised weights",
    "$X => $Y { w = DequantizeLinear<axis=0>(q, s, z) y = MatMul(x, w) }",
    q=np.arange(16, dtype=np.int8).reshape(4, 4),
    s=np.abs(floats(4)),
    z=np.zeros(4, np.int8),
)

# --- the number of rows, and of the row
safe(
    "sizes as a shape",
    "$XL => $Y { s = Shape(x) n = Gather(s, zero) l = Gather(s, one) u = Unsqueeze(n, zeros) v = Unsqueeze(l, "
    "zeros) t = Concat<axis=0>(u, v, minus) r = Reshape(x, t) y = Relu(r) }",
    zero=number(0),
    one=number(1),
    zeros=ints(0),
    minus=ints(-1),
)
safe(
    "a length as a value",
    "$XL => $Y { s = Shape<start=1, end=2>(x) f = Cast<to=1>(s) m = ReduceSum<keepdims=0>(x, one) y = Div(m, f) }",
    one=ints(1),
)
safe(
    "sizes that come to one",
    "$X => $Y { s = Shape<start=0, end=1>(x) q = Div(s, s) f = Cast<to=1>(q) y = Mul(x, f) }",
)
safe(
    "own row by number",
    "$XL, int64[N] i => $Y { s = Shape<start=0, end=1>(x) n = Squeeze(s, zeros) r = Range(zero, n, one) a = "
    "Unsqueeze(r, ones) b = Unsqueeze(i, ones) k = Concat<axis=1>(a, b) y = GatherND(x, k) }",
    zero=number(0),
    one=number(1),
    zeros=ints(0),
    ones=ints(1),
)
safe(
    "own row by Gather",
    "$X => $Y { s = Shape<start=0, end=1>(x) n = Squeeze(s, zeros) r = Range(zero, n, one) y = Gather(x, r) }",
    zero=number(0),
    one=number(1),
    zeros=ints(0),
)
safe(
    "own row written",
    "$XL, float[N,4] u => $Y { s = Shape<start=0, end=1>(x) n = Squeeze(s, zeros) r = Range(zero, n, one) a = "
    "Unsqueeze(r, ones) k = Shape(a) o = ConstantOfShape<value=int64[1] {0}>(t) e = Expand(o, k) b = "
    "Concat<axis=1>(a, e) y = ScatterND(x, b, u) }",
    zero=number(0),
    one=number(1),
    zeros=ints(0),
    ones=ints(1),
    t=ints(1, 1),
)

# --- layout
safe(
    "channels shuffled",
    "float[N,6,H,W] x => $Y { a = Reshape(x, s) t = Transpose<perm=[0,2,1,3]>(a) y = Reshape(t, u) }",
    s=ints(0, 2, 3, -1),
    u=ints(0, 6, -1),
)
safe(
    "flattened to steps and back",
    "$XL => $Y { s = Shape(x) f = Reshape(x, m) h = MatMul(f, w) y = Reshape(h, s) }",
    m=ints(-1, 4),
    w=W4,
)
safe(
    "heads split and joined",
    "float[N,L,8] x => $Y { a = Reshape(x, s) t = Transpose<perm=[0,2,1,3]>(a) k = Transpose<perm=[0,2,3,1]>(a) p "
    "= MatMul(t, k) q = Softmax(p) o = MatMul(q, t) b = Transpose<perm=[0,2,1,3]>(o) y = Reshape(b, u) }",
    s=ints(0, 0, 2, 4),
    u=ints(0, 0, 8),
)
safe(
    "two batches behind each other",
    "$X => $Y { n = Neg(x) d = Concat<axis=0>(x, n) h = MatMul(d, w) a, b = Split<axis=0, num_outputs=2>(h) y = "
    "Add(a, b) }",
    w=W4,
)
safe(
    "time first and back",
    "$XL => $Y { t = Transpose<perm=[1,0,2]>(x) s = Softmax<axis=0>(t) y = Transpose<perm=[1,0,2]>(s) }",
)
safe(
    "expanded along the rows",
    "$X => $Y { s = Shape(x) e = Expand(c, s) y = Concat<axis=1>(x, e) }",
    c=floats(1, 4),
)
safe(
    "class token",
    "$XL => $Y { s = Shape<start=0, end=1>(x) t = Concat<axis=0>(s, k) c = Expand(token, t) j = Concat<axis=1>(c, "
    "x) y = ReduceMean(j, one) }",
    k=ints(1, 4),
    token=floats(1, 1, 4),
    one=ints(1),
)
safe(
    "whole batch sliced",
    "$XL => $Y { y = Slice(x, starts, ends) }",
    starts=ints(0, 1),
    ends=ints(2**31, 2**31),
)
safe(
    "padded images",
    '$IMAGE => $Y { y = Pad<mode="reflect">(x, p) }',
    p=ints(0, 0, 1, 2, 0, 0, 2, 1),
)
safe(
    "tiled along values",
    "$X => $Y { y = Tile(x, r) }",
    r=ints(1, 3),
)

# --- reductions, orders, norms
safe(
    "softmax over values",
    "$X => $Y { y = Softmax<axis=-1>(x) }",
)
safe(
    "softmax that flattens, behind the rows",
    "float[N,2,2] x => $Y { y = Softmax<axis=1>(x) }",
    opset=11,
)
safe(
    "largest values and places",
    "$X => $Y, int64[] z { y, z = TopK<axis=1>(x, k) }",
    k=ints(2),
)
safe(
    "running sum along time",
    "$XL => $Y { y = CumSum(x, one) }",
    one=number(1),
)
safe(
    "batch norm with stored statistics",
    "$IMAGE => $Y { y = BatchNormalization(x, s, b, m, v) }",
    s=floats(3),
    b=floats(3),
    m=floats(3),
    v=np.abs(floats(3)),
)
safe(
    "layer and instance norm",
    "$IMAGE => $Y { a = InstanceNormalization(x, s, b) y = LayerNormalization<axis=1>(a, c) }",
    s=floats(3),
    b=floats(3),
    c=floats(3, 8, 8),
)
safe(
    "group norm by reshape",
    "float[N,6,H,W] x => $Y { s = Shape(x) a = Reshape(x, g) i = InstanceNormalization(a, o, z) y = Reshape(i, s) }",
    g=ints(0, 2, -1),
    o=np.ones(2, np.float32),
    z=np.zeros(2, np.float32),
)

# --- products
safe(
    "einsum with the batch kept",
    '$XL => $Y { y = Einsum<equation="nld,nmd->nlm">(x, x) }',
)
safe(
    "gemm transposed weights",
    "$X => $Y { y = Gemm<transB=1, alpha=0.5>(x, w, b) }",
    w=W4,
    b=B4,
)
safe(
    "a column on the right",
    "$X => $Y { t = Transpose(x) h = MatMul(w, t) y = Transpose(h) }",
    w=W4,
)
safe(
    "a vector on the right",
    "$X => $Y { y = MatMul(x, v) }",
    v=floats(4),
)

# --- indices
safe(
    "embedding",
    "int64[N,L] i => $Y { e = Gather(t, i) y = ReduceMean(e, one) }",
    t=floats(9, 4),
    one=ints(1),
)
safe(
    "picked along values",
    "$X, int64[N,2] i => $Y { y = GatherElements<axis=1>(x, i) }",
)
safe(
    "a class's weight by label",
    "int64[N,1] i => $Y { r = Reshape(i, m) a = ai.onnx.ml.ArrayFeatureExtractor(t, r) y = Reshape(a, c) }",
    t=floats(5),
    m=ints(-1),
    c=ints(-1, 1),
)
safe(
    "one hot",
    "int64[N] i => $Y { y = OneHot(i, d, v) }",
    d=number(5),
    v=np.array([0, 1], np.float32),
)
safe(
    "batched picks",
    "$XL, int64[N,1] i => $Y { y = GatherND<batch_dims=1>(x, i) }",
)
safe(
    "scattered along values",
    '$X, int64[N,2] i, float[N,2] u => $Y { y = ScatterElements<axis=1, reduction="add">(x, i, u) }',
)

# --- images, sequences
safe(
    "convolution",
    "$IMAGE => $Y { c = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w, b) r = Relu(c) p = "
    "MaxPool<kernel_shape=[2,2]>(r) g = GlobalAveragePool(p) y = Flatten(g) }",
    w=floats(5, 3, 3, 3),
    b=floats(5),
)
safe(
    "resized",
    '$IMAGE => $Y { y = Resize<mode="linear">(x, , s) }',
    s=np.array([1, 1, 2, 2], np.float32),
)
safe(
    "lstm with the batch second",
    "$XL => $Y { t = Transpose<perm=[1,0,2]>(x) a, h, c = LSTM<hidden_size=2>(t, w, r) q = Squeeze(h, zero) y = "
    "Relu(q) }",
    w=floats(1, 8, 4),
    r=floats(1, 8, 2),
    zero=ints(0),
)
safe(
    "gru with a state of zeros",
    "$XL => $Y { t = Transpose<perm=[1,0,2]>(x) s = Shape<start=0, end=1>(x) k = Concat<axis=0>(one, s, two) z = "
    "ConstantOfShape(k) a, h = GRU<hidden_size=2>(t, w, r, , , z) y = Squeeze(h, zero) }",
    w=floats(1, 6, 4),
    r=floats(1, 6, 2),
    one=ints(1),
    two=ints(2),
    zero=ints(0),
)
safe(
    "scan along time",
    "$XL => $Y { z = ReduceSum<keepdims=0>(x, one) a = Mul(z, nought) h, o = Scan<num_scan_inputs=1, "
    "scan_input_axes=[1], scan_output_axes=[1], body = b (float[] s, float[] v) => (float[] t, float[] u) { t = "
    "Add(s, v) u = Tanh(t) }>(a, x) y = Add(h, h) }",
    one=ints(1),
    nought=np.float32(0),
)
safe(
    "a loop of fixed length",
    "$X => $Y { y = Loop(n, yes, x) <body = b (int64 i, bool c, float[] v) => (bool d, float[] w) { d = "
    "Identity(c) t = Tanh(v) w = Add(v, t) }> }",
    n=number(3),
    yes=np.array(True),
)
safe(
    "a loop that makes it longer",
    "$X => $Y { a = Loop(n, yes, x) <body = b (int64 i, bool c, float[] v) => (bool d, float[] w) { d = "
    "Identity(c) w = Concat<axis=1>(v, x) }> y = ReduceMax(a, one) }",
    n=number(3),
    yes=np.array(True),
    one=ints(1),
)
safe(
    "a branch by length",
    "$XL => $Y { s = Shape<start=1, end=2>(x) n = Squeeze(s) c = Greater(n, two) a = If (c) <then_branch = p () "
    "=> (float[] u) { u = ReduceMax<keepdims=0>(x, one) }, else_branch = q () => (float[] v) { v = "
    "ReduceMin<keepdims=0>(x, one) }> y = Relu(a) }",
    two=number(2),
    one=ints(1),
)
safe(
    "a function",
    "$X => $Y { y = local.f <a = 1>(x) }",
    functions='<domain: "local", opset_import: ["" : 18]> f <a> (v) => (w) { w = Softmax<axis: int = @a>(v) }',
)

# --- tables and texts
safe(
    "scaled columns",
    "$X => $Y { y = ai.onnx.ml.Scaler<offset=[1.0,2.0,3.0,4.0], scale=[1.0,1.0,2.0,2.0]>(x) }",
)
safe(
    "normalised rows",
    '$X => $Y { y = ai.onnx.ml.Normalizer<norm="L2">(x) }',
)
safe(
    "labels of texts",
    'string[N,2] x => int64[] y { y = ai.onnx.ml.LabelEncoder<keys_strings=["a","b"], values_int64s=[1,2], '
    "default_int64=0>(x) }",
)
safe(
    "texts padded, then cut",
    "string[N] x => int64[] y { c = Concat<axis=0>(x, none) t = com.microsoft.Tokenizer<mark=0, mincharnum=1, "
    'pad_value="", separators=[""]>(c) i = ai.onnx.ml.LabelEncoder<keys_strings=["","a","b"], '
    "values_int64s=[0,2,3], default_int64=1>(t) s = Shape<start=0, end=1>(i) k = Concat<axis=0>(s, length) e = "
    "Expand(fill, k) f = Concat<axis=1>(i, e) y = Slice(f, start, end) }",
    none=np.array([""], object),
    length=ints(3),
    fill=np.array([[0]], np.int64),
    start=ints(0, 0),
    end=ints(-1, 3),
)
safe(
    "own values by flattened index",
    "$XL => $Y { s = Shape<start=0, end=1>(x) n = Squeeze(s, zeros) r = Range(zero, n, one) "
    "t = Shape<start=1, end=2>(x) m = Mul(r, t) v = ReduceMax<keepdims=0>(x, two) a = ArgMax<axis=1, keepdims=0>(v) "
    "i = Add(m, a) f = Reshape(x, flat) y = Gather(f, i) }",
    zero=number(0),
    one=number(1),
    two=ints(2),
    zeros=ints(0),
    flat=ints(-1, 4),
)
safe(
    "a mask by row number and place",
    "int64[N,L] x => int64[] y { s = Shape<start=0, end=1>(x) n = Squeeze(s, zeros) r = Range(zero, n, one) "
    "t = Shape<start=1, end=2>(x) l = Squeeze(t, zeros) p = Range(zero, l, one) a = Unsqueeze(r, ones) "
    "b = Unsqueeze(p, zeros) m = Max(a, b) k = Shape(m) c = Expand(a, k) d = Expand(b, k) e = Unsqueeze(c, twos) "
    "g = Unsqueeze(d, twos) i = Concat<axis=2>(e, g) y = GatherND(x, i) }",
    zero=number(0),
    one=number(1),
    zeros=ints(0),
    ones=ints(1),
    twos=ints(2),
)
safe(
    "as much of a table as there are steps",
    "int64[N,L] x => $Y { l = Shape<start=1, end=2>(x) p = Slice(t, zero, l, zero) e = Gather(w, x) a = Add(e, p) "
    "s = Shape(x) k = Concat<axis=0>(s, minus, two) y = Reshape(a, k) }",
    zero=ints(0),
    two=ints(2),
    minus=ints(-1),
    t=floats(9, 4),
    w=floats(5, 4),
)
