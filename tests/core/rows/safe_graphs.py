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

# --- every form of an operator
for value in ("value_float=2.0", "value_floats=[1.0,2.0,3.0,4.0]"):
    safe(f"a constant by {value}", f"$X => $Y {{ c = Constant<{value}>() y = Mul(x, c) }}")
for value in ("value_int=2", "value_ints=[1,2,3,4]"):
    safe(f"a constant by {value}", f"$X => $Y {{ i = Constant<{value}>() c = Cast<to=1>(i) y = Mul(x, c) }}")
for value in ('value_string="a"', 'value_strings=["a","b"]'):
    safe(
        f"a constant by {value}",
        f"string[N,2] x => string[] y {{ c = Constant<{value}>() y = StringConcat(x, c) }}",
        20,
    )
safe(
    "a range that begins later",
    "$X => $Y { r = Range(one, five, one) f = Cast<to=1>(r) y = Mul(x, f) }",
    one=number(1),
    five=number(5),
)
safe("a window", "$X => $Y { w = HannWindow(four) y = Mul(x, w) }", four=number(4))
safe(
    "a bank of filters",
    "$X => $Y { m = MelWeightMatrix(bins, length, rate, low, high) y = MatMul(x, m) }",
    bins=number(5),
    length=number(6),
    rate=number(16),
    low=np.float32(1),
    high=np.float32(8),
)
safe("a vector of weights", "$X => $Y { y = MatMul(x, w) }", w=B4)
safe("a vector before every row", "float[N,4,3] x => $Y { y = MatMul(v, x) }", v=B4)
safe("a batch of turned matrices", "float[N,4,3] x => $Y { y = com.microsoft.FusedMatMul<transA=1>(x, w) }", w=W4)
safe(
    "weights of four bits",
    "float[N,16] x => $Y { y = com.microsoft.MatMulNBits<K=16, N=3, bits=4, block_size=16>(x, w, s) }",
    w=np.arange(24, dtype=np.uint8).reshape(3, 1, 8),
    s=np.abs(floats(3)),
)
safe(
    "integers with a zero point for each column",
    "$X => int32[] y { a = Abs(x) i = Cast<to=2>(a) y = MatMulInteger(i, w, , z) }",
    w=np.arange(12, dtype=np.uint8).reshape(4, 3),
    z=np.arange(3, dtype=np.uint8),
)
safe(
    "quantised product",
    "$X => uint8[] y { i = QuantizeLinear(x, s, z) y = QLinearMatMul(i, s, z, w, s, z, s, z) }",
    w=np.arange(12, dtype=np.uint8).reshape(4, 3),
    s=np.float32(0.1),
    z=np.uint8(128),
)
safe(
    "packed attention with a mask",
    "float[N,3,8] x, int64[N,3] m => $Y { i = Cast<to=6>(m) y = com.microsoft.Attention<num_heads=2>(x, w, b, i) }",
    w=floats(8, 24),
    b=floats(24),
)
safe(
    "embedded words",
    "int64[N,3] x => $Y { i = Cast<to=6>(x) y, m = com.microsoft.EmbedLayerNormalization(i, , w, t, , g, b) }",
    w=floats(3, 4),
    t=floats(3, 4),
    g=B4,
    b=B4,
)
safe(
    "angles by position",
    "float[N,2,3,4] x, int64[N,3] p => $Y { y = RotaryEmbedding(x, c, s, p) }",
    23,
    c=floats(8, 2),
    s=floats(8, 2),
)
safe("angles of every row", "float[N,2,3,4] x, float[N,3,2] c => $Y { y = RotaryEmbedding(x, c, c) }", 23)
safe(
    "attention of heads in one axis",
    "float[N,3,8] q, float[N,5,8] k => $Y { y = Attention<q_num_heads=2, kv_num_heads=2>(q, k, k) }",
    23,
)
safe(
    "sorted out by a constant mask",
    "float[N,2,3,4] q, float[N,2,5,4] k => $Y { y = Attention(q, k, k, m) }",
    23,
    m=floats(3, 5),
)
safe("a resized image", "$IMAGE => $Y { y = Resize(x, , k) }", k=np.array([1, 1, 2, 1.5], np.float32))
safe("an image of given sizes", '$IMAGE => $Y { y = Resize<axes=[2,3], mode="linear">(x, , , t) }', t=ints(4, 5))
safe(
    "a grid of every row",
    "float[N,2,3] x => $Y { s = Shape<start=0, end=1>(x) t = Concat<axis=0>(s, r) y = AffineGrid(x, t) }",
    20,
    r=ints(1, 2, 2),
)
safe("blocks put together", "float[N,4,9] x => $Y { y = Col2Im(x, t, two) }", t=ints(4, 4), two=ints(2, 2))
safe("a spectrum", "float[N,8,1] x => $Y { y = DFT<axis=1>(x, n) }", n=number(8))
safe(
    "reversed to its own length",
    "float[N,3,4] x, int64[N] l => $Y { one = Add(l, i) y = ReverseSequence<batch_axis=0, time_axis=1>(x, one) }",
    i=number(1),
)
safe("cut in the middle", "$XL => $Y { y = CenterCropPad<axes=[2]>(x, two) }", two=ints(2))
safe("a triangle in every row", "float[N,3,3] x => $Y { y = Trilu(x, k) }", k=number(1))
safe("own indices", "float[N,4] x, int64[N,2] i => $Y { y = GatherElements<axis=1>(x, i) }")
safe("own updates", "float[N,4] x, int64[N,2] i, float[N,2] u => $Y { y = ScatterElements<axis=1>(x, i, u) }")
safe("a table by own indices", "int64[N,2,1] i => $Y { y = GatherND(w, i) }", w=floats(9, 4))
safe("own part of the batch", "float[N,4] x, int64[N,1] i => $Y { y = GatherND<batch_dims=1>(x, i) }")
safe("columns by number", "$X => $Y { y = ai.onnx.ml.ArrayFeatureExtractor(x, i) }", i=ints(2, 0))
safe(
    "a column that is set",
    "float[N,4] x, float[N,1] x2 => $Y { t = Transpose(x) v = Transpose(x2) a = ScatterND(t, i, v) y = Transpose(a) }",
    i=np.array([[2]], np.int64),
)
safe("columns put together", "$X => $Y { y = ai.onnx.ml.FeatureVectorizer<inputdimensions=[4,4]>(x, x) }")
safe(
    "missing values filled in",
    "$X => $Y { y = ai.onnx.ml.Imputer<imputed_value_floats=[1.0], replaced_value_float=0.0>(x) }",
)
safe("a scaled vector", "float[N] x => $Y { y = ai.onnx.ml.Scaler<offset=[1.0], scale=[2.0]>(x) }")
safe("kept columns", "$X => $Y { y = Compress<axis=1>(x, c) }", c=np.array([True, False, True]))
safe("numbers by class", "int64[N] x => $Y { h = OneHot<axis=0>(x, d, v) y = Transpose(h) }", d=number(3), v=floats(2))
safe("every size by name", "$XL => $Y { n = Size(w) f = Cast<to=1>(n) y = Mul(x, f) }", w=floats(3, 4))
safe("flat from a later axis", "float[N,3,2,2] x => $Y { f = Flatten<axis=-3>(x) y = Neg(f) }")
