"""Functions and layers that a written module has of its own: what begins as in torch, and what Keras has not."""

from __future__ import annotations

from onnxpress.export.port.buffers import SINUSOIDS_IN_KERAS
from onnxpress.export.port.to_keras.own_norms import OWN_NORMS

_KERNEL = '''@keras.saving.register_keras_serializable()
class {name}(layers.{name}):
    """With first weights as torch draws them."""

    def build(self, input_shape):
        fan_in = {fan_in}
        self.{kernel}_initializer = like_torch(fan_in)
        self.bias_initializer = like_torch(fan_in)
        super().build(input_shape)'''
_FIELD = "math.prod(self.kernel_size)"
_FANS = {
    "Dense": "input_shape[-1]",
    **{f"Conv{rank}D": f"input_shape[-1] // self.groups * {_FIELD}" for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": f"self.filters * {_FIELD}" for rank in (1, 2, 3)},
    **{f"DepthwiseConv{rank}D": _FIELD for rank in (1, 2)},
}
"""layers with a kernel, and over how many values one of their sums goes in torch's count"""
LIKE_TORCH = {
    name: _KERNEL.format(name=name, fan_in=fan_in, kernel="depthwise" if name.startswith("Depthwise") else "kernel")
    for name, fan_in in _FANS.items()
}
"""Keras's layers as the written module has them; they need `like_torch`"""
HELPERS = {
    "like_torch": '''def like_torch(fan_in):
    """First weights as torch draws them: within 1/√fan_in."""
    bound = fan_in**-0.5
    return keras.initializers.RandomUniform(-bound, bound)''',
    "recurrent_like_torch": '''def recurrent_like_torch(units):
    """The initialisers of a recurrent layer as torch's: within 1/√units."""
    return {
        "kernel_initializer": like_torch(units),
        "recurrent_initializer": like_torch(units),
        "bias_initializer": like_torch(units),
    }''',
    **LIKE_TORCH,
    "ProjectedLSTMCell": '''@keras.saving.register_keras_serializable()
class ProjectedLSTMCell(layers.Layer):
    """An LSTM cell whose output has fewer features than its memory."""

    def __init__(self, units, size, use_bias=True, **options):
        super().__init__(**options)
        self.state_size, self.output_size = [size, units], size
        self.gates = self.dense(4 * units, use_bias)
        self.recurrent = self.dense(4 * units)
        self.projection = self.dense(size)

    def dense(self, units, use_bias=False):
        fan_in = self.state_size[1]
        return layers.Dense(
            units,
            use_bias=use_bias,
            kernel_initializer=like_torch(fan_in),
            bias_initializer=like_torch(fan_in),
            dtype=self.dtype_policy,
        )

    def build(self, shape):
        size, units = self.state_size
        self.gates.build(shape)
        self.recurrent.build((None, size))
        self.projection.build((None, units))

    def call(self, x, states):
        before, memory = states
        gates = self.gates(x) + self.recurrent(before)
        enter, keep, new, leave = ops.split(gates, 4, axis=-1)
        memory = ops.sigmoid(keep) * memory + ops.sigmoid(enter) * ops.tanh(new)
        output = self.projection(ops.sigmoid(leave) * ops.tanh(memory))
        return output, [output, memory]''',
    **OWN_NORMS,
    "local_response_norm": '''def local_response_norm(x, size, alpha, beta, k):
    """Each channel over a power of the mean square of the channels around it."""
    around = [(0, 0)] * (x.ndim - 1) + [(size // 2, (size - 1) // 2)]
    squares = ops.pad(ops.square(x), around)
    total = sum(squares[..., n : n + x.shape[-1]] for n in range(size))
    return x / (k + alpha / size * total) ** beta''',
    "padded_by_edges": '''def padded_by_edges(x, axis, before, after):
    """x with its first and last values repeated beyond the ends of an axis."""
    last = ops.shape(x)[axis] - 1
    return ops.take(x, ops.clip(ops.arange(-before, last + 1 + after), 0, last), axis)''',
    "padded_around": '''def padded_around(x, axis, before, after):
    """x going on at each end of an axis with what is at the other."""
    length = ops.shape(x)[axis]
    return ops.take(x, ops.arange(-before, length + after) % length, axis)''',
    "pooled_to": '''def pooled_to(x, axis, size, reduce):
    """`size` windows of the axis, which overlap where they do not divide it, each reduced to one value."""
    length = x.shape[axis]
    windows = [(n * length // size, -(-(n + 1) * length // size)) for n in range(size)]
    parts = [ops.take(x, ops.arange(*window), axis) for window in windows]
    parts = [reduce(part, axis=axis, keepdims=True) for part in parts]
    return ops.concatenate(parts, axis)''',
    "resize_cubic": '''def resize_cubic(x, height, width, aligned=False):
    """Bicubic resizing of (rows, height, width, channels)."""
    for axis, size in ((1, height), (2, width)):
        length = x.shape[axis]
        places = ops.arange(size, dtype=x.dtype)
        if aligned:
            places = places * (length - 1) / max(size - 1, 1)
        else:
            places = (places + 0.5) * length / size - 0.5
        low = ops.floor(places)
        share = ops.reshape(places - low, (1, -1, 1, 1) if axis == 1 else (1, 1, -1, 1))
        low = ops.cast(low, "int32")
        found = 0.0
        for step in (-1, 0, 1, 2):
            far = ops.abs(share - step)
            near = (1.25 * far - 2.25) * far * far + 1.0
            wide = ((-0.75 * far + 3.75) * far - 6.0) * far + 3.0
            taken = ops.take(x, ops.clip(low + step, 0, length - 1), axis)
            found = found + taken * ops.where(far <= 1.0, near, wide)
        x = found
    return x''',
    "resize_aligned": '''def resize_aligned(x, height, width):
    """Bilinear resizing of (rows, height, width, channels) whose corner pixels stay where they are."""
    for axis, size in ((1, height), (2, width)):
        places = ops.linspace(0, x.shape[axis] - 1, size)
        low = ops.floor(places)
        share = ops.reshape(places - low, (1, -1, 1, 1) if axis == 1 else (1, 1, -1, 1))
        low = ops.cast(low, "int32")
        high = ops.minimum(low + 1, x.shape[axis] - 1)
        x = ops.take(x, low, axis) * (1 - share) + ops.take(x, high, axis) * share
    return x''',
    "root": '''def root(x):
    """The square root; its gradient at zero is zero."""
    return ops.where(x > 0, ops.sqrt(ops.where(x > 0, x, 1.0)), 0.0)''',
    "scattered": '''def scattered(x, index, new, axis):
    """x with new values at the places along the axis; of several the last counts."""
    x, index, new = (ops.moveaxis(value, axis, -1) for value in (x, index, new))
    asked = ops.equal(ops.expand_dims(index, -2), ops.arange(x.shape[-1])[:, None])
    last = ops.max(ops.where(asked, ops.arange(1, index.shape[-1] + 1), 0), axis=-1)
    found = ops.take_along_axis(new, ops.maximum(last - 1, 0), axis=-1)
    return ops.moveaxis(ops.where(last > 0, found, x), -1, axis)''',
    "sinusoids": SINUSOIDS_IN_KERAS,
    "tanh_gelu": '''def tanh_gelu(x):
    """GELU by tanh."""
    return ops.gelu(x, approximate=True)''',
}
"""by name, in the order in which they stand in the written module"""
