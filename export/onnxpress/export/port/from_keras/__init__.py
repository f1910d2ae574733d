"""Keras models traced, and said in torch's vocabulary, channels first."""
