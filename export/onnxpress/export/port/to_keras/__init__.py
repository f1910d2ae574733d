"""Blocks written as Keras 3 code, channels last."""
