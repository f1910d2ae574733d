"""More graphs whose rows do not look at each other, by operator.

They are not changed into others as `safe_graphs` are: some of these operators end the process where an attribute is
wrong.
"""

from __future__ import annotations

import numpy as np
from tests.core.rows.notation import Cases, floats, ints, number

W4, B4 = floats(4, 4), floats(4)
CASES = Cases()
safe = CASES.add

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
