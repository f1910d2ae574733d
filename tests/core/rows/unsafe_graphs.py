"""Small graphs whose rows look at each other, each in another way, in ONNX's own notation."""

from __future__ import annotations

import numpy as np
from tests.core.rows.notation import Cases, floats, ints, number

W4, B4 = floats(4, 4), floats(4)
CASES = Cases()
unsafe = CASES.add

# --- elementwise, broadcasting
unsafe(
    "mean of the batch",
    "$X => $Y { m = ReduceMean(x, first) y = Sub(x, m) }",
    first=ints(0),
)
unsafe(
    "mean of everything",
    "$X => $Y { m = ReduceMean(x) y = Sub(x, m) }",
)
unsafe(
    "largest of the batch by a negative axis",
    "$X => $Y { m = ReduceMax(x, a) y = Div(x, m) }",
    a=ints(-2),
)
unsafe(
    "axes as an attribute",
    "$X => $Y { m = ReduceSum<axes=[0]>(x) y = Sub(x, m) }",
    opset=11,
)
unsafe(
    "a row beside every row",
    "$X => $Y { k = ReduceMax<keepdims=0>(x, last) y = Add(x, k) }",
    last=ints(1),
)
unsafe(
    "rows against columns",
    "float[N,1] x => $Y { t = Transpose(x) p = Sub(x, t) y = ReduceMax<keepdims=1>(p, last) }",
    last=ints(1),
)
unsafe(
    "a constant of three rows",
    "$X => $Y { y = Add(x, c) }",
    c=floats(3, 4),
)
unsafe(
    "whole batch in one scale",
    "$X => $Y { q, s, z = DynamicQuantizeLinear(x) y = DequantizeLinear(q, s, z) }",
)
unsafe(
    "a scale computed from the batch",
    "$X => $Y { m = ReduceMax<keepdims=0>(x) a = Abs(m) s = Div(a, k) q = QuantizeLinear(x, s, z) "
    "y = DequantizeLinear(q, s, z) }",
    k=np.array(20, np.float32),
    z=np.array(0, np.int8),
)
unsafe(
    "a vector of rows against a table",
    "float[N] v, $X => $Y { y = Add(x, v) }",
)
unsafe(
    "slope from other rows",
    "$X => $Y { s = ReduceMax(x, first) y = PRelu(x, s) }",
    first=ints(0),
)

# --- the number of rows, and of the row
unsafe(
    "divided by the number of rows",
    "$X => $Y { s = Shape<start=0, end=1>(x) f = Cast<to=1>(s) y = Div(x, f) }",
)
unsafe(
    "plus its own number",
    "$X => $Y { s = Shape<start=0, end=1>(x) n = Squeeze(s) r = Range(zero, n, one) f = Cast<to=1>(r) c = "
    "Unsqueeze(f, ones) y = Add(x, c) }",
    zero=number(0),
    one=number(1),
    ones=ints(1),
)
unsafe(
    "first of a table by number",
    "$X => $Y { s = Shape<start=0, end=1>(x) n = Squeeze(s) r = Range(zero, n, one) p = Gather(t, r) y = Add(x, p) }",
    zero=number(0),
    one=number(1),
    t=floats(9, 4),
)
unsafe(
    "as much of a table as there are rows",
    "$X => $Y { s = Shape<start=0, end=1>(x) p = Slice(t, zero, s, zero) y = Add(x, p) }",
    zero=ints(0),
    t=floats(9, 4),
)
unsafe(
    "another branch for one row",
    "$X => $Y { s = Shape<start=0, end=1>(x) n = Squeeze(s) c = Equal(n, one) y = If (c) <then_branch = a () => "
    "(float[] p) { p = Neg(x) }, else_branch = b () => (float[] q) { q = Identity(x) }> }",
    one=number(1),
)
unsafe(
    "size of everything",
    "$X => $Y { s = Size(x) f = Cast<to=1>(s) y = Mul(x, f) }",
)
unsafe(
    "as many of the largest as rows",
    "float[N,9] x => $Y { s = Shape<start=0, end=1>(x) v, i = TopK(x, s) y = ReduceSum(v, last) }",
    last=ints(1),
)
unsafe(
    "a depth of the number of rows",
    "int64[N] i => $Y { s = Shape(i) o = OneHot(i, s, v) y = ReduceSum(o, last) }",
    v=np.array([0.5, 1], np.float32),
    last=ints(1),
)
unsafe(
    "the previous row by number",
    "$X => $Y { s = Shape<start=0, end=1>(x) n = Squeeze(s) r = Range(zero, n, one) p = Sub(r, one) y = Gather(x, p) }",
    zero=number(0),
    one=number(1),
)
unsafe(
    "a unit matrix as large as the batch",
    "$X => $Y { e = EyeLike(x) y = Add(x, e) }",
)
unsafe(
    "row numbers at the wrong place",
    "float[N,9] x => $Y { s = Shape<start=0, end=1>(x) n = Squeeze(s) r = Range(zero, n, one) a = Unsqueeze(r, "
    "ones) f = Mul(a, zero) k = Concat<axis=1>(f, a) y = GatherND(x, k) }",
    zero=number(0),
    one=number(1),
    ones=ints(1),
)
unsafe(
    "looped as often as there are rows",
    "$X => $Y { s = Shape<start=0, end=1>(x) n = Squeeze(s) y = Loop(n, yes, x) <body = b (int64 i, bool c, "
    "float[] v) => (bool d, float[] w) { d = Identity(c) w = Add(v, v) }> }",
    yes=np.array(True),
)

# --- layout
unsafe(
    "reshaped across rows",
    "$X => $Y { a = Reshape(x, s) b = ReduceSum<keepdims=0>(a, last) c = Reshape(b, t) y = Add(x, c) }",
    s=ints(4, -1),
    t=ints(1, 4),
    last=ints(1),
)
unsafe(
    "rows turned to columns and summed",
    "$X => $Y { t = Transpose(x) m = ReduceSum(t, last) u = Transpose(m) y = Add(x, u) }",
    last=ints(1),
)
unsafe(
    "batch first read as time first",
    "float[N,4,4] x => $Y { t = Transpose<perm=[1,0,2]>(x) s = Softmax<axis=1>(t) y = Transpose<perm=[1,0,2]>(s) }",
)
unsafe(
    "flipped batch",
    "$X => $Y { y = Slice(x, start, end, zero, step) }",
    start=ints(-1),
    end=ints(-(2**31)),
    zero=ints(0),
    step=ints(-1),
)
unsafe(
    "difference to the row before",
    "$X => $Y { a = Pad(x, p) y = Slice(a, zero, minus, zero) }",
    p=ints(1, 0, 0, 0),
    zero=ints(0),
    minus=ints(-1),
)
unsafe(
    "first row beside all",
    "$X => $Y { a = Slice(x, zero, one, zero) y = Sub(x, a) }",
    zero=ints(0),
    one=ints(1),
)
unsafe(
    "halves of the batch exchanged",
    "$X => $Y { n = Shape<start=0, end=1>(x) m = Sub(n, one) r = Add(n, one) s = Concat<axis=0>(m, r) d = "
    "Concat<axis=0>(x, x) a, b = Split<axis=0>(d, s) y = Slice(b, zero, n, zero) }",
    zero=ints(0),
    one=ints(1),
)
unsafe(
    "interleaved copies taken apart as blocks",
    "$X => $Y { u = Unsqueeze(x, one) d = Concat<axis=1>(u, u) f = Reshape(d, s) a, b = Split<axis=0, "
    "num_outputs=2>(f) y = Identity(a) }",
    one=ints(1),
    s=ints(-1, 4),
)
unsafe(
    "a row put before the batch",
    "$X => $Y { a = Concat<axis=0>(c, x) y = Slice(a, zero, minus, zero) }",
    c=floats(1, 4),
    zero=ints(0),
    minus=ints(-1),
)
unsafe(
    "squeezed where the batch is one",
    "float[N,1,4] x => $Y { s = Squeeze(x) y = Softmax<axis=0>(s) }",
)
unsafe(
    "rolled batch",
    "$X => $Y { a = Slice(x, one, far, zero) b = Slice(x, zero, one, zero) y = Concat<axis=0>(a, b) }",
    zero=ints(0),
    one=ints(1),
    far=ints(2**31),
)
unsafe(
    "flattened with the batch inside",
    "float[N,2,2] x => $Y { t = Transpose<perm=[1,0,2]>(x) f = Flatten<axis=1>(t) s = Softmax<axis=1>(f) r = "
    "Reshape(s, k) y = Transpose<perm=[1,0,2]>(r) }",
    k=ints(2, -1, 2),
)
unsafe(
    "tiled and read back wrongly",
    "$X => $Y { t = Tile(x, r) u = Reshape(t, s) y = ReduceMax<keepdims=0>(u, one) }",
    r=ints(3, 1),
    s=ints(-1, 3, 4),
    one=ints(1),
)
unsafe(
    "depth from the batch",
    "float[N,1,2,2] x => $Y { t = Transpose<perm=[1,0,2,3]>(x) s = Softmax<axis=1>(t) y = "
    "Transpose<perm=[1,0,2,3]>(s) }",
)

# --- reductions, orders, norms
unsafe(
    "softmax over the batch",
    "$X => $Y { y = Softmax<axis=0>(x) }",
)
unsafe(
    "softmax that flattens from the first axis",
    "float[N,2,2] x => $Y { y = Softmax<axis=0>(x) }",
    opset=11,
)
unsafe(
    "softmax that flattens the rows behind",
    "float[N,2,2] x => $Y { t = Transpose<perm=[1,2,0]>(x) s = Softmax<axis=1>(t) y = Transpose<perm=[2,0,1]>(s) }",
    opset=11,
)
unsafe(
    "log softmax over a negative axis",
    "$X => $Y { y = LogSoftmax<axis=-2>(x) }",
)
unsafe(
    "hardmax over the batch",
    "$X => $Y { y = Hardmax<axis=0>(x) }",
)
unsafe(
    "running sum over rows",
    "$X => $Y { y = CumSum(x, zero) }",
    zero=number(0),
)
unsafe(
    "running sum over a negative axis",
    "$X => $Y { y = CumSum<reverse=1>(x, a) }",
    a=number(-2),
)
unsafe(
    "sorted batch",
    "$X => $Y { s = Shape<start=0, end=1>(x) y, i = TopK<axis=0>(x, s) }",
)
unsafe(
    "best row's place",
    "$X => $Y { a = ArgMax<axis=0, keepdims=1>(x) f = Cast<to=1>(a) y = Add(x, f) }",
)
unsafe(
    "batch norm that trains",
    "$IMAGE => $Y { y, m2, v2 = BatchNormalization<training_mode=1>(x, s, b, m, v) }",
    s=floats(3),
    b=floats(3),
    m=floats(3),
    v=np.abs(floats(3)),
    opset=15,
)
unsafe(
    "mean and variance over the batch",
    "$IMAGE => $Y { y = MeanVarianceNormalization(x) }",
)
unsafe(
    "normalised over the batch",
    "$X => $Y { y = LpNormalization<axis=0>(x) }",
)
unsafe(
    "layer norm over everything",
    "$X => $Y { y = LayerNormalization<axis=0>(x, s) }",
    s=floats(1, 4),
)
unsafe(
    "instance norm with the batch as an axis",
    "float[N,2,3] x => $Y { t = Transpose<perm=[1,2,0]>(x) i = InstanceNormalization(t, o, z) y = "
    "Transpose<perm=[2,0,1]>(i) }",
    o=np.ones(3, np.float32),
    z=np.zeros(3, np.float32),
)
unsafe(
    "a group of rows",
    "float[N,4,4] x => $Y { t = Transpose<perm=[1,0,2]>(x) u = Unsqueeze(t, three) l = LRN<size=3, alpha=0.5>(u) "
    "y1 = Squeeze(l, three) y = Transpose<perm=[1,0,2]>(y1) }",
    three=ints(3),
)

# --- products
unsafe(
    "gram matrix of the batch",
    "$X => $Y { t = Transpose(x) g = MatMul(t, x) y = MatMul(x, g) }",
)
unsafe(
    "every row with every row",
    "$X => $Y { t = Transpose(x) g = MatMul(x, t) s = Softmax(g) y = MatMul(s, x) }",
)
unsafe(
    "einsum over the batch",
    '$X => $Y { g = Einsum<equation="ni,nj->ij">(x, x) y = MatMul(x, g) }',
)
unsafe(
    "einsum that pairs rows",
    '$X => $Y { g = Einsum<equation="ni,mi->nm">(x, x) y = ReduceMax(g, one) }',
    one=ints(1),
)
unsafe(
    "einsum's diagonal",
    'float[N] v => $Y { a = Unsqueeze(v, one) o = Einsum<equation="ni,mi->nm">(a, a) c = CumSum(o, zero) y = '
    'Einsum<equation="nn->n">(c) }',
    one=ints(1),
    zero=number(0),
)
unsafe(
    "gemm with the rows summed",
    "$X => $Y { g = Gemm<transA=1>(x, x) y = MatMul(x, g) }",
)
unsafe(
    "a bias of other rows",
    "$X => $Y { m = ReduceMax(x, zero) y = Gemm(x, w, m) }",
    w=W4,
    zero=ints(0),
)
unsafe(
    "batched weights from the rows before",
    "$X => $Y { u = Unsqueeze(x, one) d = Unsqueeze(x, zero) t = Transpose<perm=[0,2,1]>(d) p = MatMul(u, t) q = "
    "ReduceMax(p, two) y = Squeeze(q, one) }",
    zero=ints(0),
    one=ints(1),
    two=ints(2),
)

# --- indices
unsafe(
    "a row picked by number",
    "$X => $Y { a = Gather(x, zero) y = Sub(x, a) }",
    zero=number(0),
)
unsafe(
    "a row picked by another's value",
    "$X, int64[N] i => $Y { y = Gather(x, i) }",
)
unsafe(
    "scattered over rows",
    '$X, int64[N,4] i => $Y { y = ScatterElements<axis=0, reduction="add">(x, i, x) }',
)
unsafe(
    "picked along rows",
    "$X, int64[N,4] i => $Y { y = GatherElements<axis=0>(x, i) }",
)
unsafe(
    "a table counted along with the rows",
    "int64[N,1] i => $Y { y = GatherElements<axis=1>(t, i) }",
    t=floats(9, 9),
)
unsafe(
    "rows written by value",
    '$X, int64[N,1] i => $Y { y = ScatterND<reduction="add">(x, i, x) }',
)
unsafe(
    "counted into bins",
    'int64[N] i, $X => $Y { u = Unsqueeze(i, one) b = ScatterND<reduction="add">(z, u, x) s = ReduceSum(b, zero) '
    "y = Add(x, s) }",
    z=np.zeros((9, 4), np.float32),
    one=ints(1),
    zero=ints(0),
)
unsafe(
    "nonzero rows",
    "$X => $Y { m = ReduceMax<keepdims=0>(x, one) g = Greater(m, z) y = Compress<axis=0>(x, g) }",
    one=ints(1),
    z=np.float32(0),
)
unsafe(
    "places of what is not zero",
    "$X => $Y { r = Relu(x) n = NonZero(r) f = Cast<to=1>(n) s = ReduceMean(f) y = Add(x, s) }",
)
unsafe(
    "distinct values",
    "$X => $Y { u = Unique(x) m = ReduceMean(u) y = Add(x, m) }",
)
unsafe(
    "pairs flattened into one index",
    "$X => $Y { f = Reshape(x, m) y = Gather(f, k) }",
    m=ints(-1),
    k=ints(0, 1, 2),
)

# --- images, sequences
unsafe(
    "indices of a pool",
    "$IMAGE => $Y { p, i = MaxPool<kernel_shape=[2,2]>(x) f = Cast<to=1>(i) y = Add(p, f) }",
)
unsafe(
    "convolution along the rows",
    "float[N,1,4] x => $Y { t = Transpose<perm=[1,2,0]>(x) c = Conv<pads=[1,1]>(t, w) y = Transpose<perm=[2,0,1]>(c) }",
    w=floats(4, 4, 3),
)
unsafe(
    "rows as channels",
    "float[N,1,4] x => $Y { t = Transpose<perm=[1,0,2]>(x) c = MaxPool<kernel_shape=[1], strides=[1]>(t) s = "
    "Softmax<axis=1>(c) y = Transpose<perm=[1,0,2]>(s) }",
)
unsafe(
    "lstm that takes the batch for time",
    "float[N,1,4] x => $Y { a, h, c = LSTM<hidden_size=2>(x, w, r) y = Squeeze(a, one) }",
    w=floats(1, 8, 4),
    r=floats(1, 8, 2),
    one=ints(1),
)
unsafe(
    "scan over the rows",
    "$X => $Y { h, y = Scan<num_scan_inputs=1, body = b (float[] s, float[] v) => (float[] t, float[] u) { t = "
    "Add(s, v) u = Identity(t) }>(z, x) }",
    z=np.zeros(4, np.float32),
)
unsafe(
    "until the batch has settled",
    "$X => $Y { y = Loop(n, yes, x) <body = b (int64 i, bool c, float[] v) => (bool d, float[] w) { w = Mul(v, "
    "half) m = ReduceMax<keepdims=0>(w) d = Greater(m, small) }> }",
    n=number(30),
    yes=np.array(True),
    half=np.float32(0.5),
    small=np.float32(0.1),
)
unsafe(
    "a branch by the largest of the batch",
    "$X => $Y { m = ReduceMax<keepdims=0>(x) c = Greater(m, one) y = If (c) <then_branch = p () => (float[] u) { "
    "u = Neg(x) }, else_branch = q () => (float[] v) { v = Identity(x) }> }",
    one=np.float32(1),
)
unsafe(
    "a branch that mixes",
    "$XL => $Y { s = Shape<start=1, end=2>(x) n = Squeeze(s) c = Greater(n, zero) y = If (c) <then_branch = p () "
    "=> (float[] u) { u = Softmax<axis=0>(x) }, else_branch = q () => (float[] v) { v = Identity(x) }> }",
    zero=number(0),
)
unsafe(
    "mixing at the third step",
    "$X => $Y { a, b, y = Loop(n, yes, x, x, x) <body = b (int64 i, bool c, float[] u, float[] v, float[] w) => "
    "(bool d, float[] p, float[] q, float[] r) { d = Identity(c) p = Softmax<axis=0>(u) q = Identity(u) r = "
    "Identity(v) }> }",
    n=number(4),
    yes=np.array(True),
)
unsafe(
    "a function with its axis turned",
    "$X => $Y { y = local.f <a = 0>(x) }",
    functions='<domain: "local", opset_import: ["" : 18]> f <a> (v) => (w) { w = Softmax<axis: int = @a>(v) }',
)
unsafe(
    "a function of an older opset",
    "float[N,2,2] x => $Y { t = Transpose<perm=[1,0,2]>(x) s = local.f(t) y = Transpose<perm=[1,0,2]>(s) }",
    functions='<domain: "local", opset_import: ["" : 11]> f (v) => (w) { w = Softmax<axis=1>(v) }',
)
unsafe(
    "resized batch",
    '$IMAGE => $Y { y = Resize<mode="nearest">(x, , s) }',
    s=np.array([2, 1, 1, 1], np.float32),
)
unsafe(
    "outputs of which one mixes",
    "$X => $Y, float[] z { y = Relu(x) z = Softmax<axis=0>(x) }",
)
unsafe(
    "an output of one row",
    "$X => $Y { y = ReduceMax(x, zero) }",
    zero=ints(0),
)
unsafe(
    "an output with the rows behind",
    "$X => $Y { y = Transpose(x) }",
)
unsafe(
    "a row for each half",
    "$X => $Y { y = Reshape(x, s) }",
    s=ints(-1, 2),
)
unsafe(
    "a constant output",
    "$X => $Y, float[] z { y = Relu(x) z = Identity(c) }",
    c=floats(1, 4),
)

# --- tables and texts
unsafe(
    "texts padded to the longest",
    'string[N] x => string[] y { y = com.microsoft.Tokenizer<mark=0, mincharnum=1, pad_value="", separators=[""]>(x) }',
)
unsafe(
    "texts padded with another id",
    "string[N] x => int64[] y { c = Concat<axis=0>(x, none) t = com.microsoft.Tokenizer<mark=0, mincharnum=1, "
    'pad_value="", separators=[""]>(c) i = ai.onnx.ml.LabelEncoder<keys_strings=["","a","b"], '
    "values_int64s=[5,2,3], default_int64=1>(t) s = Shape<start=0, end=1>(i) k = Concat<axis=0>(s, length) e = "
    "Expand(fill, k) f = Concat<axis=1>(i, e) y = Slice(f, start, end) }",
    none=np.array([""], object),
    length=ints(3),
    fill=np.array([[0]], np.int64),
    start=ints(0, 0),
    end=ints(-1, 3),
)
unsafe(
    "texts cut from behind",
    "string[N] x => int64[] y { c = Concat<axis=0>(x, none) t = com.microsoft.Tokenizer<mark=0, mincharnum=1, "
    'pad_value="", separators=[""]>(c) i = ai.onnx.ml.LabelEncoder<keys_strings=["","a","b"], '
    "values_int64s=[0,2,3], default_int64=1>(t) s = Shape<start=0, end=1>(i) k = Concat<axis=0>(s, length) e = "
    "Expand(fill, k) f = Concat<axis=1>(e, i) y = Slice(f, start, end) }",
    none=np.array([""], object),
    length=ints(3),
    fill=np.array([[0]], np.int64),
    start=ints(0, -3),
    end=ints(-1, 2**31),
)
unsafe(
    "texts cut too late",
    "string[N] x => int64[] y { c = Concat<axis=0>(x, none) t = com.microsoft.Tokenizer<mark=0, mincharnum=1, "
    'pad_value="", separators=[""]>(c) i = ai.onnx.ml.LabelEncoder<keys_strings=["","a","b"], '
    "values_int64s=[0,2,3], default_int64=1>(t) s = Shape<start=0, end=1>(i) k = Concat<axis=0>(s, length) e = "
    "Expand(fill, k) f = Concat<axis=1>(i, e) y = Slice(f, start, end) }",
    none=np.array([""], object),
    length=ints(1),
    fill=np.array([[0]], np.int64),
    start=ints(0, 0),
    end=ints(-1, 5),
)
unsafe(
    "parts of the longest text",
    'string[N] x => string[] y, int64[] n { y, n = StringSplit<delimiter="b">(x) }',
    opset=20,
)
unsafe(
    "a text in a list of words",
    'string[N] x => string[] y { y = StringNormalizer<stopwords=["a"], is_case_sensitive=1>(x) }',
)
unsafe(
    "words of all rows counted",
    'int64[N] x => float[] y { y = TfIdfVectorizer<mode="TF", min_gram_length=1, max_gram_length=1, '
    "max_skip_count=0, ngram_counts=[0], ngram_indexes=[0,1], pool_int64s=[0,1]>(x) }",
)
unsafe(
    "a flattened index that may leave its row",
    "$XL, int64[N] i => $Y { s = Shape<start=0, end=1>(x) n = Squeeze(s) r = Range(zero, n, one) "
    "t = Shape<start=1, end=2>(x) m = Mul(r, t) b = Mul(i, three) a = Add(m, b) k = Min(a, last) f = Reshape(x, flat) "
    "y = Gather(f, k) }",
    zero=number(0),
    one=number(1),
    three=number(3),
    last=number(2),
    flat=ints(-1, 4),
)
unsafe(
    "a flattened index of the wrong stride",
    "$XL => $Y { s = Shape<start=0, end=1>(x) n = Squeeze(s) r = Range(zero, n, one) m = Mul(r, one) "
    "f = Reshape(x, flat) y = Gather(f, m) }",
    zero=number(0),
    one=number(1),
    flat=ints(-1, 4),
)
