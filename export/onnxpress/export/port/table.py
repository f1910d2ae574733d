"""The table of correspondences: each layer and function of torch, its counterpart in Keras, and where the two differ.

docs/port-table.md is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One correspondence."""

    torch: str
    keras: str
    trap: str = ""
    """what differs between the two, and how it is carried"""


_NORM = (
    "torch's momentum is the share of the new batch, Keras's of the old value: 1 − momentum. Keras keeps the batch's "
)
_POOL = "padding is a step of its own in Keras: of −∞ for the maximum"
LAYERS: tuple[Row, ...] = (
    Row("Linear", "Dense", "the kernel is transposed; after a flattening its rows are put in Keras's order of axes"),
    *(
        Row(f"Conv{n}d", f"Conv{n}D", "channels come last; padding is `same` only where the stride is 1, and else "
            f"a ZeroPadding{n}D of its own: with a stride `same` pads at the end first") for n in (1, 2, 3)
    ),
    *(
        Row(f"ConvTranspose{n}d", f"Conv{n}DTranspose", "the kernel's last two axes are exchanged; padding is a "
            f"Cropping{n}D of its own") for n in (1, 2, 3)
    ),
    *(
        Row(f"BatchNorm{n}d", "BatchNormalization", _NORM + "own variance, torch n/(n−1) of it, which the report "
            "names. Without statistics, without a momentum and with a frozen scale it is a class of the module's own")
        for n in (1, 2, 3)
    ),
    Row("LayerNorm", "LayerNormalization", "epsilon is 1e-5 in torch and 1e-3 in Keras: always written"),
    Row("GroupNorm", "GroupNormalization", "the same epsilon trap"),
    *(Row(f"InstanceNorm{n}d", "GroupNormalization(groups=-1)", "with statistics of its own a class of the module's "
          "own") for n in (1, 2, 3)),
    Row("Dropout", "Dropout", "the rate is carried; both scale in training"),
    Row("AlphaDropout", "AlphaDropout"),
    *(Row(f"Dropout{n}d", f"SpatialDropout{n}D", "whole channels") for n in (1, 2, 3)),
    Row("RMSNorm", "RMSNormalization", "over the last axis; without an epsilon torch takes that of float32"),
    Row("EmbeddingBag", "Embedding and ops.mean, ops.sum or ops.max", "rows of equal length"),
    Row("Embedding", "Embedding", "padding_idx: its row learns nothing, so the vectors are multiplied by whether the "
        "id is another; Keras's mask_zero is something else"),
    Row("LSTM", "LSTM", "torch has two biases of which only the sum shows, Keras one; gates i, f, g, o in both. "
        "Several layers and two directions are layers of their own. With proj_size it is an RNN over a cell of the "
        "module's own"),
    Row("GRU", "GRU(reset_after=True)", "torch's gates are r, z, n, Keras's z, r, n; two biases in both"),
    Row("RNN", "SimpleRNN", "two biases against one, as LSTM"),
    Row("LSTMCell", "LSTMCell", "as LSTM; Keras's takes and gives its states as a list"),
    Row("GRUCell", "GRUCell", "as GRU"),
    Row("RNNCell", "SimpleRNNCell", "as RNN"),
    Row("MultiheadAttention", "MultiHeadAttention", "one kernel of three parts against three; a mask of torch says "
        "what is left out, one of Keras what is seen"),
    Row("ReLU", "ReLU"),
    Row("ReLU6", "ReLU(max_value=6)"),
    Row("LeakyReLU", "LeakyReLU", "the slope is 0.01 in torch and 0.3 in Keras: always written"),
    Row("PReLU", "PReLU", "one slope for each channel, shared over the other axes"),
    Row("ELU", "ELU"),
    Row("GELU", "Activation('gelu')", "exact or by tanh: always written"),
    Row("Softmax", "Softmax", "the axis follows the layout"),
    Row("LogSoftmax", "Activation('log_softmax')", "over the last axis, or as a function"),
    *(
        Row(a, f"Activation({b!r})")
        for a, b in (
            ("Sigmoid", "sigmoid"), ("Tanh", "tanh"), ("SiLU", "silu"), ("Mish", "mish"), ("SELU", "selu"),
            ("CELU", "celu"), ("Hardswish", "hard_swish"), ("Hardsigmoid", "hard_sigmoid"), ("Softplus", "softplus"),
            ("Softsign", "softsign"), ("Tanhshrink", "tanh_shrink"), ("LogSigmoid", "log_sigmoid"),
        )
    ),
    Row("Hardtanh", "Activation('hard_tanh')", "between −1 and 1 alone"),
    *(Row(f"MaxPool{n}d", f"MaxPooling{n}D", _POOL) for n in (1, 2, 3)),
    *(Row(f"AvgPool{n}d", f"AveragePooling{n}D", "what is padded counts as zeros in torch, and not in Keras's `same`: "
          "a ZeroPadding of its own") for n in (1, 2, 3)),
    *(
        Row(f"Adaptive{a}Pool{n}d", f"Global{b}Pooling{n}D", "to size 1; to sizes that do not divide a few lines of "
            "code") for a, b in (("Avg", "Average"), ("Max", "Max")) for n in (1, 2, 3)
    ),
    Row("Flatten", "Flatten", "torch counts channels first: the weights behind are put in Keras's order"),
    Row("LocalResponseNorm", "a few lines of code"),
    Row("Unflatten", "ops.reshape"),
    Row("Identity", "the value itself"),
    *(Row(f"ZeroPad{n}d", f"ZeroPadding{n}D", "torch names the last axis first") for n in (1, 2)),
    *(Row(f"ReflectionPad{n}d", "ops.pad") for n in (1, 2, 3)),
    *(Row(f"{kind}Pad{n}d", "a few lines of code") for kind in ("Replication", "Circular") for n in (1, 2, 3)),
    *(Row(f"ConstantPad{n}d", "ops.pad") for n in (1, 2, 3)),
    Row("Upsample", "UpSampling2D", "of whole factors; else as a function. Aligned corners are a few lines of code"),
    *(Row(f"Upsampling{kind}2d", "UpSampling2D", "as Upsample") for kind in ("Nearest", "Bilinear")),
    Row("PixelShuffle", "ops.reshape and ops.transpose"),
    Row("PixelUnshuffle", "ops.reshape and ops.transpose"),
    Row("ChannelShuffle", "ops.reshape and ops.transpose"),
    Row("Unfold", "ops.image.extract_patches", "torch counts channels before the places of a window"),
    Row("Fold", "ops.reshape and ops.transpose", "windows that do not overlap"),
    Row("GLU", "ops.glu"),
    Row("Softmin", "ops.softmax"),
    Row("Softmax2d", "ops.softmax"),
    Row("Threshold", "ops.where"),
    Row("Hardshrink", "ops.hard_shrink"),
    Row("Softshrink", "ops.soft_shrink"),
    Row("CosineSimilarity", "ops.sum, over the lengths"),
)  # fmt: skip
TORCH_LAYERS = frozenset(row.torch for row in LAYERS)

_SAME = "`same` with a stride pads one more at the end: an F.pad of its own where the two ends differ"
_POOLED = (
    "`same`: padding, and ceil_mode where the end has one more. What is padded does not count in an average: "
    "count_include_pad=False"
)
_MASKED = (
    "behind a mask the steps that are seen are put first and the states are read where the mask shows them. Dropout of "
    "the input is one draw for all steps: Dropout1d. recurrent_dropout is refused"
)
_RANDOM = (
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomContrast",
    "RandomBrightness",
    "RandomColorJitter",
    "RandomColorDegeneration",
    "RandomSaturation",
    "RandomHue",
    "RandomGrayscale",
    "RandomSharpness",
    "RandomShear",
    "RandomPerspective",
    "RandomErasing",
    "RandomGaussianBlur",
    "RandomInvert",
    "RandomElasticTransform",
    "RandomPosterization",
)
FROM_KERAS: tuple[Row, ...] = (
    Row("Linear", "Dense", "the kernel is transposed; after a Flatten its columns are put in torch's order of axes"),
    Row("Linear and unflatten", "EinsumDense", "where the equation is a product over the last axes"),
    Row("Embedding", "Embedding", "mask_zero: the mask is a value of its own, for the layers behind that read it"),
    Row("ne and mul", "Masking", "as Embedding's mask"),
    *(Row(f"Conv{n}d", f"Conv{n}D", f"channels first, the kernel's last two axes first. {_SAME}") for n in (1, 2, 3)),
    *(
        Row(f"ConvTranspose{n}d", f"Conv{n}DTranspose", "`same` cuts one more off at the end: a slice of its own")
        for n in (1, 2, 3)
    ),
    *(Row(f"Conv{n}d(groups=channels)", f"DepthwiseConv{n}D", _SAME) for n in (1, 2)),
    *(Row(f"two Conv{n}d", f"SeparableConv{n}D", _SAME) for n in (1, 2)),
    Row("BatchNorm1d to 3d", "BatchNormalization", "momentum is 1 − momentum. torch keeps n/(n−1) of the variance, "
        "which the report names. A frozen one does not move in training: a block of its own"),
    Row("LayerNorm", "LayerNormalization", "over the last axes; epsilon is 1e-3 in Keras and 1e-5 in torch: always "
        "written"),
    Row("GroupNorm", "GroupNormalization", "the same epsilon trap"),
    Row("RMSNorm", "RMSNormalization"),
    Row("square, sum, rsqrt", "UnitNormalization"),
    Row("Dropout", "Dropout"),
    Row("AlphaDropout", "AlphaDropout"),
    Row("a class of its own", "GaussianNoise", "in training alone"),
    Row("a class of its own", "GaussianDropout", "in training alone"),
    *(Row(f"Dropout{n}d", f"SpatialDropout{n}D", "channels first") for n in (1, 2, 3)),
    Row("LSTM", "LSTM", "torch's second bias stays at zero and does not learn. Other activations than tanh and sigmoid "
        f"are a loop over the steps. {_MASKED}"),
    Row("GRU", "GRU", f"gates z, r, h as r, z, n; with reset_after=False a loop over the steps. {_MASKED}"),
    Row("RNN", "SimpleRNN", f"as LSTM. {_MASKED}"),
    Row("LSTM(bidirectional=True)", "Bidirectional", "two layers behind a mask or with dropout; all ways to merge"),
    Row("flatten(0, 1) and unflatten", "TimeDistributed"),
    Row("Linear and scaled_dot_product_attention", "MultiHeadAttention", "a block of its own, as key_dim and value_dim "
        "are free. What a mask hides is −1e9, not −∞: rows that see nothing see all. With dropout, or "
        "where its weights are asked for, they see nothing"),
    Row("Linear, repeat_interleave and scaled_dot_product_attention", "GroupedQueryAttention", "as MultiHeadAttention"),
    Row("matmul, softmax, matmul", "Attention", "what a mask hides is 1e9 less"),
    Row("tanh, sum, softmax, matmul", "AdditiveAttention"),
    Row("the function", "Activation", "Keras's own, or traced"),
    Row("relu, relu6, clamp or leaky_relu", "ReLU"),
    Row("leaky_relu", "LeakyReLU", "the slope is 0.3 in Keras and 0.01 in torch: always written"),
    Row("PReLU", "PReLU", "with a slope for each channel; else relu and clamp"),
    Row("elu", "ELU"),
    Row("softmax", "Softmax", "the axis follows the layout"),
    *(Row(f"MaxPool{n}d", f"MaxPooling{n}D", _POOLED) for n in (1, 2, 3)),
    *(Row(f"AvgPool{n}d", f"AveragePooling{n}D", _POOLED) for n in (1, 2, 3)),
    *(Row("mean", f"GlobalAveragePooling{n}D", "behind a mask over what is seen" if n == 1 else "") for n in (1, 2, 3)),
    *(Row("amax", f"GlobalMaxPooling{n}D") for n in (1, 2, 3)),
    *(Row("F.pad", f"ZeroPadding{n}D", "torch names the last axis first") for n in (1, 2, 3)),
    *(Row("a slice", f"Cropping{n}D") for n in (1, 2, 3)),
    *(Row("Upsample", f"UpSampling{n}D", "nearest, and of images bilinear") for n in (1, 2, 3)),
    Row("flatten", "Flatten", "in torch's order: the weights behind follow"),
    Row("reshape", "Reshape"),
    Row("the layout", "Permute", "no data moves"),
    Row("unsqueeze and expand", "RepeatVector"),
    Row("cat", "Concatenate"),
    *(Row(a, b) for a, b in (("add", "Add"), ("sub", "Subtract"), ("mul", "Multiply"), ("maximum", "Maximum"),
                             ("minimum", "Minimum"), ("add and div", "Average"), ("matmul", "Dot"))),
    Row("mul and add", "Rescaling"),
    Row("interpolate", "Resizing", "bilinear or nearest, which is nearest-exact in torch"),
    Row("a slice", "CenterCrop", "of images that are as large at least"),
    *(Row("the value itself", name, "the report names it: in training the images are the data's") for name in _RANDOM),
    Row("sub and div", "Normalization", "its mean and deviation are constants"),
    Row("one_hot", "CategoryEncoding"),
    Row("bucketize", "Discretization", "a value on an edge lies behind it: right=True"),
    Row("eq, argmax, where", "IntegerLookup", "with one index for what is unknown"),
    Row("the value itself", "Identity"),
    Row("the value itself", "ActivityRegularization", "the report names what it adds to the loss"),
)  # fmt: skip
