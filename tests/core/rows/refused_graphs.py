"""Graphs that the proof turns down whatever their rows do, by operator: malformed, or not followed."""

from __future__ import annotations

import numpy as np
from tests.core.rows.notation import ROWS, Refusals, floats, ints, number

CASES = Refusals()
refused = CASES.add
W4, W44, YES = floats(4), floats(4, 4), np.array(True)

# --- attention
QKV = "float[N,2,3,4] q, float[N,2,5,4] k, float[N,2,5,4] v"
refused("rank is not one that is followed", "$X => $Y { y = Attention(x, x, x) }", 23)
refused("other rows than the queries", "float[N,2,3,4] q => $Y { y = Attention(q, k, k) }", 23, k=floats(1, 2, 5, 4))
refused("its mask has other rows", f"{QKV}, float[N,3,5] m => $Y {{ y = Attention(q, k, v, m) }}", 23)
refused("its mask has other rows", f"{QKV} => $Y {{ y = Attention(q, k, v, m) }}", 23, m=floats(3, 1, 3, 5))
refused("its lengths have other rows", f"{QKV} => $Y {{ y = Attention(q, k, v, , , , l) }}", 24, l=ints(3))
POSITIONS = "float[N,2,3,4] q, int64[N,3] p"
refused("its table is none", f"{POSITIONS} => $Y {{ y = RotaryEmbedding(q, c, c, p) }}", 23, c=floats(3, 8, 2))
refused(
    "its positions have other rows",
    "float[N,2,3,4] q => $Y { y = RotaryEmbedding(q, c, c, p) }",
    23,
    c=floats(8, 2),
    p=np.zeros((1, 3), np.int64),
)
refused("its angles have other rows", "float[N,2,3,4] q => $Y { y = RotaryEmbedding(q, c, c) }", 23, c=floats(1, 3, 2))
HEADS = "com.microsoft.MultiHeadAttention<num_heads=2>"
refused(
    "its padding has other rows", f"float[N,3,8] q => $Y {{ y = {HEADS}(q, q, q, , p) }}", p=np.ones((1, 3), np.int32)
)
refused("its cache is not followed", f"float[N,3,8] q => $Y {{ y = {HEADS}(q, q, q, , , , , , a) }}", a=ints(0))
refused("packed queries", f"float[N,3,2,3,4] q => $Y {{ y = {HEADS}(q) }}")
refused("the bias differs from row to row", f"float[N,3,8] q, float[N] b => $Y {{ y = {HEADS}(q, q, q, b) }}")
PACKED = "com.microsoft.Attention<num_heads=2>"
refused(
    "its mask has other rows",
    f"float[N,3,8] x => $Y {{ y = {PACKED}(x, w, b, m) }}",
    w=floats(8, 24),
    b=floats(24),
    m=np.ones((1, 3), np.int32),
)
refused(
    "its cache is not followed",
    f"float[N,3,8] x => $Y {{ y = {PACKED}(x, w, b, , p) }}",
    w=floats(8, 24),
    b=floats(24),
    p=floats(2, 1, 2, 5, 4),
)
refused(
    "its positions have other rows",
    "int64[N,3] x => $Y { i = Cast<to=6>(x) y, m = com.microsoft.EmbedLayerNormalization(i, , w, t, , g, g, , p) }",
    w=floats(3, 4),
    t=floats(3, 4),
    g=W4,
    p=np.zeros((1, 3), np.int32),
)

# --- products
refused("MatMul combines rows", "float[N] x => $Y { a = MatMul(x, x) y = Add(x, a) }")
refused("MatMul combines rows", "$X => $Y { y = MatMul(w, x) }", w=floats(3, 5))
BYTES = "a = Abs(x) i = Cast<to=2>(a) "
W8 = np.ones((4, 3), np.uint8)
refused(
    "not single numbers", f"$X => int32[] y {{ {BYTES} y = MatMulInteger(i, w, z) }}", w=W8, z=np.zeros(4, np.uint8)
)
refused(
    "not single numbers", f"$X => int32[] y {{ {BYTES} y = MatMulInteger(w, i, , z) }}", w=W8, z=np.zeros(4, np.uint8)
)
refused(
    "not single numbers",
    f"$X => int32[] y {{ {BYTES} y = MatMulInteger(i, w, , z) }}",
    w=W8,
    z=np.zeros((1, 3), np.uint8),
)
QUANTISED = {"s": np.float32(1), "z": np.uint8(0), "w": W8}
refused(
    "not single numbers", f"$X => uint8[] y {{ {BYTES} y = QLinearMatMul(i, r, z, w, s, z, s, z) }}", r=W4, **QUANTISED
)
refused(
    "not single numbers",
    f"$X => uint8[] y {{ {BYTES} y = com.microsoft.QLinearAdd(i, r, z, i, s, z, s, z) }}",
    r=W4,
    **QUANTISED,
)
refused("it transposes the batch", "float[N,3,4] x => $Y { y = com.microsoft.FusedMatMul<transBatchA=1>(x, w) }", w=W44)
refused("FusedMatMul combines rows", "$X => $Y { y = com.microsoft.FusedMatMul<transA=1>(x, w) }", w=W44)
refused("before opset 7", "$X => $Y { y = Gemm(x, w, b) }", 6, w=W44, b=W4)
refused("its inputs are not matrices", "$XL => $Y { y = Gemm(x, w, b) }", w=W44, b=W4)
refused("more axes than the product", "$X => $Y { y = Gemm(x, w, b) }", w=W44, b=floats(1, 1, 4))
refused("the rows of one input with those of another", '$X => $Y { y = Einsum<equation="ni,mi->nm">(x, x) }')
refused("the rows with another axis", 'float[N,3] x => $Y { y = Einsum<equation="ii->i">(x) }')
refused("Einsum combines rows", '$X => $Y { y = Einsum<equation="ni,ij->j">(x, w) }', w=W44)
refused("a size of its own meets the rows", '$X => $Y { y = Einsum<equation="ni,ni->ni">(x, w) }', w=floats(5, 4))
refused("does not fit its inputs", '$X => $Y { y = Einsum<equation="ni,ij->nj">(x) }')
refused("does not fit its inputs", '$X => $Y { y = Einsum<equation="nij->n">(x) }')
refused("order of its result's axes", '$X => $Y { y = Einsum<equation="nI,Ij">(x, w) }', w=W44)
refused("its equation is not followed", '$X => $Y { y = Einsum<equation="ni->nz">(x) }')

# --- made of sizes, of nothing, at random
refused(
    "number of rows is in its shape",
    f"$X => $Y {{ {ROWS} t = Concat<axis=0>(s, s) z = ConstantOfShape(t) y = MatMul(z, x) }}",
)
refused(
    "the number of rows is part of the value", f"$X => int64[] y {{ {ROWS} y = Range(one, n, one) }}", one=number(1)
)
refused("the number of rows is part of the value", "$X => $Y { y = EyeLike(x) }")
refused("the number of rows is part of the value", f"$X => $Y {{ {ROWS} y = HannWindow(n) }}")
refused("drawn at random", "$X => $Y { y = RandomNormalLike(x) }")
refused("drawn at random", "$X => $Y { r = RandomNormal<shape=[4]>() y = Add(x, r) }")
refused("a list of its own length", "$X => int64[] y { y = NonZero(x) }")
refused("it is not followed", "float[N] x => $Y { y, a, b = com.microsoft.Unique(x) }")
refused("it is not followed", "float[N,2,2] x => $Y { y = com.microsoft.Inverse(x) }")

# --- tables
refused("no table of rows and columns", '$XL => $Y { y = ai.onnx.ml.Normalizer<norm="L2">(x) }')
refused(
    "other rows than each other",
    "$X => $Y { y = ai.onnx.ml.FeatureVectorizer<inputdimensions=[4,4]>(x, c) }",
    c=floats(1, 4),
)

# --- images
refused("it is no image", "$X => $Y { y = Conv(x, w) }", w=W44)
refused("its weight does not fit", "$IMAGE => $Y { y = Conv(x, w) }", w=floats(2, 3, 3))
refused("its settings do not fit", "$IMAGE => $Y { y = Conv<strides=[1]>(x, w) }", w=floats(2, 3, 3, 3))
refused("its strides are not positive", "$IMAGE => $Y { y = Conv<strides=[0,0]>(x, w) }", w=floats(2, 3, 3, 3))
refused(
    "what it adds has other rows",
    "$IMAGE => $Y { y = com.microsoft.FusedConv(x, w, b, a) }",
    w=floats(2, 3, 3, 3),
    b=floats(2),
    a=floats(1, 2, 6, 6),
)
refused("its settings do not fit", "$IMAGE => $Y { y = ConvTranspose<strides=[1]>(x, w) }", w=floats(3, 2, 3, 3))
refused("its kernel's shape is missing", "$IMAGE => $Y { y = MaxPool(x) }")
refused("count through the whole batch", "$IMAGE => int64[] y { z, y = MaxPool<kernel_shape=[2,2]>(x) }")
CROP = 'Resize<coordinate_transformation_mode="tf_crop_and_resize">'
refused("it crops the rows", f"$IMAGE => $Y {{ y = {CROP}(x, r, , t) }}", r=floats(8), t=ints(1, 3, 4, 4))
refused(
    "sizes are changed by each other",
    '$IMAGE => $Y { y = Resize<keep_aspect_ratio_policy="not_larger">(x, , , t) }',
    t=ints(1, 3, 4, 4),
)
refused(
    "scaled by the number of rows",
    f"$IMAGE => $Y {{ {ROWS} f = Cast<to=1>(s) k = Concat<axis=0>(three, f) y = Resize(x, , k) }}",
    three=np.ones(3, np.float32),
)
refused("it scales the rows", "$IMAGE => $Y { y = Resize(x, , k) }", k=np.array([2, 1, 1, 1], np.float32))
refused("changes how many rows", "$IMAGE => $Y { y = Resize(x, , , t) }", t=ints(2, 3, 4, 4))
refused(
    "resized by the number of rows",
    f"$IMAGE => $Y {{ {ROWS} t = Concat<axis=0>(s, three, s, s) y = Resize(x, , , t) }}",
    three=ints(3),
)
refused("differs from row to row", "$IMAGE, float[N] k => $Y { y = Resize(x, , k) }")
refused("its grid has other rows", "$IMAGE => $Y { y = GridSample(x, g) }", 20, g=floats(1, 4, 4, 2))
refused("its size is not that of the rows", "float[N,2,3] x => $Y { y = AffineGrid(x, t) }", 20, t=ints(1, 1, 2, 2))
refused(
    "in the shape of a value that has none",
    f"$X => $Y {{ {ROWS} t = Concat<axis=0>(s, three) y = AffineGrid(w, t) }}",
    20,
    three=ints(1, 2, 2),
    w=floats(1, 2, 3),
)
refused(
    "its shapes are not constants",
    f"float[N,4,9] x => $Y {{ {ROWS} t = Concat<axis=0>(s, s) y = Col2Im(x, t, two) }}",
    two=ints(2, 2),
)
refused("its length is the number of rows", f"float[N,8,1] x => $Y {{ {ROWS} y = DFT<axis=1>(x, n) }}")
refused(
    "STFT combines rows",
    "float[N,16,1] x => $Y { t = Transpose<perm=[1,0,2]>(x) y = STFT(t, h, , f) }",
    h=number(4),
    f=number(8),
)

# --- picking
I64 = "float[N,4] x, int64[N,2] i"
refused("counted along with them", "int64[N,2] i => $Y { y = GatherElements<axis=1>(w, i) }", w=floats(9, 4))
refused("rows, of which it picks some", f"{I64} => $Y {{ y = GatherElements<axis=0>(x, i) }}")
refused("the indices have other rows", "$X => $Y { y = GatherElements<axis=1>(x, i) }", i=np.zeros((1, 2), np.int64))
refused("the updates have other rows", f"{I64} => $Y {{ y = ScatterElements<axis=1>(x, i, u) }}", u=floats(1, 2))
refused("how many axes its indices name", "float[N,4] x, int64[N,L] i => $Y { y = GatherND(x, i) }")
refused("more axes than there are", "$X => $Y { y = GatherND(x, i) }", i=ints(0, 0, 0))
refused("counted along with them", "int64[N,3,1] i => $Y { y = GatherND<batch_dims=1>(w, i) }", w=floats(9, 4))
refused("the indices have other rows", "$X => $Y { y = GatherND<batch_dims=1>(x, i) }", i=np.zeros((1, 1), np.int64))
refused("rows, of which it picks some", "$X => $Y { y = GatherND(x, i) }", i=np.zeros((2, 1), np.int64))
refused("how many axes its indices name", "int64[N] i => $Y { y = GatherND(w, i) }", w=floats(9, 4))
refused("more axes than there are", "$X => $Y { y = ScatterND(x, i, u) }", i=np.zeros((1, 3), np.int64), u=floats(1))
refused(
    "rows, of which it changes some",
    "$X => $Y { y = ScatterND(x, i, u) }",
    i=np.zeros((1, 1), np.int64),
    u=floats(1, 4),
)
refused("its depth is the number of rows", f"int64[N] x => $Y {{ {ROWS} y = OneHot(x, n, v) }}", v=floats(2))
refused(
    "rows, of which it takes some",
    "float[N] x => $Y { c = Greater(x, nought) y = Compress<axis=0>(x, c) }",
    nought=np.float32(0),
)
refused("rows, of which it picks some", "float[N] x => $Y { y = ai.onnx.ml.ArrayFeatureExtractor(x, i) }", i=ints(0))
refused("it is not followed", "$IMAGE => $Y { y = MaxRoiPool<pooled_shape=[1,1]>(x, r) }", r=floats(1, 5))

# --- elementwise
refused("a size of its own meets the rows", "$X => $Y { y = Add(x, w) }", w=floats(5, 4))
refused("before opset 7", "$X => $Y { y = Add(x, w) }", 6, w=W4)
refused("before opset 7", "$X => $Y { y = Dropout(x) }", 6)
refused("whether it trains", "$X => $Y { y = Dropout(x, r, t) }", r=np.float32(0.5), t=YES)
refused(
    "its scales differ along the rows",
    "$X => uint8[] y { y = QuantizeLinear<axis=0>(x, s, z) }",
    s=np.ones(5, np.float32),
    z=np.zeros(5, np.uint8),
)
refused("all values into one scale", "$X => uint8[] y { y, s, z = DynamicQuantizeLinear(x) }")
