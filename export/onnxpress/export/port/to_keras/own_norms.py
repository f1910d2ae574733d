"""Batch and instance norms that Keras has not, as classes of the written module."""

from __future__ import annotations

OWN_NORMS = {
    "UntrackedBatchNormalization": '''@keras.saving.register_keras_serializable()
class UntrackedBatchNormalization(layers.Layer):
    """Batch norm by the batch's own mean and variance, in inference too."""

    def __init__(self, axis=-1, epsilon=1e-5, affine=True, **options):
        super().__init__(**options)
        self.axis, self.epsilon, self.affine = axis, epsilon, affine

    def build(self, shape):
        self.gamma = self.beta = None
        if self.affine:
            size = (shape[self.axis],)
            self.gamma = self.add_weight(size, initializer="ones", name="gamma")
            self.beta = self.add_weight(size, initializer="zeros", name="beta")

    def call(self, x):
        axes = [n for n in range(x.ndim) if n != self.axis % x.ndim]
        mean, variance = ops.moments(x, axes)
        return ops.batch_normalization(
            x, mean, variance, self.axis, self.beta, self.gamma, self.epsilon
        )

    def get_config(self):
        own = {"axis": self.axis, "epsilon": self.epsilon, "affine": self.affine}
        return {**super().get_config(), **own}''',
    "AveragedBatchNormalization": '''@keras.saving.register_keras_serializable()
class AveragedBatchNormalization(layers.BatchNormalization):
    """Batch norm whose statistics are the mean of those of all batches so far."""

    def build(self, shape):
        super().build(shape)
        self.batches = self.add_weight(
            (), initializer="zeros", trainable=False, name="batches"
        )

    def call(self, x, training=False):
        if not (training and self.trainable):
            return super().call(x, training=False)
        axes = [n for n in range(x.ndim) if n != self.axis % x.ndim]
        mean, variance = ops.moments(x, axes)
        self.batches.assign_add(1.0)
        self.moving_mean.assign_add((mean - self.moving_mean) / self.batches)
        change = (variance - self.moving_variance) / self.batches
        self.moving_variance.assign_add(change)
        return ops.batch_normalization(
            x, mean, variance, self.axis, self.beta, self.gamma, self.epsilon
        )''',
    "FixedBatchNormalization": '''@keras.saving.register_keras_serializable()
class FixedBatchNormalization(layers.BatchNormalization):
    """Batch norm whose scale and offset stay, while its statistics go on."""

    def build(self, shape):
        super().build(shape)
        self.gamma.trainable = self.beta.trainable = False''',
    "TrackedInstanceNormalization": '''@keras.saving.register_keras_serializable()
class TrackedInstanceNormalization(layers.BatchNormalization):
    """Each row by its own statistics in training, by the mean of all in inference."""

    def call(self, x, training=False):
        if not (training and self.trainable):
            return super().call(x, training=False)
        axis = self.axis % x.ndim
        axes = [n for n in range(1, x.ndim) if n != axis]
        mean, variance = ops.moments(x, axes, keepdims=True)
        for kept, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            new = ops.reshape(ops.mean(new, axis=0), (-1,))
            kept.assign(self.momentum * kept + (1 - self.momentum) * new)
        x = (x - mean) * ops.rsqrt(variance + self.epsilon)
        if not self.scale:
            return x
        shape = [-1 if n == axis else 1 for n in range(x.ndim)]
        return x * ops.reshape(self.gamma, shape) + ops.reshape(self.beta, shape)''',
}
"""what stands in the written module, in this order"""
